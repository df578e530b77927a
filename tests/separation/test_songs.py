from __future__ import annotations

import io
import json
import math
import os
import subprocess
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlight.audio import read_audio
from stemlight.chunking import ChunkPlan
from stemlight.errors import InputError, OutputError, UsageError
from stemlight.separation import Separator
from stemlight.separation.songs import SongOptions, separate_file

from .fakes import FailingBackend, GainBackend, WindowBackend, noise

PLAN = ChunkPlan(chunk_samples=1000, trim_samples=100, overlap_samples=200)
FLOAT = SongOptions(bit_depth="float")


@pytest.fixture
def separator() -> Separator:
    return Separator(GainBackend({"loud": 1.0, "soft": 0.25}), PLAN)


@pytest.fixture
def song(tmp_path) -> Path:
    return write(tmp_path / "song.wav", noise(2, 5000))


def write(path: Path, samples: np.ndarray, rate_hz: int = 8000) -> Path:
    soundfile.write(path, samples.T, rate_hz, subtype="FLOAT")
    return path


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# What is written


def test_stems_are_those_that_the_separator_gives_for_the_whole_song(tmp_path, song):
    separator = Separator(WindowBackend(), PLAN)
    separate_file(separator, song, tmp_path / "out", options=FLOAT)
    for name, stem in separator(read_audio(song)).items():
        written = read_audio(tmp_path / "out" / f"{name}.wav")
        np.testing.assert_array_equal(written.samples, stem.samples)


@pytest.mark.parametrize(("rate_hz", "channels"), [(8000, 1), (11025, 2), (48000, 6)])
def test_stems_have_the_songs_length_rate_and_channels(tmp_path, separator, rate_hz, channels):
    song = write(tmp_path / "song.wav", noise(channels, 12345), rate_hz)
    report = separate_file(separator, song, tmp_path / "out")
    for stem in report.stems.values():
        found = soundfile.info(stem.path)
        assert (found.frames, found.samplerate, found.channels) == (12345, rate_hz, channels)
        assert found.subtype == "PCM_24"


def test_the_complement_and_the_stem_add_up_to_the_song(tmp_path, separator, song):
    options = SongOptions(sources=["soft"], complement="no_soft", bit_depth="float")
    separate_file(separator, song, tmp_path / "out", options=options)
    parts = [read_audio(tmp_path / "out" / f"{name}.wav").samples for name in ("soft", "no_soft")]
    np.testing.assert_allclose(sum(parts), read_audio(song).samples, atol=1e-6)


def test_a_file_object_is_a_song(tmp_path, separator, song):
    report = separate_file(separator, io.BytesIO(song.read_bytes()), tmp_path / "out")
    assert report.input == "<stream>"
    assert report.stems["loud"].path.is_file()


def test_memory_does_not_grow_with_the_song(tmp_path, separator):
    def peak_bytes(n_samples: int) -> int:
        song = write(tmp_path / f"{n_samples}.wav", noise(1, n_samples))
        tracemalloc.start()
        separate_file(separator, song, tmp_path / f"{n_samples}")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak_bytes(1000)
    assert peak_bytes(1_600_000) < 1.1 * peak_bytes(200_000)


# What is reported


def test_the_report_tells_length_level_and_time(tmp_path, separator):
    square = np.where(np.arange(8000) % 2, 0.5, -0.5)[np.newaxis].repeat(2, axis=0)
    song = write(tmp_path / "song.wav", square)
    report = separate_file(separator, song, tmp_path / "out")
    assert report.input == str(song)
    assert report.folder == tmp_path / "out"
    assert (report.duration_seconds, report.sample_rate_hz, report.n_channels) == (1.0, 8000, 2)
    assert report.stems["loud"].level_db == pytest.approx(20 * math.log10(0.5))
    assert report.stems["soft"].level_db == pytest.approx(20 * math.log10(0.125))
    assert report.elapsed_seconds > 0
    assert report.real_time_factor == report.elapsed_seconds / 1.0


def test_the_level_of_silence_is_null_in_json(tmp_path, separator):
    song = write(tmp_path / "song.wav", np.zeros((2, 500)))
    report = separate_file(separator, song, tmp_path / "out")
    assert report.stems["loud"].level_db == -math.inf
    plain = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert plain["stems"]["loud"] == {
        "path": str(tmp_path / "out" / "loud.wav"),
        "level_db": None,
        "n_clipped": 0,
    }
    assert plain["real_time_factor"] == report.real_time_factor


def test_clipped_samples_are_counted(tmp_path, separator):
    samples = np.zeros((1, 100))
    samples[0, :7] = 1.5
    song = write(tmp_path / "song.wav", samples)
    report = separate_file(separator, song, tmp_path / "out")
    assert {name: stem.n_clipped for name, stem in report.stems.items()} == {"loud": 7, "soft": 0}
    report = separate_file(separator, song, tmp_path / "float", options=FLOAT)
    assert report.stems["loud"].n_clipped == 0


def test_progress_goes_up_to_the_songs_length(tmp_path, separator):
    song = write(tmp_path / "song.wav", noise(1, 150_000))
    seen: list[tuple[int, int | None]] = []
    separate_file(separator, song, tmp_path / "out", on_progress=lambda *args: seen.append(args))
    assert seen == [(65536, 150_000), (131_072, 150_000), (150_000, 150_000)]


# All stems or none


def test_a_song_whose_separation_fails_leaves_nothing(tmp_path, song):
    separator = Separator(FailingBackend(), PLAN)
    before = everything_in(tmp_path)
    with pytest.raises(MemoryError):
        separate_file(separator, song, tmp_path / "new" / "deep" / "out")
    assert everything_in(tmp_path) == before


def test_an_interrupted_song_leaves_nothing(tmp_path, separator, song):
    def interrupt(n_done: int, n_total: int | None) -> None:
        raise KeyboardInterrupt

    before = everything_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        separate_file(separator, song, tmp_path / "out", on_progress=interrupt)
    assert everything_in(tmp_path) == before


def test_while_a_song_is_worked_on_its_folder_is_not_there(tmp_path, separator, song):
    seen: list[list[str]] = []

    def look(n_done: int, n_total: int | None) -> None:
        seen.append(sorted(path.name for path in (tmp_path / "out").iterdir()))

    separate_file(separator, song, tmp_path / "out" / "song", on_progress=look)
    assert len(seen[0]) == 1
    assert seen[0][0].startswith(".stemlight-")
    assert everything_in(tmp_path / "out") == ["song", "song/loud.wav", "song/soft.wav"]


def test_a_song_that_breaks_off_leaves_nothing(tmp_path, separator):
    whole = tmp_path / "song.flac"
    soundfile.write(whole, noise(2, 200_000).T, 8000)
    whole.write_bytes(whole.read_bytes()[:-200_000])
    with pytest.raises(InputError, match="cut off or damaged"):
        separate_file(separator, whole, tmp_path / "out")
    assert everything_in(tmp_path) == ["song.flac"]


def test_stems_that_exist_are_refused_and_stay(tmp_path, separator, song):
    folder = tmp_path / "out"
    separate_file(separator, song, folder, options=SongOptions(sources=["soft"]))
    before = (folder / "soft.wav").read_bytes()
    other = write(tmp_path / "other.wav", noise(2, 100))
    with pytest.raises(OutputError) as caught:
        separate_file(separator, other, folder)
    assert str(caught.value) == (
        f"{folder} holds soft.wav already; allow to overwrite (--overwrite), "
        "or choose another folder"
    )
    assert everything_in(folder) == ["soft.wav"]
    assert (folder / "soft.wav").read_bytes() == before


def test_overwriting_replaces_the_stems_and_nothing_else(tmp_path, separator, song):
    folder = tmp_path / "out"
    separate_file(separator, song, folder)
    (folder / "notes.txt").write_text("mine")
    short = write(tmp_path / "short.wav", noise(2, 100))
    separate_file(separator, short, folder, options=SongOptions(overwrite=True))
    assert everything_in(folder) == ["loud.wav", "notes.txt", "soft.wav"]
    assert [soundfile.info(folder / f"{name}.wav").frames for name in ("loud", "soft")] == [100] * 2


def test_stems_join_others_in_a_folder_that_exists(tmp_path, separator, song):
    folder = tmp_path / "out"
    separate_file(separator, song, folder, options=SongOptions(sources=["soft"]))
    separate_file(separator, song, folder, options=SongOptions(sources=["loud"]))
    assert everything_in(folder) == ["loud.wav", "soft.wav"]


def test_a_link_to_a_folder_elsewhere_is_a_folder(tmp_path, separator, song):
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    separate_file(separator, song, tmp_path / "out")
    assert everything_in(tmp_path / "real") == ["loud.wav", "soft.wav"]


def test_a_stem_that_cannot_be_replaced_leaves_all_old_ones(tmp_path, separator, song):
    folder = tmp_path / "out"
    separate_file(separator, song, folder)
    old = {name: (folder / name).read_bytes() for name in ("loud.wav", "soft.wav")}
    bind = ["mount", "--bind", str(song), str(folder / "soft.wav")]  # a busy file
    if os.geteuid() != 0 or subprocess.run(bind, check=False, capture_output=True).returncode:
        pytest.skip("only root can make a file busy")
    try:
        with pytest.raises(OutputError, match=r"cannot write to .*/out: Device or resource busy"):
            separate_file(separator, song, folder, options=SongOptions(overwrite=True))
    finally:
        subprocess.run(["umount", str(folder / "soft.wav")], check=True)
    assert {name: (folder / name).read_bytes() for name in everything_in(folder)} == old


def test_a_folder_in_the_place_of_a_stem_is_never_removed(tmp_path, separator, song):
    (tmp_path / "out" / "soft.wav" / "precious").mkdir(parents=True)
    with pytest.raises(OutputError, match=r"out/soft\.wav exists and is no file; rename it"):
        separate_file(separator, song, tmp_path / "out", options=SongOptions(overwrite=True))
    assert everything_in(tmp_path / "out") == ["soft.wav", "soft.wav/precious"]


def test_a_folder_that_appears_during_the_work_is_not_lost(tmp_path, separator, song):
    folder = tmp_path / "out"

    def intrude(n_done: int, n_total: int | None) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "soft.wav").write_bytes(b"of another process")

    with pytest.raises(OutputError, match=r"holds soft\.wav already"):
        separate_file(separator, song, folder, on_progress=intrude)
    assert everything_in(folder) == ["soft.wav"]
    assert (folder / "soft.wav").read_bytes() == b"of another process"


# What is refused


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path, separator, song):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="out exists and is no folder; choose another folder"):
        separate_file(separator, song, tmp_path / "out")
    with pytest.raises(OutputError, match=r"cannot write to .*/out/song: Not a directory"):
        separate_file(separator, song, tmp_path / "out" / "song")


def test_a_name_that_is_too_long_is_refused_before_the_work(tmp_path, separator, song):
    def fail(*args: object) -> None:
        pytest.fail("the work began")

    with pytest.raises(OutputError, match="File name too long"):
        separate_file(separator, song, tmp_path / "new" / ("x" * 300), on_progress=fail)
    assert everything_in(tmp_path) == ["song.wav"]
    longest = tmp_path / ("음" * 85)
    separate_file(separator, song, longest)
    assert everything_in(longest) == ["loud.wav", "soft.wav"]


def test_a_format_that_cannot_hold_the_song_leaves_nothing(tmp_path, separator):
    song = write(tmp_path / "song.wav", noise(6, 100))
    with pytest.raises(UsageError, match="mp3 holds 1 to 2 channels, not 6; use wav"):
        separate_file(separator, song, tmp_path / "out", options=SongOptions(format="mp3"))
    assert everything_in(tmp_path) == ["song.wav"]


def test_options_refuse_what_no_song_could_be_written_with():
    with pytest.raises(UsageError, match="format must be one of wav, flac, mp3, ogg, not 'wave'"):
        SongOptions(format="wave")
    with pytest.raises(UsageError, match="flac holds 16 or 24 bits, not float; use wav"):
        SongOptions(format="flac", bit_depth="float")
    with pytest.raises(UsageError, match="mp3 has no bit depth, but '16' was asked"):
        SongOptions(format="mp3", bit_depth="16")
