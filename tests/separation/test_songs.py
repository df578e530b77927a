from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlight.audio import Tags, read_audio, read_tags, write_tags
from stemlight.chunking import ChunkPlan
from stemlight.errors import CancelledError, InputError, OutputError, UsageError
from stemlight.separation import Separator
from stemlight.separation.progress import fraction_progress
from stemlight.separation.song_checks import check_song
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


@pytest.mark.parametrize(
    ("level", "options"),
    [(0.5, SongOptions()), (3, SongOptions(exact_sum="proportional", resume="model"))],
    ids=["usual", "exact, with a guard gain and a record"],
)
def test_memory_does_not_grow_with_the_song(tmp_path, separator, level, options):
    def peak_bytes(n_samples: int) -> int:
        song = write(tmp_path / f"{n_samples}.wav", level * noise(1, n_samples))
        tracemalloc.start()
        separate_file(separator, song, tmp_path / f"{n_samples}", options=options)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return peak

    peak_bytes(1000)
    assert peak_bytes(1_000_000) < 1.1 * peak_bytes(200_000)


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
        "stream": 0,
    }
    assert plain["real_time_factor"] == report.real_time_factor


def test_progress_goes_up_to_the_songs_length(tmp_path, separator):
    song = write(tmp_path / "song.wav", noise(1, 150_000))
    seen: list[tuple[int, int | None]] = []
    separate_file(separator, song, tmp_path / "out", on_progress=lambda *args: seen.append(args))
    assert seen == [(65536, 150_000), (131_072, 150_000), (150_000, 150_000)]


def test_progress_can_tell_fraction_and_time_left(tmp_path, separator):
    song = write(tmp_path / "song.wav", noise(1, 150_000))
    seen: list[tuple[float | None, float | None]] = []
    report = fraction_progress(lambda *args: seen.append(args))
    separate_file(separator, song, tmp_path / "out", on_progress=report)
    fractions, etas = zip(*seen, strict=True)
    assert fractions == (65536 / 150_000, 131_072 / 150_000, 1.0)
    assert etas[-1] == 0
    assert all(eta is None or eta >= 0 for eta in etas)


