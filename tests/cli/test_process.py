"""The command as a process of its own: what it imports, its signals, streams and exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .material import STEMS, TORCH_GONE, noise, python, stems_of, tree, write_song

SLOW_SECONDS = 600


def wait_for(path: Path) -> None:
    give_up = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < give_up, f"{path} did not appear"
        time.sleep(0.005)


# What is imported


@pytest.mark.parametrize("arguments", [["--help"], ["separate", "--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys, stemlight\n"
        "assert 'stemlight.errors' not in sys.modules\n"
        "from stemlight.cli import app\n"
        "try:\n    app(sys.argv[1:])\nexcept SystemExit: pass\n"
        "heavy = {'numpy', 'scipy', 'onnxruntime', 'av', 'soundfile', 'soxr', 'torch', 'lightning',"
        " 'rich', 'yaml'}\n"
        "print('HEAVY', heavy & set(sys.modules))"
    )
    ran = python(code, *arguments)
    assert "HEAVY set()" in ran.stdout, ran.stdout + ran.stderr


def test_separation_needs_no_torch(model, tmp_path):
    song = write_song(tmp_path / "song.wav", noise(1000))
    ran = python(TORCH_GONE, "separate", song, "--model", model, "-o", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    assert tree(tmp_path / "out") == stems_of("song")


def test_without_torch_what_needs_it_names_the_extra(model, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    asked = {
        "train": ["train", recipe],
        "torch": ["separate", "x.wav", "--model", model, "--engine", "torch"],
    }
    for extra, arguments in asked.items():
        ran = python(TORCH_GONE, *arguments)
        assert (ran.returncode, ran.stdout) == (1, "")
        assert ran.stderr.count("\n") == 1
        assert f"which is not installed; run: pip install 'stemlight[{extra}]'" in ran.stderr


# Streams


def test_a_pipe_is_standard_input(model, tmp_path):
    song = write_song(tmp_path / "song.wav", noise(1000))
    command = f"cat '{song}' | '{sys.executable}' -m stemlight separate - --model '{model}'"
    ran = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert tree(tmp_path / "separated") == stems_of("stdin")


def test_a_pipe_with_a_name_is_read_once_whatever_is_asked(model, tmp_path):
    """Tags, hash, sound and audit each read the song."""
    song = write_song(tmp_path / "song.flac", noise(1000))
    os.mkfifo(tmp_path / "pipe.flac")
    options = f"--model '{model}' --resume --check --report report.json"
    command = (
        f"cat '{song}' > pipe.flac &\n"
        f"'{sys.executable}' -m stemlight separate pipe.flac <(cat '{song}') {options}"
    )
    ran = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    first, second = json.loads((tmp_path / "report.json").read_text())["songs"]
    assert first["input"] == "pipe.flac"
    assert second["input"].startswith("/dev/fd/")
    assert {song["check"]["n_samples"] for song in (first, second)} == {1000}
    for stem in STEMS:
        given = [Path(song["stems"][stem]["path"]) for song in (first, second)]
        assert len({(tmp_path / path).read_bytes() for path in given}) == 1


def test_the_console_script_prints_the_version():
    script = Path(sys.executable).with_name("stemlight")
    ran = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("stemlight 0.")


def test_a_full_standard_output_is_one_line(model, tmp_path):
    song = write_song(tmp_path / "song.wav", noise(100))
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "stemlight", "separate", song, "--model", model, "-o", tmp_path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[1:] == [
        "error: cannot write to standard output: No space left on device"
    ]


def test_a_reader_that_has_seen_enough_ends_it_quietly(model):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        ran = subprocess.run(
            [sys.executable, "-m", "stemlight", "info", model],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (1, "")


def test_closed_streams_are_no_reason_to_fail(model, tmp_path):
    song = write_song(tmp_path / "song.wav", noise(100))
    command = f"'{sys.executable}' -m stemlight separate '{song}' - --model '{model}' <&- >&- 2>&-"
    ran = subprocess.run(command, shell=True, cwd=tmp_path, check=False)
    assert ran.returncode == 1  # because of the standard input
    assert tree(tmp_path / "separated") == stems_of("song")


def test_a_terminal_gets_a_bar_and_standard_output_the_results(model, tmp_path):
    song = write_song(tmp_path / "[red]song.wav", noise(100_000))
    terminal, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "stemlight", "separate", song, "--model", model, "-o", tmp_path],
        stdout=subprocess.PIPE,
        stderr=side,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "200"},
        text=True,
    )
    os.close(side)
    shown = b""
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # the process is gone
            break
        shown += piece
    out, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == 0
    assert b"[red]song.wav" in shown
    assert "\x1b" not in out
    assert out.splitlines()[1].endswith(f"{tmp_path}/[red]song")


# Signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("wait_seconds", [0, 0.1, 0.3])
def test_a_signal_ends_it_without_a_trace(model, tmp_path, number, code, wait_seconds):
    song = write_song(tmp_path / "song.wav", noise(SLOW_SECONDS * 8000, 1), 8000)
    report = tmp_path / "report.json"
    arguments = ["--model", model, "-o", tmp_path / "out", "--report", report]
    process = subprocess.Popen(
        [sys.executable, "-m", "stemlight", "separate", song, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(tmp_path / "out")
    time.sleep(wait_seconds)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert (out, err) == ("", f"separating {song}\n")
    assert tree(tmp_path) == ["report.json", "song.wav"]
    assert not (tmp_path / "out").exists()


def test_a_signal_ends_waiting_for_standard_input(model, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "stemlight", "separate", "-", "--model", model, "-o", tmp_path],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == "separating <stdin>\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130
    assert process.stderr.read() == ""
    process.communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("is_written_to", [False, True], ids=["nobody writes", "half a song"])
def test_a_signal_ends_waiting_for_a_pipe(model, tmp_path, number, code, is_written_to):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "stemlight", "separate", pipe, "--model", model, "-o", out],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert process.stderr.readline() == f"separating {pipe}\n"
    with pipe.open("wb", buffering=0) if is_written_to else contextlib.nullcontext() as writer:
        if writer is not None:
            writer.write(b"RIFF")
        time.sleep(0.2)
        process.send_signal(number)
        assert process.wait(timeout=30) == code
    assert process.stderr.read() == ""
    process.stderr.close()
    assert not out.exists()


def test_a_pipe_that_ends_before_its_song_begins_is_one_line(run, tmp_path):
    pipe = tmp_path / "pipe.wav"
    os.mkfifo(pipe)
    with subprocess.Popen(f": > '{pipe}'", shell=True):
        ran = run("separate", pipe, "-o", tmp_path / "out")
    assert ran.code == 1
    assert ran.errors == [f"error: {pipe} is empty (0 bytes); get it anew"]


# Bugs of ours


def test_an_unexpected_exception_is_one_line_and_the_others_are_done(model, tmp_path):
    for name in ("a", "b"):
        write_song(tmp_path / f"{name}.wav", noise(100))
    broken = (
        "import sys\n"
        "from stemlight.separation import songs\n"
        "whole = songs.separate_file\n"
        "def broken(separator, song, *rest, **options):\n"
        "    if song.name == 'a.wav': raise ZeroDivisionError('two\\nlines')\n"
        "    return whole(separator, song, *rest, **options)\n"
        "songs.separate_file = broken\n"
        "from stemlight.cli import main\n"
        "main()"
    )
    arguments = [tmp_path, "--model", model, "--quiet", "-o"]
    ran = python(broken, "separate", *arguments, tmp_path / "out")
    assert ran.returncode == 1
    assert ran.stderr == (
        f"error: {tmp_path}/a.wav: ZeroDivisionError: two lines "
        "(this is a bug in stemlight: STEMLIGHT_DEBUG=1 shows where, please report it)\n"
    )
    assert tree(tmp_path / "out") == stems_of("b")
    ran = python(
        f"import os; os.environ['STEMLIGHT_DEBUG'] = '1'\n{broken}",
        "separate",
        *arguments,
        tmp_path / "again",
    )
    assert "Traceback (most recent call last)" in ran.stderr
