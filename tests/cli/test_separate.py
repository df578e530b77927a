"""`stemlight separate` on inputs as they should be."""

from __future__ import annotations

import io
import json
import sys

import numpy as np
import pytest
import soundfile

from stemlight.audio import BIT_DEPTHS, FORMATS, read_audio
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
    assert (stem.n_samples, stem.sample_rate_hz) == (RATE_HZ, RATE_HZ)


def test_help_offers_the_formats_depths_and_model_that_there_are(run):
    text = run("separate", "--help").out
    assert f"--format {'|'.join(FORMATS)}" in text
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


def test_clipped_samples_are_told(run, tmp_path):
    song = tmp_path / "loud.wav"
    soundfile.write(song, 20 * noise(5000), RATE_HZ, subtype="FLOAT")
    ran = run("separate", song, "-o", tmp_path / "out", "--stems", "bass")
    assert ran.code == 0
    assert "samples of bass are beyond full scale and were clipped; --bit-depth float" in ran.err


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