def test_time_left_is_what_the_rest_takes_at_the_pace_so_far(monkeypatch):
    now = iter([100.0, 110.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    seen = []
    report = fraction_progress(lambda *args: seen.append(args))
    report(0, 400)
    report(100, 400)
    assert seen == [(0.0, None), (0.25, 30.0)]


def test_unknown_lengths_have_no_fraction_and_estimates_end_at_one():
    seen = []
    report = fraction_progress(lambda *args: seen.append(args))
    report(100, None)
    report(500, 400)
    assert seen[0] == (None, None)
    assert seen[1][0] == 1.0


def test_returning_false_cancels_and_leaves_nothing(tmp_path, separator, song):
    before = everything_in(tmp_path)
    with pytest.raises(CancelledError, match=r"the separation of .*song\.wav was cancelled"):
        separate_file(
            separator, song, tmp_path / "new" / "out", on_progress=lambda done, total: done < 1
        )
    assert everything_in(tmp_path) == before


# The guard gain


def peaks(folder: Path) -> dict[str, float]:
    return {
        path.stem: float(np.abs(read_audio(path).samples).max()) for path in folder.glob("*.wav")
    }


def clipping_song(path: Path, late: bool = False) -> Path:
    samples = 0.5 * noise(2, 200_000)
    samples[0, -5 if late else 5] = -1.5
    return write(path, samples)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("format", "bit_depth", "n_bits"), [("wav", "16", 16), ("flac", None, 24)])
def test_one_gain_for_all_stems_keeps_the_loudest_from_clipping(
    tmp_path, separator, late, format, bit_depth, n_bits
):
    song = clipping_song(tmp_path / "song.wav", late)
    options = SongOptions(format=format, bit_depth=bit_depth)
    report = separate_file(separator, song, tmp_path / "out", options=options)
    assert report.gain_db == pytest.approx(-20 * math.log10(1.5), abs=1e-3)
    assert [stem.n_clipped for stem in report.stems.values()] == [0, 0]
    gain = 10 ** (report.gain_db / 20)
    for name, share in (("loud", 1.0), ("soft", 0.25)):
        written = read_audio(report.stems[name].path).samples
        expected = share * gain * read_audio(song).samples
        np.testing.assert_allclose(written, expected, atol=0.51 * 2.0 ** (1 - n_bits))
    assert report.to_json()["gain_db"] == report.gain_db


def test_nothing_is_rescaled_where_nothing_would_clip(tmp_path, separator):
    samples = noise(1, 5000).clip(-1, 1 - 2.0**-23)
    samples[0, 0] = -1  # which whole numbers hold
    report = separate_file(separator, write(tmp_path / "song.wav", samples), tmp_path / "out")
    assert report.gain_db == 0
    written = read_audio(tmp_path / "out" / "loud.wav").samples
    np.testing.assert_allclose(written, samples, atol=2.0**-24)


def test_floats_are_never_touched(tmp_path, separator):
    song = clipping_song(tmp_path / "song.wav")
    report = separate_file(separator, song, tmp_path / "out", options=FLOAT)
    assert report.gain_db == 0
    np.testing.assert_array_equal(
        read_audio(tmp_path / "out" / "loud.wav").samples, read_audio(song).samples
    )


def test_clipping_instead_saturates_and_counts(tmp_path, separator):
    samples = np.zeros((1, 100))
    samples[0, :7] = 1.5
    song = write(tmp_path / "song.wav", samples)
    clip = SongOptions(on_clip="clip")
    report = separate_file(separator, song, tmp_path / "out", options=clip)
    assert {name: stem.n_clipped for name, stem in report.stems.items()} == {"loud": 7, "soft": 0}
    assert report.gain_db == 0
    assert peaks(tmp_path / "out") == {"loud": 1 - 2.0**-23, "soft": 0.375}


def test_a_second_writing_can_be_cancelled_and_leaves_nothing(tmp_path, separator):
    song = clipping_song(tmp_path / "song.wav", late=True)
    calls = []

    def cancel(n_done: int, n_total: int | None) -> bool:
        calls.append(n_done)
        return calls.count(200_000) < 2  # reading is over, and yet work goes on

    with pytest.raises(CancelledError):
        separate_file(separator, song, tmp_path / "out", on_progress=cancel)
    assert everything_in(tmp_path) == ["song.wav"]


def test_no_copy_of_the_samples_is_seen_while_they_are_kept(tmp_path, separator):
    song = clipping_song(tmp_path / "song.wav")
    seen = set()

    def look(n_done: int, n_total: int | None) -> None:
        seen.update(path.name.split(".")[1] for path in tmp_path.glob(".stemlight-*.part/.*"))

    separate_file(separator, song, tmp_path / "out", on_progress=look)
    assert seen == {"loud", "soft"}  # the hidden files of the writers


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


# Formats of more than sound

DJ_SOURCES = ("vocals", "drums", "bass", "other")


@pytest.fixture
def dj() -> Separator:
    gains = dict(zip(DJ_SOURCES, (0.4, 0.3, 0.2, 0.1), strict=True))
    return Separator(GainBackend(gains, sample_rate_hz=44_100), PLAN)


@pytest.fixture
def tagged(tmp_path) -> Path:
    path = write(tmp_path / "song.wav", 0.9 * noise(2, 50_000), 44_100)
    write_tags(path, Tags(title="Blue", artist="Somebody", date="2019"))
    return path


@pytest.mark.parametrize("bit_depth", [None, "24"])
def test_a_stem_mp4_is_one_file_with_the_mixture_and_four_stems(tmp_path, dj, tagged, bit_depth):
    options = SongOptions(format="stem.mp4", bit_depth=bit_depth)
    report = separate_file(dj, tagged, tmp_path / "Blue", options=options)
    path = tmp_path / "Blue" / "Blue.stem.mp4"
    assert everything_in(tmp_path / "Blue") == ["Blue.stem.mp4"]
    assert {stem.path for stem in report.stems.values()} == {path}
    mixture = read_audio(tagged).samples
    gains = {"drums": 0.3, "bass": 0.2, "other": 0.1, "vocals": 0.4, "mixture": 1.0}
    streams = {name: stem.stream for name, stem in report.stems.items()} | {"mixture": 0}
    for name, gain in gains.items():
        stem = read_audio(path, stream=streams[name]).samples
        assert stem.shape == mixture.shape
        if bit_depth is not None:
            np.testing.assert_allclose(stem, gain * mixture, atol=2.0**-23)
        error = np.square(stem - gain * mixture).sum() / np.square(gain * mixture).sum()
        assert error < 0.3  # of AAC, on noise
    assert read_tags(path).title == "Blue"


def test_stems_of_a_lossless_stem_mp4_can_add_up_exactly(tmp_path, dj, tagged):
    options = SongOptions(format="stem.mp4", bit_depth="24", exact_sum="proportional")
    report = separate_file(dj, tagged, tmp_path / "out", options=options)
    path = tmp_path / "out" / "out.stem.mp4"
    stems = [read_audio(path, stream=stem.stream).samples for stem in report.stems.values()]
    np.testing.assert_array_equal(sum(stems), read_audio(path).samples)
    assert check_song(tagged, report).problems == ()


def test_a_stem_mp4_of_other_than_four_stems_is_refused(tmp_path, separator, song):
    with pytest.raises(UsageError, match=r"stem\.mp4 holds 4 different stems .* not loud, soft"):
        separate_file(separator, song, tmp_path / "out", options=SongOptions(format="stem.mp4"))


def test_the_longest_name_of_a_folder_leaves_room_for_the_suffix(tmp_path, dj, tagged):
    folder = tmp_path / ("음" * 85)
    report = separate_file(dj, tagged, folder, options=SongOptions(format="stem.mp4"))
    assert report.stems["vocals"].path.name == "음" * 82 + ".stem.mp4"


@pytest.mark.parametrize("format", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_tags_are_carried_over_and_the_title_says_which_stem(tmp_path, dj, tagged, format):
    report = separate_file(dj, tagged, tmp_path / "out", options=SongOptions(format=format))
    for name, stem in report.stems.items():
        tags = read_tags(stem.path)
        assert (tags.title, tags.artist, tags.date) == (f"Blue ({name})", "Somebody", "2019")
    assert report.notes == ()


def test_a_song_without_a_title_is_called_like_its_folder(tmp_path, dj, tagged):
    write_tags(tagged, Tags(artist="Somebody"))
    report = separate_file(dj, tagged, tmp_path / "Green")
    assert read_tags(report.stems["bass"].path).title == "Green (bass)"


def test_without_tags_there_are_none(tmp_path, dj, tagged):
    report = separate_file(dj, tagged, tmp_path / "out", options=SongOptions(keep_tags=False))
    assert not read_tags(report.stems["bass"].path)
    bare = write(tmp_path / "bare.wav", noise(1, 500), 44_100)
    assert not read_tags(separate_file(dj, bare, tmp_path / "bare").stems["bass"].path)


def test_tags_do_not_touch_the_samples(tmp_path, dj, tagged):
    runs = [
        separate_file(
            dj,
            tagged,
            tmp_path / str(keep),
            options=SongOptions(keep_tags=keep, exact_sum="proportional"),
        )
        for keep in (True, False)
    ]
    for name in DJ_SOURCES:
        one, two = (read_audio(run.stems[name].path).samples for run in runs)
        np.testing.assert_array_equal(one, two)


# What is refused


def this_host(tmp_path: Path, separator: Separator, song: Path) -> str:
    """Return what names this computer in hidden folders."""
    seen: list[str] = []

    def look(n_done: int, n_total: int | None) -> None:
        seen.extend(path.name for path in tmp_path.glob(".stemlight-*.part"))

    separate_file(separator, song, tmp_path / "look", on_progress=look)
    return seen[0].split("-")[1]


@pytest.mark.parametrize("is_old", [True, False])
def test_hidden_folders_of_other_computers_are_removed_after_a_day(
    tmp_path, separator, song, is_old
):
    theirs = tmp_path / ".stemlight-abcdef-01234567.part"
    theirs.mkdir()
    (theirs / "vocals.wav").write_bytes(b"half")
    if is_old:
        for path in (theirs / "vocals.wav", theirs):
            os.utime(path, (0, time.time() - 25 * 3600))
    separate_file(separator, song, tmp_path / "out")
    assert theirs.exists() == (not is_old)


def test_a_hidden_folder_of_a_dead_process_is_removed_and_of_a_living_one_is_not(
    tmp_path, separator, song
):
    hold = (
        "import fcntl, os, sys, time\n"
        "fcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)\n"
    )
    host = this_host(tmp_path, separator, song)
    folders = [tmp_path / f".stemlight-{host}-{number * 8}.part" for number in "ab"]
    strange = tmp_path / ".stemlight-mine.part"
    for folder in (*folders, strange):
        folder.mkdir()
        (folder / "vocals.wav").write_bytes(b"half")
    living = subprocess.Popen([sys.executable, "-c", hold, folders[1]], stdout=subprocess.PIPE)
    try:
        assert living.stdout is not None
        living.stdout.readline()
        separate_file(separator, song, tmp_path / "out")
        assert [folder.exists() for folder in (*folders, strange)] == [False, True, True]
    finally:
        living.kill()
        living.communicate()
    separate_file(separator, song, tmp_path / "out", options=SongOptions(overwrite=True))
    assert [folder.exists() for folder in (*folders, strange)] == [False, False, True]


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
    with pytest.raises(UsageError, match=r"format must be one of wav, .*, stem\.mp4, not 'wave'"):
        SongOptions(format="wave")
    with pytest.raises(UsageError, match="flac holds 16 or 24 bits, not float; use wav"):
        SongOptions(format="flac", bit_depth="float")
    with pytest.raises(UsageError, match="mp3 has no bit depth, but '16' was asked"):
        SongOptions(format="mp3", bit_depth="16")
    with pytest.raises(
        UsageError, match="lossless flac has no bit rate, but 320 kbit/s were asked"
    ):
        SongOptions(format="flac", bit_rate_kbps=320)
    with pytest.raises(UsageError, match=r"on_clip must be one of guard, clip, not 'gaurd' \(did"):
        SongOptions(on_clip="gaurd")
