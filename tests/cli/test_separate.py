"""`stemlight separate` on inputs as they should be."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlight.audio import BIT_DEPTHS, FORMATS, Tags, read_audio, read_tags, write_tags
from stemlight.separation.song_options import SONG_FORMATS
from stemlight.weights.catalogue import DEFAULT_MODEL

from .material import RATE_HZ, STEMS, noise, stems_of, tree, write_song


def test_every_stem_has_the_songs_length_and_rate(run, song, tmp_path):
    ran = run("separate", song, "-o", tmp_path / "out")
    assert ran.code == 0
    assert tree(tmp_path / "out") == stems_of("song")
    for path in (tmp_path / "out" / "song").iterdir():
        found = soundfile.info(path)
        assert (found.frames, found.samplerate, found.channels) == (RATE_HZ, RATE_HZ, 2)
        assert found.subtype == "PCM_24"


def test_the_output_folder_is_called_separated(run, song, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("separate", "song.wav")
    assert tree(tmp_path / "separated") == stems_of("song")


def test_asked_stems_are_the_same_as_among_all(run, song, tmp_path):
    run("separate", song, "-o", tmp_path / "all")
    assert run("separate", song, "-o", tmp_path / "some", "--stems", "bass, vocals").code == 0
    assert tree(tmp_path / "some") == ["song/bass.wav", "song/vocals.wav"]
    for name in tree(tmp_path / "some"):
        some, every = read_audio(tmp_path / "some" / name), read_audio(tmp_path / "all" / name)
        np.testing.assert_allclose(some.samples, every.samples, atol=1e-6)


def test_karaoke_gives_two_parts_that_sum_to_the_song(run, song, tmp_path):
    out = tmp_path / "out"
    ran = run("separate", song, "-o", out, "--karaoke", "vocals", "--bit-depth", "float")
    assert ran.code == 0
    assert tree(out) == ["song/no_vocals.wav", "song/vocals.wav"]
    parts = [read_audio(out / name).samples for name in tree(out)]
    np.testing.assert_allclose(sum(parts), read_audio(song).samples, atol=1e-6)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_has_the_songs_length(run, song, tmp_path, format):
    ran = run("separate", song, "-o", tmp_path, "--format", format, "--stems", "drums")
    assert ran.code == 0
    stem = read_audio(tmp_path / "song" / f"drums.{format}")
    rate_hz = 48_000 if format == "opus" else RATE_HZ  # which keeps no other
    assert (stem.n_samples, stem.sample_rate_hz) == (rate_hz, rate_hz)


def test_a_stem_mp4_is_one_file_for_dj_software(run, song, tmp_path):
    ran = run("separate", song, "-o", tmp_path / "out", "--format", "stem.mp4", "--check")
    assert (ran.code, ran.errors) == (0, [])
    assert tree(tmp_path / "out") == ["song/song.stem.mp4"]
    for stream in range(5):
        stem = read_audio(tmp_path / "out" / "song" / "song.stem.mp4", stream=stream)
        assert (stem.n_samples, stem.sample_rate_hz) == (RATE_HZ, RATE_HZ)
    again = run("separate", tmp_path / "out", "-o", tmp_path / "again", "--stems", "bass")
    assert again.code == 0
    assert tree(tmp_path / "again") == ["song/song/bass.wav"]


@pytest.mark.parametrize("format", ["mp3", "opus", "m4a"])
def test_bit_rates_change_the_size(run, song, tmp_path, format):
    sizes = []
    for rate in (64, 128):
        arguments = ["--format", format, "--bit-rate", rate, "--stems", "bass", "--overwrite"]
        assert run("separate", song, "-o", tmp_path / "out", *arguments).code == 0
        sizes.append((tmp_path / "out" / "song" / f"bass.{format}").stat().st_size)
    assert sizes[1] > 1.3 * sizes[0]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_passes_its_check(run, song, tmp_path, format):
    ran = run("separate", song, "-o", tmp_path / "out", "--format", format, "--check")
    assert (ran.code, ran.errors) == (0, [])
    assert "check: length exact, " in ran.out


def test_tags_are_carried_over_unless_unwanted(run, song, tmp_path):
    write_tags(song, Tags(title="Blue", artist="Somebody"))
    run("separate", song, "-o", tmp_path / "with", "--stems", "bass")
    run("separate", song, "-o", tmp_path / "without", "--stems", "bass", "--no-tags")
    assert read_tags(tmp_path / "with" / "song" / "bass.wav").title == "Blue (bass)"
    assert not read_tags(tmp_path / "without" / "song" / "bass.wav")


def test_help_offers_the_formats_depths_and_model_that_there_are(run):
    text = run("separate", "--help").out
    assert f"--format {'|'.join(SONG_FORMATS)}" in text
    assert f"--bit-depth {'|'.join(BIT_DEPTHS)}" in text
    assert f"[default: {DEFAULT_MODEL}]" in " ".join(text.split())


@pytest.mark.parametrize("arguments", [["--format", "wav"], ["--format", "ogg"]])
def test_two_runs_give_the_same_bytes(run, song, tmp_path, arguments):
    for name in ("one", "two"):
        run("separate", song, "-o", tmp_path / name, *arguments)
    files = tree(tmp_path / "one")
    assert files == tree(tmp_path / "two")
    assert [(tmp_path / "one" / file).read_bytes() for file in files] == [
        (tmp_path / "two" / file).read_bytes() for file in files
    ]


def test_the_torch_engine_gives_the_same_stems(run, song, tmp_path):
    for engine in ("onnx", "torch"):
        ran = run("separate", song, "-o", tmp_path / engine, "--engine", engine, "--device", "cpu")
        assert ran.code == 0
    for name in tree(tmp_path / "onnx"):
        one, other = read_audio(tmp_path / "onnx" / name), read_audio(tmp_path / "torch" / name)
        np.testing.assert_allclose(one.samples, other.samples, atol=1e-4)


# Which inputs, and where their stems go


def test_a_folders_tree_is_mirrored_and_only_songs_are_taken(run, tmp_path):
    album = tmp_path / "album"
    short = noise(50)
    write_song(album / "intro.wav", short)
    write_song(album / "cd 1" / "first.FLAC", short)
    write_song(album / "cd 1" / "live" / "last.ogg", short)
    write_song(album / ".hidden.wav", short)
    write_song(album / ".trash" / "old.wav", short)
    (album / "cover.jpg").write_bytes(b"a picture")
    ran = run("separate", album, "-o", tmp_path / "out", "--stems", "bass")
    assert ran.code == 0, ran.err
    assert tree(tmp_path / "out") == [
        "cd 1/first/bass.wav",
        "cd 1/live/last/bass.wav",
        "intro/bass.wav",
    ]


@pytest.mark.parametrize(("output", "stem"), [("out", "out/a/bass.wav"), (".", "a/bass.wav")])
def test_results_inside_the_folder_are_no_songs(run, tmp_path, monkeypatch, output, stem):
    write_song(tmp_path / "a.wav", noise(50))
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert run("separate", ".", "-o", output, "--stems", "bass", "--overwrite").code == 0
    assert tree(tmp_path) == ["a.wav", stem]


def test_songs_of_one_name_get_folders_of_their_own_in_the_order_given(run, tmp_path):
    for index, name in enumerate(["x/a.wav", "y/a.wav", "y/a.flac"]):
        write_song(tmp_path / name, noise(50 + index))
    songs = [tmp_path / "x" / "a.wav", tmp_path / "y"]
    ran = run("separate", *songs, tmp_path / "x" / "a.wav", "-o", tmp_path / "out", "--stems=bass")
    assert ran.code == 0
    lengths = {
        name: soundfile.info(tmp_path / "out" / name).frames for name in tree(tmp_path / "out")
    }
    assert lengths == {"a/bass.wav": 50, "a (2)/bass.wav": 52, "a (3)/bass.wav": 51}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Mr. Big", "Mr. Big"),  # no suffix of sound
        ("mix.stem.mp4", "mix"),
        ("..wav", "..wav"),
        (".wav", ".wav"),
        ("a  .wav", "a  "),
        ("-x.wav", "-x"),
        ("[red] 100 % {done}.wav", "[red] 100 % {done}"),
        ("그대 안의 블루 🎵.wav", "그대 안의 블루 🎵"),
        ("음" * 83 + ".wav", "음" * 83),
        ("e" * 255, "e" * 255),
    ],
)
def test_a_track_is_called_like_its_file_without_the_suffix(
    run, tmp_path, monkeypatch, name, folder
):
    content = write_song(tmp_path / "x.wav", noise(50)).read_bytes()
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    ran = run("separate", "--stems", "bass", "--", name)
    assert (ran.code, ran.errors) == (0, [])
    assert tree(tmp_path / "separated") == [f"{folder}/bass.wav"]


def test_long_names_stay_apart(run, tmp_path):
    content = write_song(tmp_path / "x.wav", noise(50)).read_bytes()
    (tmp_path / "in").mkdir()
    for name in ("x" * 252, "음" * 84):
        (tmp_path / "in" / f"{name}.au").write_bytes(content)
        (tmp_path / "in" / f"{name}.ts").write_bytes(content)
    assert run("separate", tmp_path / "in", "-o", tmp_path / "out", "--stems=bass").code == 0
    assert tree(tmp_path / "out") == [
        f"{'x' * 251} (2)/bass.wav",
        f"{'x' * 252}/bass.wav",
        f"{'음' * 83} (2)/bass.wav",
        f"{'음' * 84}/bass.wav",
    ]


def test_a_dash_is_standard_input(run, song, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(song.read_bytes())))
    assert run("separate", "-", "-o", tmp_path / "out").code == 0
    assert tree(tmp_path / "out") == stems_of("stdin")


# What is said


def test_results_are_on_standard_output_and_news_on_standard_error(run, song, tmp_path):
    ran = run("separate", song, "-o", tmp_path / "out")
    header, row = ran.out.splitlines()
    assert header.split() == ["duration", "time", "factor"] + [
        word for stem in STEMS for word in (stem, "dB")
    ] + ["folder"]
    assert row.split()[:2] == ["1.0", "s"]
    assert row.endswith(f"  {tmp_path}/out/song")
    assert ran.err == f"separating {song}\n"


def test_quiet_prints_nothing_but_errors(run, song, tmp_path):
    ran = run("separate", song, tmp_path / "no.wav", "-o", tmp_path / "out", "--quiet")
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err == f"error: cannot read {tmp_path}/no.wav: No such file or directory\n"


@pytest.fixture
def loud(tmp_path) -> Path:
    """A song whose stems are louder than whole numbers can hold."""
    soundfile.write(tmp_path / "loud.wav", 20 * noise(5000), RATE_HZ, subtype="FLOAT")
    return tmp_path / "loud.wav"


def test_a_guard_gain_is_told(run, loud, tmp_path):
    report = tmp_path / "report.json"
    ran = run("separate", loud, "-o", tmp_path / "out", "--stems", "bass", "--report", report)
    assert ran.code == 0
    (song,) = json.loads(report.read_text())["songs"]
    assert song["gain_db"] < 0
    assert song["stems"]["bass"]["n_clipped"] == 0
    assert ran.err.splitlines()[1] == (
        f"{tmp_path}/out/loud: a stem is beyond full scale, so all were lowered by "
        f"{-song['gain_db']:.2f} dB; --bit-depth float keeps the level, "
        "--on-clip clip saturates instead"
    )


def test_clipped_samples_are_told(run, loud, tmp_path):
    ran = run("separate", loud, "-o", tmp_path / "out", "--stems", "bass", "--on-clip", "clip")
    assert ran.code == 0
    assert "samples of bass are beyond full scale and were clipped; --bit-depth float" in ran.err


def test_songs_that_last_too_long_fail_and_the_others_are_done(run, song, tmp_path):
    short = write_song(tmp_path / "short.wav", noise(1000))
    ran = run("separate", song, short, "-o", tmp_path / "out", "--max-duration", 0.5)
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert str(song) in ran.errors[0]
    assert tree(tmp_path / "out") == stems_of("short")
    ran = run("separate", song, "-o", tmp_path / "out", "--max-duration", 0)
    assert (ran.code, ran.err) == (2, "error: max_duration_seconds must be above 0, not 0.0\n")


# Exact sums


def total_steps(folder: Path) -> np.ndarray:
    return sum(soundfile.read(path, dtype="int32")[0] >> 8 for path in folder.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--exact-sum"],
        ["--exact-sum", "proportional"],
        ["--exact-sum", "other"],
        ["--exact-sum=vocals"],
        ["--exact-sum", "--karaoke", "vocals"],
        ["--exact-sum", "accompaniment", "--stems", "drums,accompaniment"],
    ],
)
@pytest.mark.parametrize("song_comes_first", [True, False])
def test_exact_sums_are_the_song_bit_by_bit(run, song, tmp_path, arguments, song_comes_first):
    words = [song, *arguments] if song_comes_first else [*arguments, song]
    ran = run("separate", *words, "-o", tmp_path / "out", "--check")
    assert ran.code == 0, ran.err
    assert "lowered" not in ran.err
    assert ", no sum error, sum exact, 0 clipped" in ran.out
    expected = soundfile.read(song, dtype="int32")[0] >> 8
    np.testing.assert_array_equal(total_steps(tmp_path / "out" / "song"), expected)


def test_a_folder_behind_exact_sum_is_an_input(run, tmp_path, monkeypatch):
    write_song(tmp_path / "album" / "song.wav", noise(100))
    monkeypatch.chdir(tmp_path)
    assert run("separate", "--exact-sum", "album", "-o", "out").code == 0
    assert tree(tmp_path / "out") == stems_of("song")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--exact-sum", "guitar"], "the exact sum must be one of proportional, vocals, drums,"),
        (["--exact-sum", "--stems", "bass"], "an exact sum needs stems that make up the whole"),
        (["--exact-sum", "--format", "mp3"], "mp3 keeps no sample exactly, so stems in it cannot"),
        (["--on-clip", "limit"], "on_clip must be one of guard, clip, not 'limit'"),
    ],
)
def test_what_cannot_be_is_wrong_usage_before_any_work(run, song, tmp_path, arguments, line):
    ran = run("separate", song, *arguments, "-o", tmp_path / "out")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"error: {line}")
    assert ran.err.count("\n") == 1
    assert tree(tmp_path) == ["song.wav"]


# The audit


def test_a_check_is_one_line_and_in_the_report(run, song, tmp_path):
    report = tmp_path / "report.json"
    ran = run("separate", song, "-o", tmp_path / "out", "--check", "--report", report)
    assert ran.code == 0, ran.err
    *_, line = ran.out.splitlines()
    assert line.startswith("  check: length exact, ")
    (done,) = json.loads(report.read_text())["songs"]
    assert done["check"]["n_samples"] == RATE_HZ
    assert done["check"]["n_samples_off"] == dict.fromkeys(STEMS, 0)
    assert done["check"]["problems"] == []


def test_the_report_has_every_input(run, song, tmp_path):
    silence = write_song(tmp_path / "silence.wav", np.zeros((100, 1)))
    report = tmp_path / "report.json"
    inputs = [tmp_path / "no.wav", song, silence]
    ran = run("separate", *inputs, "-o", tmp_path / "out", "--report", report, "--stems", "bass")
    assert ran.code == 1
    failed, done, silent = json.loads(report.read_text())["songs"]
    assert failed == {
        "status": "failed",
        "input": str(tmp_path / "no.wav"),
        "error": f"cannot read {tmp_path}/no.wav: No such file or directory",
    }
    assert (done["status"], done["input"]) == ("done", str(song))
    assert (done["duration_seconds"], done["sample_rate_hz"], done["n_channels"]) == (1, RATE_HZ, 2)
    assert done["stems"]["bass"]["path"] == str(tmp_path / "out" / "song" / "bass.wav")
    assert -60 < done["stems"]["bass"]["level_db"] < 0
    assert silent["stems"]["bass"]["level_db"] is None
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []
