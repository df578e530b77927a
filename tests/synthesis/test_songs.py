"""Whole songs and folders of them; with synthesisers alone, so that no soundfonts are needed."""

from __future__ import annotations

import errno
import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlight.errors import InputError, OutputError, UsageError
from stemlight.synthesis import DatasetOrder, Material, dataset, make_song, write_songs
from stemlight.synthesis.arrangement import STEMS
from stemlight.synthesis.dataset import LICENCES_FILE, SONG_FILE
from stemlight.synthesis.notes import SAMPLE_RATE_HZ

SHORT = {"shortest_seconds": 5.0, "longest_seconds": 7.0}


def order_of(folder, *, seed=3, hours=0.004, **others):
    return DatasetOrder(
        hours=hours, seed=seed, folder=folder, material=Material(), **{**SHORT, **others}
    )


def content(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Some songs, written once."""
    folder = tmp_path_factory.mktemp("songs")
    write_songs(order_of(folder))
    return folder


def test_a_song_has_four_stems_of_one_length_that_all_sound():
    for index in range(3):
        song = make_song(1, index, Material(), **SHORT)
        assert tuple(song.stems) == STEMS
        n_samples = {samples.shape for samples in song.stems.values()}
        assert n_samples == {(2, int(song.facts["seconds"] * SAMPLE_RATE_HZ + 0.5))}
        for samples in song.stems.values():
            assert samples.dtype == np.float32
            assert np.abs(samples).max() > 0.01
            assert np.isfinite(samples).all()


def test_a_song_is_the_same_whatever_was_made_before():
    make_song(1, 7, Material(), **SHORT)
    again = [make_song(1, 2, Material(), **SHORT) for _ in range(2)]
    for name in STEMS:
        np.testing.assert_array_equal(again[0].stems[name], again[1].stems[name])
    assert again[0].facts == again[1].facts
    assert make_song(2, 2, Material(), **SHORT).facts != again[0].facts


def test_a_stem_that_a_section_leaves_out_is_silent_there():
    silent = 0
    for index in range(3):
        song = make_song(5, index, Material(), shortest_seconds=16, longest_seconds=18)
        sections = song.facts["sections"]
        for section, following in itertools.pairwise(sections):
            first = int((section["start_seconds"] + 1.5) * SAMPLE_RATE_HZ)  # what rings has ended
            last = int((following["start_seconds"] - 0.6) * SAMPLE_RATE_HZ)  # a breath comes early
            if "vocals" not in section["stems"] and last > first:
                loudest = np.abs(song.stems["vocals"]).max()
                assert np.abs(song.stems["vocals"][:, first:last]).max() < 0.2 * loudest
                silent += 1
    assert silent > 0


def test_files_hold_what_was_made_and_their_sum_does_not_clip(written):
    song = make_song(3, 0, Material(), **SHORT)
    total = np.zeros(())
    for name in STEMS:
        path = written / "synth-3-00000" / f"{name}.flac"
        about = soundfile.info(path)
        assert (about.samplerate, about.channels, about.subtype) == (44100, 2, "PCM_16")
        rows, _ = soundfile.read(path, dtype="int16")
        np.testing.assert_array_equal(rows, np.round(song.stems[name].T * 32767).astype(np.int16))
        total = total + rows.astype(int)
    assert np.abs(total).max() < 32767
    facts = json.loads((written / "synth-3-00000" / SONG_FILE).read_text())
    assert facts["seed"] == 3
    assert facts["tempo_bpm"] == song.facts["tempo_bpm"]
    assert facts["seconds"] == pytest.approx(len(rows) / SAMPLE_RATE_HZ)


def test_what_is_there_is_kept_and_what_is_missing_comes_out_the_same(written, tmp_path):
    folder = shutil.copytree(written, tmp_path / "songs")
    before = content(folder)
    kept = folder / "synth-3-00000" / "bass.flac"
    age = kept.stat().st_mtime_ns
    shutil.rmtree(folder / "synth-3-00001")
    (folder / ".synth-3-00001.77").mkdir()  # what a killed run leaves
    told = []
    write_songs(order_of(folder), on_song=lambda *counts: told.append(counts))
    assert content(folder) == before
    assert kept.stat().st_mtime_ns == age
    n_songs = order_of(folder).n_songs()
    assert told == [(n_songs - 1, n_songs), (n_songs, n_songs)]


def test_more_hours_and_more_workers_give_the_same_songs(written, tmp_path):
    write_songs(order_of(tmp_path, hours=0.006), n_workers=2)
    more = content(tmp_path)
    for name, data in content(written).items():
        if name != LICENCES_FILE:
            assert more[name] == data
    assert len(more) > len(content(written))
    seconds = sum(
        json.loads(data)["seconds"] for name, data in more.items() if name.endswith(SONG_FILE)
    )
    assert 0.006 * 3600 <= seconds < 0.006 * 3600 + 10


def test_a_broken_run_leaves_whole_songs_only(tmp_path):
    class StoppedError(Exception):
        pass

    def stop(n_done, _):
        if n_done == 1:
            raise StoppedError

    with pytest.raises(StoppedError):
        write_songs(order_of(tmp_path), on_song=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["synth-3-00000"]


def test_songs_of_another_origin_are_not_mixed_in(written):
    with pytest.raises(UsageError, match=r"synth-3-00000 was made .* give another folder"):
        write_songs(order_of(written, longest_seconds=8.0))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"hours": 0.0}, "hours must be above 0 and below 10000, not 0"),
        ({"hours": float("nan")}, "hours must be above 0"),
        ({"seed": -1}, "the seed must be from 0 to 2147483647, not -1"),
        ({"shortest_seconds": 9.0}, "songs must last .* not 9 to 7"),
        ({"shortest_seconds": 1.0}, "songs must last from 4 to 600 seconds"),
    ],
)
def test_numbers_that_cannot_be_are_refused(tmp_path, wrong, message):
    with pytest.raises(UsageError, match=message):
        order_of(tmp_path, **wrong)


def test_no_workers_are_refused(tmp_path):
    with pytest.raises(UsageError, match="workers must be at least 1, not 0"):
        write_songs(order_of(tmp_path), n_workers=0)


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_songs(order_of(tmp_path / "file" / "songs"))


def test_a_full_disk_is_an_output_error_and_leaves_no_part_of_a_song(tmp_path, monkeypatch):
    def write_bytes(path, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(OutputError, match="cannot be written: No space left on device"):
        write_songs(order_of(tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"origin": "1", "material": {"a": {"b": 1}}}'])
def test_a_damaged_song_is_refused_with_what_to_do(tmp_path, text):
    order = order_of(tmp_path)
    order.song_folder(0).mkdir()
    (order.song_folder(0) / SONG_FILE).write_text(text)
    with pytest.raises(InputError, match=r"song\.json is not what was .* remove its folder"):
        write_songs(order)


def test_a_process_that_was_killed_is_told_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "_start_worker", os.abort)
    with pytest.raises(OutputError, match=r"was killed, .* fewer workers"):
        write_songs(order_of(tmp_path), n_workers=2)
