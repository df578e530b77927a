"""A worker makes a track's result once, knows it again, and says whose fault a failure is."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import pytest

from stemlight.batch import Item, Outcome, Store, work
from stemlight.errors import OutputError, UsageError
from stemlight.separation.song_options import SongOptions
from stemlight.separation.songs import separate_file

from .material import STEMS, check_results, contents, work_on, write_song


@pytest.fixture
def separate(tiny_model, tmp_path):
    """Do one item as a worker does."""

    def call(path, own=None, *, store=None, **changes) -> Outcome:
        order = work_on(store or str(tmp_path / "out"), tiny_model, **changes)
        return order()(Item("id", str(path), own or {}))

    return call


@pytest.fixture
def song(tmp_path) -> Path:
    return write_song(tmp_path / "song.wav")


@pytest.fixture
def unread(monkeypatch):
    """Let the content of songs not be read, until the test is over."""

    def refuse(*arguments):
        raise AssertionError("it was read")

    def forbid():
        monkeypatch.setattr(work, "hash_song", refuse)
        monkeypatch.setattr(work.Input, "opened", refuse)

    return forbid


def test_the_stems_are_those_of_separate(separate, song, tmp_path, tiny_model):
    outcome = separate(song)
    assert (outcome.status, outcome.id, outcome.path) == ("done", "id", str(song))
    assert outcome.duration_seconds == 0.25
    assert outcome.worker.endswith(f":{os.getpid()}")
    assert outcome.elapsed_seconds > 0
    separator = work_on("", tiny_model).choice.load()
    separate_file(separator, song, tmp_path / "track")
    expected = contents(tmp_path / "track")
    (found,) = check_results(tmp_path / "out").values()
    found.pop("result.json")
    assert found == expected
    assert outcome.files.keys() == expected.keys() == {f"{stem}.wav" for stem in STEMS}
    assert contents(tmp_path / "out" / "partial") == {}


def test_a_finished_track_is_skipped_without_being_read(separate, song, unread, tmp_path):
    first = separate(song)
    before = contents(tmp_path / "out")
    unread()
    second = separate(song)
    assert second.status == "skipped"
    assert (second.key, second.files) == (first.key, first.files)
    assert second.duration_seconds == first.duration_seconds
    assert contents(tmp_path / "out") == before


def test_a_copy_of_another_name_is_known_by_its_content(separate, song, unread, tmp_path):
    first = separate(song)
    copy = tmp_path / "copy.flac"
    copy.write_bytes(song.read_bytes())
    assert separate(copy).key == first.key
    unread()
    assert separate(copy).status == "skipped"
    assert len(check_results(tmp_path / "out")) == 1


def test_another_song_in_its_place_is_done(separate, song, tmp_path):
    separate(song)
    write_song(song, seed=1)
    assert separate(song).status == "done"
    assert len(check_results(tmp_path / "out")) == 2


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ({"stems": ("bass", "drums")}, {"bass.wav", "drums.wav"}),
        ({"stems": ("vocals", "accompaniment")}, {"vocals.wav", "accompaniment.wav"}),
        ({"bit_depth": "16"}, {f"{stem}.wav" for stem in STEMS}),
        ({"format": "flac"}, {f"{stem}.flac" for stem in STEMS}),
        ({"format": "mp3", "bit_rate": 128}, {f"{stem}.mp3" for stem in STEMS}),
        ({"format": "stem.mp4"}, {"track.stem.mp4"}),
    ],
)
def test_options_of_one_track_make_another_result(separate, song, tmp_path, own, files):
    options = SongOptions(bit_depth="float")
    first, second = separate(song, options=options), separate(song, own, options=options)
    assert first.key != second.key
    assert second.files.keys() == files


def test_options_of_all_tracks_and_of_one_are_the_same_work(separate, song):
    first = separate(song, {"format": "flac", "stems": ("vocals",)})
    options = SongOptions(format="flac", sources=("vocals",))
    assert separate(song, options=options).key == first.key


def test_results_depend_on_neither_place_nor_machine(separate, song, tmp_path, s3):
    """Local or from a bucket into a bucket: the same bytes."""
    import fsspec

    separate(song)
    root = f"{s3}/{tmp_path.name}"
    files = fsspec.filesystem("s3")
    files.put_file(str(song), f"{root}/in/song.wav")
    outcome = separate(f"{root}/in/song.wav", store=Store(f"{root}/out"))
    assert outcome.status == "done"
    files.get(f"{root}/out", str(tmp_path / "copy"), recursive=True)
    assert check_results(tmp_path / "copy") == check_results(tmp_path / "out")


def test_a_finished_track_in_a_bucket_is_skipped_without_being_read(separate, song, unread, s3):
    import fsspec

    root = f"{s3}/{song.parent.name}"
    fsspec.filesystem("s3").put_file(str(song), f"{root}/in/song.wav")
    first = separate(f"{root}/in/song.wav", store=Store(f"{root}/out"))
    unread()
    assert separate(f"{root}/in/song.wav", store=Store(f"{root}/out")).key == first.key
    write_song(song, seed=2)
    fsspec.filesystem("s3").put_file(str(song), f"{root}/in/song.wav")
    with pytest.raises(AssertionError, match="it was read"):
        separate(f"{root}/in/song.wav", store=Store(f"{root}/out"))


def test_options_of_a_bucket_travel_with_the_order(separate, song, s3, monkeypatch):
    import fsspec

    root = f"{s3}/{song.parent.name}"
    fsspec.filesystem("s3").put_file(str(song), f"{root}/in/song.wav")
    options = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    store = Store(f"{root}/out", options)
    outcome = separate(f"{root}/in/song.wav", store=store, input_options=options)
    assert outcome.status == "done"
    assert store.find(outcome.key) is not None


# Failures


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ({"stems": ("voice",)}, "voice"),
        ({"format": "wave"}, "format must be one of wav, .*did you mean 'wav'"),
        ({"bit_depth": "12"}, "12"),
        ({"bit_rate": 128}, "lossless wav has no bit rate"),
    ],
)
def test_wrong_options_of_one_track_are_its_failure(separate, song, own, reason, tmp_path):
    outcome = separate(song, own)
    assert outcome.status == "failed"
    assert re.search(reason, outcome.reason)
    assert not (tmp_path / "out" / "results").exists()


@pytest.mark.parametrize("where", ["disk", "s3"])
def test_what_cannot_be_separated_fails_with_the_name_that_it_was_given(
    separate, tmp_path, s3, where
):
    import fsspec

    root = str(tmp_path / "in") if where == "disk" else f"{s3}/{tmp_path.name}/in"
    files = fsspec.filesystem("file" if where == "disk" else "s3")
    (tmp_path / "in").mkdir()
    files.pipe_file(f"{root}/junk.mp3", b"no sound")
    outcome = separate(f"{root}/junk.mp3")
    assert outcome.status == "failed"
    assert outcome.reason.startswith(f"{root}/junk.mp3 is no audio")
    missing = separate(f"{root}/missing.mp3")
    assert missing.status == "failed"
    assert missing.reason.startswith(f"cannot read {root}/missing.mp3: ")
    assert contents(tmp_path / "out" / "partial") == {}


def test_a_song_beyond_the_longest_fails(separate, song):
    outcome = separate(song, options=SongOptions(max_duration_seconds=0.1))
    assert (outcome.status, "0.1" in outcome.reason) == ("failed", True)


def test_a_path_with_a_zero_byte_fails_in_one_line(separate):
    assert "cannot read" in separate("no\0name.wav").reason


@pytest.mark.parametrize("error", [OSError(5, "disk"), OutputError("no space"), MemoryError()])
def test_where_storage_or_memory_is_at_fault_the_worker_raises(separate, song, monkeypatch, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(Store, "place", fail)
    with pytest.raises(type(error)):
        separate(song)


def test_a_store_that_does_not_answer_is_no_failure_of_the_track(separate, song, monkeypatch):
    def fail(*arguments):
        raise ConnectionError("gone")

    monkeypatch.setattr(Store, "content_of", fail)
    with pytest.raises(ConnectionError):
        separate(song)


# Workers


def test_an_order_travels(tiny_model, tmp_path):
    order = work_on(str(tmp_path), tiny_model, options=SongOptions(sources=("vocals",)))
    assert pickle.loads(pickle.dumps(order)) == order


def test_another_model_than_where_the_run_was_started_is_refused(tiny_model, tmp_path):
    with pytest.raises(UsageError, match=r"is another one on .* than where the run was started"):
        work_on(str(tmp_path), tiny_model, fingerprint=64 * "0")()
    work_on(str(tmp_path), tiny_model, fingerprint=work_on("", tiny_model).choice.fingerprint())()


def test_stems_that_the_model_has_not_are_refused_at_its_start(tiny_model, tmp_path):
    with pytest.raises(UsageError, match="voice"):
        work_on(str(tmp_path), tiny_model, options=SongOptions(sources=("voice",)))()
