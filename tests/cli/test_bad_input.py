"""Bad input: a right result or one clear line that names the file, and the others are done."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemlight.audio import read_audio

from .material import RATE_HZ, noise, stems_of, tree, write_song

# Each makes one bad input in a folder and returns it with a part of the line that it deserves.


def missing(folder: Path) -> tuple[Path, str]:
    return folder / "bad.wav", "No such file or directory"


def directory_of_nothing(folder: Path) -> tuple[Path, str]:
    (folder / "bad" / "deeper").mkdir(parents=True)
    (folder / "bad" / "readme.txt").write_text("no song")
    return folder / "bad", "holds no sound files"


def text_renamed_to_mp3(folder: Path) -> tuple[Path, str]:
    (folder / "bad.mp3").write_text("These are the words of a song, but no sound.\n" * 1000)
    return folder / "bad.mp3", "is no audio"


def truncated_wav(folder: Path) -> tuple[Path, str]:
    path = write_song(folder / "bad.wav")
    path.write_bytes(path.read_bytes()[:100_000])
    return path, "cut off or damaged"


def truncated_flac(folder: Path) -> tuple[Path, str]:
    path = write_song(folder / "bad.flac", noise(3 * RATE_HZ))
    path.write_bytes(path.read_bytes()[:300_000])
    return path, "cut off or damaged"


def empty_file(folder: Path) -> tuple[Path, str]:
    (folder / "bad.wav").touch()
    return folder / "bad.wav", "is empty"


def zero_samples(folder: Path) -> tuple[Path, str]:
    return write_song(folder / "bad.wav", noise(0)), ""


def nan_late_in_the_song(folder: Path) -> tuple[Path, str]:
    samples = noise(3 * RATE_HZ)
    samples[-100, 1] = np.nan
    soundfile.write(folder / "bad.wav", samples, RATE_HZ, subtype="FLOAT")
    return folder / "bad.wav", "NaN"


def too_many_channels(folder: Path) -> tuple[Path, str]:
    return write_song(folder / "bad.wav", noise(100, n_channels=40)), "channels must lie in 1..32"


BAD = [
    missing,
    directory_of_nothing,
    text_renamed_to_mp3,
    truncated_wav,
    truncated_flac,
    empty_file,
    zero_samples,
    nan_late_in_the_song,
    too_many_channels,
]


@pytest.mark.parametrize("make", BAD)
def test_a_bad_input_gives_one_line_and_the_others_are_done(run, song, tmp_path, make):
    bad, reason = make(tmp_path)
    ran = run("separate", bad, song, "-o", tmp_path / "out")
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert str(bad) in ran.errors[0]
    assert reason in ran.errors[0]
    # Nothing else is said, by a decoder for example.
    news = [line for line in ran.err.splitlines() if not line.startswith(("error: ", "separating"))]
    assert news == ["1 of 2 inputs failed"]
    assert tree(tmp_path / "out") == stems_of("song")
    assert len(ran.out.splitlines()) == 2


@pytest.mark.parametrize("make", BAD)
def test_a_bad_input_alone_leaves_no_folder(run, tmp_path, make):
    bad, _ = make(tmp_path)
    ran = run("separate", bad, "-o", tmp_path / "out")
    assert ran.code == 1
    assert ran.out == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("samples", "rate_hz"),
    [
        (np.zeros((20_000, 2)), RATE_HZ),
        (noise(1), RATE_HZ),
        (noise(1), 8000),
        (noise(20_000, n_channels=1), RATE_HZ),
        (noise(20_000, n_channels=6), RATE_HZ),
        (noise(20_000), 8000),
        (noise(20_000), 192_000),
    ],
    ids=["silence", "one sample", "one sample at 8 kHz", "mono", "six channels", "8k", "192k"],
)
def test_odd_but_good_input_gives_stems_of_its_own_shape(run, tmp_path, samples, rate_hz):
    song = write_song(tmp_path / "odd.wav", samples, rate_hz)
    ran = run("separate", song, "-o", tmp_path / "out")
    assert (ran.code, ran.errors) == (0, [])
    assert tree(tmp_path / "out") == stems_of("odd")
    for path in (tmp_path / "out" / "odd").iterdir():
        stem = read_audio(path)
        assert stem.samples.T.shape == samples.shape
        assert stem.sample_rate_hz == rate_hz
        assert np.any(stem.samples) == np.any(samples)


def test_a_name_that_is_no_text_is_shown_escaped(run, tmp_path):
    folder = os.fsencode(tmp_path)
    content = write_song(tmp_path / "x.wav", noise(50)).read_bytes()
    for name in (b"b\xe4d.wav", b"two\nlines.wav"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(content)
    Path(os.fsdecode(folder + b"/worse\xe4\n.wav")).touch()
    (tmp_path / "x.wav").unlink()
    ran = run("separate", tmp_path, "-o", tmp_path / "out", "--stems", "bass")
    assert ran.code == 1
    assert len(ran.errors) == 1
    assert "worse\\udce4\\n.wav" in ran.errors[0]
    assert len(ran.out.splitlines()) == 3
    assert tree(tmp_path / "out") == ["b\udce4d/bass.wav", "two\nlines/bass.wav"]


def test_an_empty_argument_is_not_the_current_folder(run, song, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run("separate", "", "-o", tmp_path / "out")
    assert (ran.code, ran.err) == (1, "error: '' is no name of a file or folder\n")


# Output that cannot be


@pytest.mark.parametrize("place", ["a file", "below a file", "/proc/stemlight"])
def test_an_unwritable_output_folder_gives_one_line_for_each_song(run, song, tmp_path, place):
    (tmp_path / "file").write_text("precious")
    output = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "out"}.get(place)
    second = write_song(tmp_path / "second.wav", noise(50))
    ran = run("separate", song, second, "-o", output or place)
    assert ran.code == 1
    assert ran.out == ""
    assert len(ran.errors) == 2
    assert ran.errors[0].startswith(f"error: {song}: cannot write to ")
    assert (tmp_path / "file").read_text() == "precious"


def test_a_full_disk_gives_one_line_and_leaves_nothing(run, song, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root can make a tiny disk")
    short = write_song(tmp_path / "short.wav", noise(1000))
    try:
        ran = run("separate", song, short, "-o", disk / "out")
        left = tree(disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert ran.code == 1
    (error,) = ran.errors
    assert error.startswith(f"error: {song}: cannot write {disk}/out/song/")
    assert error.endswith(".wav: No space left on device; free some space or choose another folder")
    assert left == [f"out/{name}" for name in stems_of("short")]


def test_stems_that_exist_are_refused_unless_overwriting(run, song, tmp_path):
    out = tmp_path / "out"
    run("separate", song, "-o", out)
    times = [path.stat().st_mtime_ns for path in sorted((out / "song").iterdir())]
    ran = run("separate", song, "-o", out)
    assert ran.code == 1
    assert ran.err.splitlines()[-1] == (
        f"error: {song}: {out}/song holds vocals.wav, drums.wav, bass.wav, other.wav already; "
        "allow to overwrite (--overwrite), or choose another folder"
    )
    assert times == [path.stat().st_mtime_ns for path in sorted((out / "song").iterdir())]
    assert run("separate", song, "-o", out, "--overwrite").code == 0
    assert tree(out) == stems_of("song")
    assert times != [path.stat().st_mtime_ns for path in sorted((out / "song").iterdir())]


def test_a_format_that_cannot_hold_a_song_fails_that_song(run, song, tmp_path):
    wide = write_song(tmp_path / "wide.wav", noise(100, n_channels=6))
    ran = run("separate", wide, song, "-o", tmp_path / "out", "--format", "mp3")
    assert ran.code == 1
    assert ran.errors == [f"error: {wide}: mp3 holds 1 to 2 channels, not 6; use wav"]
    assert tree(tmp_path / "out") == stems_of("song", "mp3")


def test_a_damaged_model_is_one_line(run, model, song, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in model.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "model.onnx").write_bytes(b"no graph")
    ran = run("separate", song, "--model", broken, "-o", tmp_path / "out")
    assert ran.code == 1
    assert ran.err.startswith(f"error: {broken}/model.onnx is damaged")
    assert ran.err.count("\n") == 1


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--stems", "vocal"], "the model has no source 'vocal' (did you mean 'vocals'?)"),
        (["--stems", ""], "the model has no source ''"),
        (["--stems", "bass,bass"], "source 'bass' is asked twice"),
        (["--karaoke", "guitar"], "the model has no source 'guitar'"),
        (["--karaoke", "vocals", "--stems", "bass"], "--stems and --karaoke exclude each other"),
        (["--model", "stemlihgt"], "no model 'stemlihgt'"),
        (
            ["--format", "wma"],
            "format must be one of wav, flac, mp3, ogg, opus, m4a, stem.mp4, not 'wma'",
        ),
        (["--format", "mp3", "--bit-depth", "16"], "mp3 has no bit depth"),
        (["--bit-depth", "32"], "bit depth must be one of 16, 24, float, not '32'"),
        (["--engine", "tflite"], "no engine 'tflite'"),
        (["--device", "mps"], "the onnx engine has no device 'mps'; choose from auto, cpu, cuda"),
        (["--precision", "bfloat16"], "the onnx engine computes in float32 or int8, not in"),
        (["--report", "nowhere/report.json"], "--report nowhere/report.json: there is no folder"),
    ],
)
def test_wrong_usage_is_one_line_and_code_2_before_any_work(
    run, song, tmp_path, monkeypatch, arguments, line
):
    monkeypatch.chdir(tmp_path)
    ran = run("separate", "song.wav", *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert ran.err.startswith(f"error: {line}")
    assert ran.err.count("\n") == 1
    assert tree(tmp_path) == ["song.wav"]


@pytest.mark.parametrize("arguments", [[], ["x.wav", "--threads", "two"], ["x.wav", "--nonsense"]])
def test_arguments_that_cannot_be_read_are_code_2(run, arguments):
    ran = run("separate", *arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert "Usage: stemlight separate" in ran.err


def test_a_pipe_in_a_folder_is_refused_and_not_waited_for(run, song, tmp_path):
    folder = tmp_path / "songs"
    folder.mkdir()
    song.rename(folder / "good.wav")
    os.mkfifo(folder / "waiting.wav")
    ran = run("separate", folder, "-o", tmp_path / "out")
    assert ran.code == 1
    assert ran.errors == [f"error: {folder}/waiting.wav is a pipe or device; name it by itself"]
    assert (tmp_path / "out" / "good" / "vocals.wav").is_file()
