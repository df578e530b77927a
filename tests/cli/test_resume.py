"""`stemlight separate --resume`: what is done is done, whatever happened."""

from __future__ import annotations

import io
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .material import noise, stems_of, tree, write_song

N_PLACES = 3
N_MOMENTS = 3
ALBUM = ("a", "b", "live/c")
LAUNCH = (
    "import sys\n"
    "from stemlight.cli import main\n"
    "import stemlight.api, stemlight.separation.songs, stemlight.weights.fingerprints\n"
    "print('ready', file=sys.stderr, flush=True)\n"
    "main()"
)


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in tree(folder)}


def with_records(*stems: list[str]) -> list[str]:
    files = [name for song in stems for name in song]
    return sorted({*files, *(f"{name.rpartition('/')[0]}/.stemlight.json" for name in files)})


def test_finished_songs_are_skipped_and_the_others_done(run, tmp_path):
    album, out, report = tmp_path / "album", tmp_path / "out", tmp_path / "report.json"
    write_song(album / "a.wav", noise(3000))
    assert run("separate", album, "-o", out, "--resume").code == 0
    before = contents(out)
    write_song(album / "b.wav", noise(3000, seed=1))
    ran = run("separate", album, "-o", out, "--resume", "--report", report)
    assert ran.code == 0, ran.err
    assert [song["status"] for song in json.loads(report.read_text())["songs"]] == [
        "skipped",
        "done",
    ]
    assert f"{out}/a: done before" in ran.err
    assert f"{out}/b: done before" not in ran.err
    assert len(ran.out.splitlines()) == 3
    assert tree(out) == with_records(stems_of("a"), stems_of("b"))
    assert contents(out) | before == contents(out)


def test_the_content_counts_and_not_the_name_or_time(run, song, tmp_path):
    run("separate", song, "-o", tmp_path / "out", "--resume")
    song.touch()
    assert "done before" in run("separate", song, "-o", tmp_path / "out", "--resume").err
    write_song(song, noise(1000, seed=1))
    ran = run("separate", song, "-o", tmp_path / "out", "--resume")
    assert (ran.code, "done before" in ran.err) == (0, False)


@pytest.mark.parametrize(
    "arguments", [["--bit-depth", "16"], ["--exact-sum"], ["--engine", "torch", "--device", "cpu"]]
)
def test_what_changes_the_stems_makes_them_anew(run, song, tmp_path, arguments):
    run("separate", song, "-o", tmp_path / "out", "--resume")
    ran = run("separate", song, "-o", tmp_path / "out", "--resume", *arguments)
    assert (ran.code, "done before" in ran.err) == (0, False)
    ran = run("separate", song, "-o", tmp_path / "out", "--resume", *arguments)
    assert (ran.code, "done before" in ran.err) == (0, True)


def test_words_on_a_card_are_no_other_model_but_weights_are(run, song, model, tmp_path):
    copy = tmp_path / "model"
    copy.mkdir()
    for path in model.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    arguments = [song, "--model", copy, "-o", tmp_path / "out", "--resume", "--threads", "1"]
    run("separate", *arguments)
    card = json.loads((copy / "card.json").read_text())
    (copy / "card.json").write_text(json.dumps(card | {"summary": "Said better.", "name": "new"}))
    assert "done before" in run("separate", *arguments).err
    card["arguments"]["chunk"]["overlap_samples"] = 256
    (copy / "card.json").write_text(json.dumps(card))
    ran = run("separate", *arguments)
    assert (ran.code, "done before" in ran.err) == (0, False)


def test_standard_input_is_recognised(run, song, tmp_path, monkeypatch):
    for expected in (False, True):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(song.read_bytes())))
        ran = run("separate", "-", "-o", tmp_path / "out", "--resume", "--exact-sum", "--check")
        assert (ran.code, "done before" in ran.err) == (0, expected)
        assert "sum exact" in ran.out


def test_skipped_songs_are_checked_too(run, song, tmp_path):
    arguments = [song, "-o", tmp_path / "out", "--resume", "--exact-sum", "--check"]
    run("separate", *arguments)
    ran = run("separate", *arguments)
    assert ran.code == 0
    assert "sum exact" in ran.out


def test_stems_of_before_are_refused_without_a_record(run, song, tmp_path):
    run("separate", song, "-o", tmp_path / "out")
    ran = run("separate", song, "-o", tmp_path / "out", "--resume")
    assert ran.code == 1
    assert "already; allow to overwrite" in ran.err
    assert run("separate", song, "-o", tmp_path / "out", "--resume", "--overwrite").code == 0


@pytest.fixture(scope="module")
def album(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("album")
    for index, name in enumerate(ALBUM):
        write_song(folder / f"{name}.wav", noise(120_000, seed=index))
    return folder


def launch(model: Path, album: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the command; it returns when the imports are done, which takes most of a second."""
    arguments = ["--model", model, "--threads", "1", "-o", out, "--resume", "--quiet"]
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, "separate", album, *arguments], stderr=subprocess.PIPE
    )
    assert process.stderr is not None
    assert process.stderr.readline() == b"ready\n"
    return process


def finish(process: subprocess.Popen[bytes]) -> int:
    process.communicate(timeout=120)
    return process.returncode


def test_killed_at_random_moments_it_ends_with_the_files_of_an_undisturbed_run(
    model, album, tmp_path
):
    process = launch(model, album, tmp_path / "expected")
    started = time.perf_counter()
    assert finish(process) == 0
    n_seconds = time.perf_counter() - started
    expected = contents(tmp_path / "expected")
    moments = random.Random(0)
    n_killed = 0
    for number in range(N_PLACES):
        out = tmp_path / f"out {number}"
        for _ in range(N_MOMENTS):  # each goes on where the last one was killed
            process = launch(model, album, out)
            moment = moments.uniform(0, n_seconds)
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            if finish(process) == -signal.SIGKILL:
                n_killed += 1
            else:  # it had ended: the machine has become faster, or less was left to do
                n_seconds = moment
        assert finish(launch(model, album, out)) == 0
        assert contents(out) == expected
        hidden = [path for path in out.rglob(".*") if path.name != ".stemlight.json"]
        assert hidden == []
    assert n_killed >= N_PLACES
