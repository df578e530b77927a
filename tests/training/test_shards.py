"""Tracks are decoded once into shards, which hold what was decoded whatever happens meanwhile."""

from __future__ import annotations

import dataclasses
import errno
import itertools
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from stemlight.errors import InputError, OutputError, UsageError
from stemlight.tracks import SoundFile, StemSource, TrackFiles, find_tracks
from stemlight.training import shard_index, shard_storing, shard_writing
from stemlight.training.material import SilentStem, TrackFacts
from stemlight.training.shards import (
    ShardOptions,
    ShardStem,
    decode_tracks,
    is_prepared,
    open_prepared,
    prepare_tracks,
)

RATE_HZ = 8000
SOURCES = ("vocals", "drums")
OPTIONS = ShardOptions(sample_rate_hz=RATE_HZ, sources=SOURCES, max_shard_bytes=20_000)


def noise(seed, n_samples=1000, gain=0.3):
    return np.random.default_rng(seed).uniform(-gain, gain, (n_samples, 2)).astype(np.float32)


def write(path, samples):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")


def write_songs(root, *names, n_samples=1000):
    for name in names:
        for number, source in enumerate(SOURCES):
            seed = [ord(letter) for letter in name] + [number]
            write(root / name / f"{source}.wav", noise(seed, n_samples))
    return found(root)


def found(root):
    return find_tracks(root, sources=SOURCES)


def prepare(root, folder, options=OPTIONS, **told):
    return prepare_tracks(found(root), folder, options, **told)


def shards_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("shard-*.bin"))}


def assert_holds(folder, tracks):
    """The folder has these tracks, in this order, with what their files hold."""
    opened = open_prepared(folder)
    assert [track.name for track in opened] == [track.name for track in tracks]
    for stored, files in zip(opened, tracks, strict=True):
        _, expected = files.read(SOURCES, RATE_HZ)
        for source, samples in expected.items():
            np.testing.assert_allclose(
                stored.stems[source].read(0, stored.n_samples), samples, atol=1e-5
            )


@pytest.fixture(scope="module")
def one_stem(tmp_path_factory):
    """Give what a stem of 1000 samples is, and it stored, in both formats and at several levels."""
    root = tmp_path_factory.mktemp("levels")
    pairs = []
    for sample_format in ("int16", "float16"):
        for gain in (1e-6, 0.3, 40.0):
            samples = noise(7, gain=gain)
            music, folder = root / f"{gain}", root / f"{gain} {sample_format}"
            write(music / "song" / "vocals.wav", samples)
            options = dataclasses.replace(OPTIONS, sample_format=sample_format)
            prepare(music, folder, options)
            (track,) = open_prepared(folder)
            pairs.append((samples.T, track.stems["vocals"]))
    return pairs


@given(number=st.integers(0, 5), first=st.integers(0, 1000), share=st.floats(0, 1))
def test_any_range_is_read_to_half_a_step_of_what_was_decoded(one_stem, number, first, share):
    samples, stem = one_stem[number]
    n_samples = round(share * (1000 - first))
    read = stem.read(first, n_samples)
    expected = samples[:, first : first + n_samples]
    assert (read.dtype, read.shape) == (np.float32, (2, n_samples))
    if stem.sample_format == "int16":
        half_step = 0.5 * np.abs(samples).max() / (2**15 - 1)
    else:  # eleven bits of each sample
        half_step = np.maximum(2.0**-11 * np.abs(expected), 2.0**-25 * stem.scale)
    assert (np.abs(read - expected) <= 1.01 * half_step).all()


def test_what_is_read_may_be_changed_and_stays_as_it_is_in_the_shard(one_stem):
    samples, stem = one_stem[1]
    stem.read(0, 10)[:] = 0
    np.testing.assert_allclose(stem.read(0, 10), samples[:, :10], atol=1e-5)


def test_stems_can_be_read_in_other_processes(one_stem):
    _, stem = one_stem[1]
    copy = pickle.loads(pickle.dumps(stem))  # after it was mapped into memory here
    np.testing.assert_array_equal(copy.read(3, 5), stem.read(3, 5))
    assert len(pickle.dumps(stem)) < 1000


class Excerpts:
    def __init__(self, stem):
        self.stem = stem

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.stem.read(100 * index, 100)


@pytest.mark.filterwarnings("ignore")  # newer versions of Python warn about forks beside threads
def test_workers_of_a_loader_read_what_this_process_reads(one_stem):
    _, stem = one_stem[1]
    (batch,) = DataLoader(Excerpts(stem), batch_size=4, num_workers=1)
    for index in range(4):
        np.testing.assert_array_equal(batch[index].numpy(), stem.read(100 * index, 100))


def test_a_second_call_decodes_nothing_and_leaves_every_byte(tmp_path):
    tracks = write_songs(tmp_path / "music", "a", "b", "c")
    first = prepare(tmp_path / "music", tmp_path / "out")
    assert (first.decoded, first.kept) == (("a", "b", "c"), ())
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = prepare(tmp_path / "music", tmp_path / "out")
    assert (again.decoded, again.kept) == ((), ("a", "b", "c"))
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == times
    assert_holds(tmp_path / "out", tracks)


def test_the_same_tracks_make_the_same_bytes_in_shards_that_are_not_too_long(tmp_path):
    write_songs(tmp_path / "music", "a", "b", "c", "d")
    for name in ("one", "two"):
        prepare(tmp_path / "music", tmp_path / name)
    assert shards_of(tmp_path / "one") == shards_of(tmp_path / "two")
    # Eight stems of 4000 bytes, five to a shard.
    assert [len(content) for content in shards_of(tmp_path / "one").values()] == [20_000, 12_000]


def test_new_tracks_are_added_vanished_ones_dropped_and_changed_ones_done_anew(tmp_path):
    music, out = tmp_path / "music", tmp_path / "out"
    write_songs(music, "a", "b", "c")
    prepare(music, out)
    stale = open_prepared(out)[2].stems["vocals"]
    before = stale.read(0, 1000)
    for path in (music / "a").iterdir():
        path.unlink()
    write(music / "b" / "drums.wav", noise(99, 1100))
    tracks = write_songs(music, "bb")
    result = prepare(music, out)
    assert result.decoded == ("b", "bb")
    assert result.kept == ("c",)
    assert sorted(result.dropped) == ["a", "b"]
    assert_holds(out, tracks)
    # Nothing is left of what was dropped, and who had opened it reads on.
    n_bytes = sum(4 * track.n_samples * len(track.stems) for track in open_prepared(out))
    assert sum(map(len, shards_of(out).values())) == n_bytes
    np.testing.assert_array_equal(stale.read(0, 1000), before)


def test_a_number_of_a_shard_is_never_used_again(tmp_path):
    write_songs(tmp_path / "one", "a", "b", "c")
    write_songs(tmp_path / "two", "d")
    prepare(tmp_path / "one", tmp_path / "out")
    assert list(shards_of(tmp_path / "out")) == ["shard-00000.bin", "shard-00001.bin"]
    prepare(tmp_path / "two", tmp_path / "out")
    assert list(shards_of(tmp_path / "out")) == ["shard-00002.bin"]


def test_a_shard_that_was_lost_or_cut_is_done_again(tmp_path):
    music, out = tmp_path / "music", tmp_path / "out"
    tracks = write_songs(music, "a", "b", "c")
    prepare(music, out)
    os.truncate(out / "shard-00001.bin", 10)
    with pytest.raises(InputError, match=r"shard-00001\.bin is not there, or shorter than the ind"):
        open_prepared(out)
    assert prepare(music, out).decoded == ("c",)
    assert_holds(out, tracks)


class Killed(BaseException):
    """Ends the process, as far as files can tell: nothing is done from here on."""


def kill_after(patch, n_steps):
    """Let writing, renaming, cutting and removing of files fail for good after some of them."""
    left = n_steps

    def dying(do, partly=None):
        def step(*arguments):
            nonlocal left
            left -= 1
            if left == 0 and partly is not None:
                partly(*arguments)
            if left <= 0:
                raise Killed
            return do(*arguments)

        return step

    append = shard_storing.ShardAppender.append
    half = lambda shards, content: append(shards, content[: len(content) // 2])  # noqa: E731
    patch.setattr(shard_storing.ShardAppender, "append", dying(append, half))
    patch.setattr(
        shard_storing.ShardAppender, "_opened", dying(shard_storing.ShardAppender._opened)
    )
    patch.setattr(shard_writing, "write_index", dying(shard_index.write_index))
    patch.setattr(os, "truncate", dying(os.truncate))
    remove, dying_remove = Path.unlink, dying(Path.unlink)

    def unlink(path, **options):  # the lock is one that the system frees
        return remove(path, **options) if path.name == ".lock" else dying_remove(path)

    patch.setattr(Path, "unlink", unlink)


@pytest.mark.parametrize("begins", ["empty", "with other tracks"])
def test_whenever_it_is_killed_the_next_call_makes_what_an_unbroken_one_makes(
    tmp_path, monkeypatch, begins
):
    monkeypatch.setattr(shard_writing, "_SAVE_SECONDS", 0)
    monkeypatch.setattr(shard_writing, "_MAX_SAVE_SHARE", 1e9)
    monkeypatch.setattr(shard_storing, "measure_facts", lambda *_: TrackFacts())  # for time's sake
    monkeypatch.setattr(os, "fsync", lambda _: None)
    music, before = tmp_path / "music", tmp_path / "before"
    tracks = write_songs(music, "a", "b", "c")
    write_songs(before, "x", "y")

    def begin(folder):
        if begins != "empty":  # c is in two shards; all else is to be dropped
            prepare_tracks(found(before) + tracks[2:], folder, OPTIONS)

    begin(tmp_path / "unbroken")
    prepare(music, tmp_path / "unbroken")
    n_steps, is_killed = 0, True
    while is_killed:
        n_steps += 1
        out = tmp_path / str(n_steps)
        begin(out)
        with monkeypatch.context() as patch:
            kill_after(patch, n_steps)
            try:
                prepare(music, out)
                is_killed = False
            except Killed:
                assert_never_lies(out)
        prepare(music, out)
        assert_holds(out, tracks)
        assert not list(out.glob(".*"))
        assert sum(map(len, shards_of(out).values())) == 6 * 4000
        if begins == "empty":
            assert shards_of(out) == shards_of(tmp_path / "unbroken")
    assert n_steps > 10


def assert_never_lies(folder):
    """Whatever is there is refused, or holds what it says."""
    if is_prepared(folder):
        index = shard_index.read_index(folder)
        assert len(shard_writing._intact(index, folder)) == len(index.tracks)
        if not index.is_complete:
            with pytest.raises(InputError, match="is not finished; run the same `stemlight data p"):
                open_prepared(folder)


KILLED_IN_THE_SECOND_TRACK = """
import os, signal, sys
from pathlib import Path
from stemlight.tracks import find_tracks
from stemlight.training import shard_storing, shard_writing
from stemlight.training.shards import ShardOptions, prepare_tracks
shard_writing._SAVE_SECONDS, shard_writing._MAX_SAVE_SHARE = 0, 1e9
append, n_stems = shard_storing.ShardAppender.append, 0
def dying(*arguments):
    global n_stems
    n_stems += 1
    if n_stems == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return append(*arguments)
shard_storing.ShardAppender.append = dying
music, out = map(Path, sys.argv[1:])
options = ShardOptions(sample_rate_hz=8000, sources=("vocals", "drums"), max_shard_bytes=20_000)
prepare_tracks(find_tracks(music, sources=options.sources), out, options)
"""


def test_a_killed_process_leaves_what_it_finished_and_no_lock(tmp_path):
    music, out = tmp_path / "music", tmp_path / "out"
    tracks = write_songs(music, "a", "b", "c")
    command = [sys.executable, "-c", KILLED_IN_THE_SECOND_TRACK, music, out]
    assert subprocess.run(command, check=False, timeout=60).returncode == -signal.SIGKILL
    result = prepare(music, out)
    assert (result.kept, result.decoded) == (("a",), ("b", "c"))
    assert_holds(out, tracks)


def test_two_at_once_wait_for_each_other_and_the_second_finds_all_done(tmp_path):
    music, out = tmp_path / "music", tmp_path / "out"
    tracks = write_songs(music, "a", "b", "c", "d")
    waiting = threading.Event()
    results = []

    def second():
        results.append(prepare_tracks(tracks, out, OPTIONS, on_wait=waiting.set))

    thread = threading.Thread(target=second)

    def begin(name, number, n_tracks):
        assert n_tracks == 4
        if number == 2:
            thread.start()
            assert waiting.wait(10)

    results.append(prepare(music, out, on_track=begin))
    thread.join()
    assert [len(result.decoded) for result in results] == [4, 0]
    assert_holds(out, tracks)


def test_a_track_that_cannot_be_read_is_told_of_and_the_others_are_there(tmp_path):
    music, out = tmp_path / "music", tmp_path / "out"
    write_songs(music, "a", "b", "c")
    (music / "b" / "drums.wav").write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"drums\.wav is no audio"):
        prepare(music, out)
    with pytest.raises(InputError, match="is not finished"):
        open_prepared(out)
    told = []
    result = prepare(music, out, on_failed=lambda name, error: told.append((name, str(error))))
    assert (result.decoded, result.kept, result.failed) == (("c",), ("a",), ("b",))
    ((name, line),) = told
    assert name == "b"
    assert "drums.wav is no audio" in line
    assert [track.name for track in open_prepared(out)] == ["a", "c"]


def test_a_file_that_vanished_since_it_was_found_is_told_of(tmp_path):
    tracks = write_songs(tmp_path / "music", "a", "b")
    (tmp_path / "music" / "b" / "drums.wav").unlink()
    told = []
    prepare_tracks(tracks, tmp_path / "out", OPTIONS, on_failed=lambda name, _: told.append(name))
    assert told == ["b"]


def test_samples_far_beyond_full_scale_are_refused_with_their_height(tmp_path):
    write(tmp_path / "music" / "a" / "vocals.wav", np.full((10, 2), -3e38))
    with pytest.raises(InputError, match=r"a: vocals has samples of 3e\+38 times full scale"):
        prepare(tmp_path / "music", tmp_path / "out")


def test_silence_takes_no_bytes_and_reads_as_zeros_said_or_heard(tmp_path):
    song = tmp_path / "music" / "a"
    write(song / "voice.wav", noise(0))
    write(song / "drums.wav", np.zeros((800, 2)))
    (song / "stems.yaml").write_text("vocals: voice.wav\ndrums: drums.wav\nbass: []\n")
    prepare(tmp_path / "music", tmp_path / "out")
    (track,) = open_prepared(tmp_path / "out")
    assert track.stems["drums"] == track.stems["bass"] == SilentStem(1000)
    assert not track.stems["bass"].read(3, 5).any()
    assert track.stems["bass"].read(3, 5).shape == (2, 5)
    assert track.mixture is None
    assert sum(map(len, shards_of(tmp_path / "out").values())) == 4000


def test_the_mixture_is_kept_where_a_source_is_not_known(tmp_path):
    music = tmp_path / "music"
    write_songs(music, "whole", "partial")
    for name in ("whole", "partial"):
        write(music / name / "mixture.wav", noise(5, 1200))
    (music / "partial" / "drums.wav").unlink()
    prepare(music, tmp_path / "out")
    partial, whole = open_prepared(tmp_path / "out")
    assert (set(whole.stems), whole.mixture) == ({*SOURCES}, None)
    assert list(partial.stems) == ["vocals"]
    assert isinstance(partial.mixture, ShardStem)
    assert partial.n_samples == 1200  # of the longest; the others go on silent
    np.testing.assert_allclose(partial.mixture.read(0, 1200), noise(5, 1200).T, atol=1e-5)
    for asked in (["vocals"], ["vocals", "accompaniment"], ["drums"]):
        files = found(music)[0]
        for ours, theirs in zip(partial.read(asked), files.read(asked, RATE_HZ), strict=True):
            ours = ours if isinstance(ours, dict) else {"": ours}
            theirs = theirs if isinstance(theirs, dict) else {"": theirs}
            assert ours.keys() == theirs.keys()
            for name, samples in ours.items():
                np.testing.assert_allclose(samples, theirs[name], atol=2e-5)


def test_what_was_measured_of_the_music_is_kept(tmp_path):
    second = 0.1 * np.sin(2 * np.pi * 440 * np.arange(8 * RATE_HZ) / RATE_HZ)
    write(tmp_path / "music" / "a" / "vocals.wav", np.stack([second, second], axis=1))
    prepare(tmp_path / "music", tmp_path / "out")
    (track,) = open_prepared(tmp_path / "out")
    assert list(track.facts.level_db) == ["vocals"]
    # The mean square of a sine is half of its peak's.
    assert track.facts.level_db["vocals"] == pytest.approx(-23, abs=0.5)


def test_memory_does_not_grow_with_the_number_of_tracks(tmp_path):
    peaks = []
    for n_songs in (2, 8):
        music = tmp_path / f"music{n_songs}"
        write_songs(music, *map(str, range(n_songs)), n_samples=40_000)
        tracemalloc.start()
        prepare(music, tmp_path / f"out{n_songs}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 100_000


def test_folders_of_something_else_are_refused_and_stay_as_they_are(tmp_path):
    music = tmp_path / "music"
    write_songs(music, "a")
    with pytest.raises(UsageError, match=r"music is no prepared folder, and a is in it; choose a "):
        prepare(music, music)
    with pytest.raises(UsageError, match=r"drums\.wav cannot be the folder: Not a directory"):
        prepare(music, music / "a" / "drums.wav")
    prepare(music, tmp_path / "out")
    for change in ({"sample_rate_hz": 4000}, {"sample_format": "float16"}):
        with pytest.raises(UsageError, match=r"out holds int16 at 8000 Hz, not .* choose another"):
            prepare(music, tmp_path / "out", dataclasses.replace(OPTIONS, **change))
    assert len(open_prepared(tmp_path / "out")) == 1


def test_a_full_disk_is_an_output_error_and_what_was_finished_is_kept(tmp_path, monkeypatch):
    write_songs(tmp_path / "music", "a", "b", "c")
    open_shard = shard_storing.ShardAppender._opened

    def opened(shards, number):
        if number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open_shard(shards, number)

    with monkeypatch.context() as patch:
        patch.setattr(shard_storing.ShardAppender, "_opened", opened)
        with pytest.raises(OutputError, match=r"cannot write .*/out: No space left on device"):
            prepare(tmp_path / "music", tmp_path / "out")
    result = prepare(tmp_path / "music", tmp_path / "out")
    assert (result.kept, result.decoded) == (("a", "b"), ("c",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no index of shards .* remove the folder and prepare it anew"),
        ("[]", "is no index of shards"),
        ("[" * 100_000, "is no index of shards"),
        (
            '{"sample_rate_hz": 8000, "sample_format": "int16", "is_complete": true, "tracks": ['
            '{"name": "a", "key": "a", "facts": {}, "mixture": null, '
            '"stems": {"bass": {"n_samples": 9, "shard": 0, "first_byte": -8}}}]}',
            "a stem has 9 samples from byte -8 of shard 0 on",
        ),
        ('{"format": 1}', "ShardIndex needs the field 'sample_rate_hz'"),
        (
            '{"sample_rate_hz": 8000, "sample_format": "int16", "is_complete": true, "format": 9}',
            "format is 9, but this stemlight reads 1",
        ),
    ],
)
def test_a_damaged_index_is_refused(tmp_path, text, message):
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(InputError, match=message):
        open_prepared(tmp_path)


def test_a_folder_without_index_or_of_another_rate_is_refused_with_what_to_do(tmp_path):
    assert not is_prepared(tmp_path)
    with pytest.raises(InputError, match=r"has no index\.json; make it with: stemlight data prep"):
        open_prepared(tmp_path)
    write_songs(tmp_path / "music", "a")
    prepare(tmp_path / "music", tmp_path / "out")
    assert is_prepared(tmp_path / "out")
    with pytest.raises(InputError, match="holds samples at 8000 Hz, not at 44100; prepare another"):
        open_prepared(tmp_path / "out", sample_rate_hz=44_100)


def test_names_that_are_no_text_and_of_two_lines_are_kept(tmp_path):
    names = [os.fsdecode(b"b\xe4d"), "two\nlines"]
    write_songs(tmp_path / "music", "a", "b")
    for plain, name in zip(("a", "b"), names, strict=True):
        (tmp_path / "music" / plain).rename(tmp_path / "music" / name)
    prepare(tmp_path / "music", tmp_path / "out")
    assert [track.name for track in open_prepared(tmp_path / "out")] == sorted(names)


def test_tracks_of_one_name_are_both_there_and_one_that_is_named_twice_once(tmp_path):
    write_songs(tmp_path / "music" / "one", "a")
    write_songs(tmp_path / "music" / "two", "a")
    tracks = found(tmp_path / "music")
    prepare_tracks([*tracks, tracks[0]], tmp_path / "out", OPTIONS)
    assert [track.name for track in open_prepared(tmp_path / "out")] == ["a", "a"]


def test_the_cache_decodes_summed_files_once_and_anew_when_one_of_them_changes(tmp_path):
    song = tmp_path / "music" / "song"
    write(song / "kick.wav", noise(0))
    write(song / "snare.wav", noise(1))
    (song / "stems.yaml").write_text("drums: [kick.wav, snare.wav]")
    told = []

    def decode(**options):
        tracks = found(tmp_path / "music")
        (opened,) = decode_tracks(
            tracks, tmp_path / "cache", sample_rate_hz=RATE_HZ, report=told.append, **options
        )
        _, stems = tracks[0].read(["drums"], RATE_HZ)
        np.testing.assert_allclose(opened.stems["drums"].read(0, 1000), stems["drums"], atol=1e-5)
        return opened

    decode()
    decode()
    assert told == ["song"]
    (song / "snare.wav").unlink()
    write(song / "snare.wav", noise(2))
    assert decode().mixture is None
    assert told == ["song", "song"]
    write(song / "all.wav", noise(3))
    (song / "stems.yaml").write_text("drums: [kick.wav, snare.wav]\nmixture: all.wav")
    assert decode().mixture is None  # nobody said which sources there should be
    assert told == ["song", "song"]
    assert decode(sources=SOURCES).mixture is not None
    assert told == ["song", "song", "song"]


def test_the_index_survives_its_way_to_the_disk(tmp_path):
    write_songs(tmp_path / "music", "ä \u2028 b")
    prepare(tmp_path / "music", tmp_path / "out")
    index = shard_index.read_index(tmp_path / "out")
    shard_index.write_index(tmp_path, index)
    assert shard_index.read_index(tmp_path) == index
    assert str(tmp_path) not in json.dumps(json.loads((tmp_path / "index.json").read_text()))


def test_a_stem_that_is_too_long_for_a_shard_has_one_of_its_own(tmp_path):
    write(tmp_path / "long.wav", noise(0, 6000))
    write(tmp_path / "short.wav", noise(1))
    stems = {
        name: StemSource(files=(SoundFile(path=tmp_path / f"{name}.wav"),))
        for name in ("long", "short")
    }
    tracks = [
        TrackFiles(name=name, stems={name: stems[name]}) for name in ("short", "long", "short")
    ]
    tracks[2] = dataclasses.replace(tracks[2], name="again")
    prepare_tracks(tracks, tmp_path / "out", OPTIONS)
    lengths = [len(content) for content in shards_of(tmp_path / "out").values()]
    assert lengths == [4000, 24_000, 4000]


def backwards(make_worker, tasks):
    """Spread work as badly as can be: what comes last is done first."""
    work = pickle.loads(pickle.dumps(make_worker))()
    for task in reversed(list(tasks)):
        yield task, work(task)


def test_workers_make_the_bytes_that_one_process_makes_in_whatever_order_they_end(tmp_path):
    write_songs(tmp_path / "music", "a", "b", "c", "d", n_samples=1200)
    (tmp_path / "music" / "c" / "drums.wav").write_bytes(b"damaged")
    (tmp_path / "music" / "d" / "vocals.wav").unlink()
    write(tmp_path / "music" / "d" / "mixture.wav", noise(9, 1200))
    told = []

    def tell(name, number, n_tracks):
        told.append((name, number, n_tracks))

    results = [
        prepare(
            tmp_path / "music",
            tmp_path / ("one" if spread is None else "workers"),
            on_failed=lambda name, error: None,
            on_track=tell,
            spread=spread,
        )
        for spread in (None, backwards)
    ]
    assert results[0] == results[1]
    assert results[0].failed == ("c",)
    assert told[:4] == told[4:]
    first, second = tmp_path / "one", tmp_path / "workers"
    assert shards_of(first) == shards_of(second)
    assert len(shards_of(first)) > 1
    assert (first / "index.json").read_bytes() == (second / "index.json").read_bytes()
    assert not list(second.glob(".parts*"))


def test_a_call_on_workers_that_is_ended_is_taken_up_to_the_same_bytes(tmp_path):
    music = tmp_path / "music"
    write_songs(music, "a", "b", "c", "d")
    prepare(music, tmp_path / "whole")

    def ends_after_two(make_worker, tasks):
        work = make_worker()
        for task in itertools.islice(tasks, 2):
            yield task, work(task)
        work(next(tasks))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(music, tmp_path / "out", spread=ends_after_two)
    assert not list((tmp_path / "out").glob(".parts*"))
    (tmp_path / "out" / ".parts-0").mkdir()  # as a killed one leaves it
    again = prepare(music, tmp_path / "out", spread=backwards)
    assert (again.kept, again.decoded) == (("a", "b"), ("c", "d"))
    assert shards_of(tmp_path / "out") == shards_of(tmp_path / "whole")
    assert not list((tmp_path / "out").glob(".parts*"))
