"""`stemlight batch`: catalogues in, results and a report out, wrong usage in one line."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from stemlight.batch import LocalEngine, ray_engine
from stemlight.cli import app
from stemlight.cli.batch_progress import BatchProgress
from stemlight.separation.song_options import SONG_FORMATS

from .material import STEMS, check_results, contents, sha256_of
from .test_report import DONE, FAILED, SKIPPED

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


@dataclass
class Ran:
    """What a call of the command line left behind."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


@pytest.fixture
def batch(tiny_model, tmp_path, capfd):
    """Call `stemlight batch` with one worker and the tiny model, unless told otherwise."""

    def call(*arguments: object, output: object = None) -> Ran:
        words = ["batch", "-o", output or tmp_path / "out", *arguments]
        for option, value in (("--model", tiny_model), ("--workers", 1)):
            if option not in words:
                words += [option, value]
        with pytest.raises(SystemExit) as exited:
            app([str(word) for word in words], prog_name="stemlight")
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Ran(exited.value.code or 0, out, err)

    return call


def reports_of(out: Path):
    return [json.loads(path.read_text()) for path in sorted(out.glob("reports/*.json"))]


def test_a_folder_is_separated_once_and_reported(batch, songs, tmp_path):
    first = batch(songs, "--price-per-hour", 0.1)
    assert (first.code, first.errors) == (0, [])
    assert first.out.splitlines()[0] == "done 3, skipped 0, failed 0"
    assert first.out.splitlines()[2].startswith("an hour of audio costs 0.")
    assert "[3/3] 3 done; 0.00 h of audio, " in first.err
    results = check_results(tmp_path / "out")
    names = ("one.wav", "two.flac", "more/three.wav")
    assert results.keys() == {sha256_of(songs / name) for name in names}
    (summary,) = reports_of(tmp_path / "out")
    assert (summary["n_done"], summary["is_complete"]) == (3, True)
    assert summary["settings"]["n_tracks"] == 3
    assert summary["cost_per_audio_hour"] == pytest.approx(0.1 * summary["real_time_factor"])
    (table,) = (tmp_path / "out" / "reports").glob("*.parquet")
    assert f"report: {table}" in first.err.splitlines()
    rows = parquet.read_table(table).to_pylist()
    assert {row["id"] for row in rows} == {*names}
    for row in rows:
        folder = tmp_path / "out" / "results" / row["key"][:2] / row["key"]
        for file in row["files"]:
            assert sha256_of(folder / file["name"]) == file["sha256"]

    second = batch(songs)
    assert (second.code, second.out) == (0, "done 0, skipped 3, failed 0\n")
    assert check_results(tmp_path / "out") == results
    assert contents(tmp_path / "out" / "partial") == {}


def test_a_track_that_fails_is_named_and_the_others_are_done(batch, songs, tmp_path):
    (songs / "bad.mp3").write_bytes(b"no sound")
    ran = batch(songs, "--quiet")
    assert (ran.code, ran.out) == (1, "")
    (line,) = ran.err.splitlines()
    assert line.startswith(f"error: {songs}/bad.mp3 is no audio")
    (summary,) = reports_of(tmp_path / "out")
    assert (summary["n_done"], summary["n_failed"]) == (3, 1)
    (reason,) = summary["reasons"]
    assert reason.startswith("... is no audio")


def test_a_table_from_here_into_a_bucket_with_options_for_each_track(batch, songs, tmp_path, s3):
    import fsspec

    table = tmp_path / "tracks.csv"
    table.write_text(
        "id,path,stems,format,bit_depth,bit_rate\n"
        "plain,songs/one.wav,,,,\n"
        'few,songs/two.flac,"vocals,accompaniment",wav,float,\n'
        "lossy,songs/more/three.wav,bass,mp3,,96\n"
    )
    url = f"{s3}/{tmp_path.name}/out"
    ran = batch(table, "--format", "flac", "--bit-depth", "16", output=url)
    assert (ran.code, ran.errors) == (0, [])
    fsspec.filesystem("s3").get(url, str(tmp_path / "copy"), recursive=True)
    results = check_results(tmp_path / "copy")
    assert {frozenset(files) - {"result.json"} for files in results.values()} == {
        frozenset(f"{stem}.flac" for stem in STEMS),
        frozenset({"vocals.wav", "accompaniment.wav"}),
        frozenset({"bass.mp3"}),
    }
    assert not (tmp_path / "out").exists()
    assert reports_of(tmp_path / "copy")[0]["n_done"] == 3
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == [
        "reports",
        "results",
        "seen",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--engine", "rya"], "no engine 'rya' (did you mean 'ray'?); choose local or ray"),
        (["--engine", "onnx"], "what runs the network is --runtime"),
        (["--address", "host:1"], "--address is of Ray; add --engine ray, or leave it out"),
        (["--max-workers", "3"], "--max-workers is of Ray"),
        (["--gpus-per-worker", "0.5"], "--gpus-per-worker is of Ray"),
        (["--timeout", "0"], "timeout_seconds is 0.0; it must be above 0"),
        (["--format", "wave"], f"format must be one of {', '.join(SONG_FORMATS)}, not 'wave'"),
        (["--max-duration", "0"], "max_duration_seconds must be above 0"),
        (["--model", "stemlite"], "stemlite"),
        (["--runtime", "onyx"], "no engine 'onyx'"),
        (["--stems", "vocal"], "vocal"),
        (["--bit-rate", "128"], "lossless wav has no bit rate"),
    ],
)
def test_wrong_usage_is_told_before_any_work(batch, songs, tmp_path, arguments, message):
    ran = batch(songs, *arguments)
    assert ran.code == 2
    (line,) = ran.errors
    assert message in line
    assert contents(tmp_path / "out") == {}


def test_a_cluster_without_a_number_of_workers_is_refused(batch, songs):
    ran = batch(songs, "--engine", "ray", "--address", "host:1", "--workers", 0)
    assert (ran.code, ran.errors) == (
        2,
        ["error: the size of a cluster is not known here; add --workers N to --address"],
    )


def test_a_wrong_row_is_found_before_any_work(batch, songs, tmp_path):
    table = tmp_path / "t.jsonl"
    table.write_text('{"path": "songs/one.wav"}\n{"path": ""}\n')
    ran = batch(table)
    assert (ran.code, len(ran.errors)) == (2, 1)
    assert "t.jsonl, row 2: has no path" in ran.errors[0]
    assert not (tmp_path / "out").exists()


def test_a_folder_without_songs_is_a_failure(batch, tmp_path):
    (tmp_path / "empty").mkdir()
    ran = batch(tmp_path / "empty")
    assert (ran.code, ran.errors) == (1, [f"error: {tmp_path}/empty names no tracks"])


def test_an_output_that_cannot_be_written_is_refused(batch, songs):
    ran = batch(songs, output=songs / "one.wav" / "out")
    assert ran.code == 2
    assert "one.wav/out: Not a directory" in ran.errors[0]


def test_ray_gets_all_that_is_its_own(batch, songs, monkeypatch):
    given = []

    def make(n_workers, **options):
        given.append((n_workers, options))
        return LocalEngine(1)

    monkeypatch.setattr(ray_engine, "RayEngine", make)
    options = ["--max-workers", 8, "--gpus-per-worker", 0.25, "--attempts", 5, "--timeout", 60]
    ran = batch(
        songs, "--engine", "ray", "--address", "h:1", "--workers", 4, "--threads", 2, *options
    )
    assert ran.code == 0
    assert given == [
        (
            4,
            {
                "max_workers": 8,
                "address": "h:1",
                "n_attempts": 5,
                "timeout_seconds": 60.0,
                "gpus_per_worker": 0.25,
                "cpus_per_worker": 2,
            },
        )
    ]


def test_a_terminal_gets_a_bar_and_standard_output_the_results(songs, tiny_model, tmp_path):
    terminal, side = pty.openpty()
    options = ["-o", tmp_path / "out", "--model", tiny_model, "--workers", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "stemlight", "batch", songs, *options],
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
    assert b"3/3" in shown
    assert b"3 done; 0.00 h of audio" in shown
    assert "\x1b" not in out
    assert out.splitlines()[0] == "done 3, skipped 0, failed 0"


def test_progress_counts_names_failures_and_foretells_from_what_was_worked_on(capfd, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("stemlight.cli.batch_progress.time.monotonic", lambda: now[0])
    with BatchProgress(100, quiet=False) as progress:
        now[0] = 1000.0
        progress.tell(SKIPPED)
        now[0] = 1100.0
        progress.tell(DONE)
        now[0] = 1101.0
        progress.tell(FAILED)
        now[0] = 1200.0
        progress.tell(FAILED)
    assert capfd.readouterr().err.splitlines() == [
        "[1/100] 0 done, 1 skipped; 0.00 h of audio",
        "[2/100] 1 done, 1 skipped; 2.00 h of audio, 6.5 x real time; 29.9 h left",
        "error: /songs/three.mp3 is no audio",
        "error: /songs/three.mp3 is no audio",
        "[4/100] 1 done, 1 skipped, 2 failed; 2.00 h of audio, 6.0 x real time; 10.7 h left",
    ]


def test_no_part_of_batch_needs_its_packages_before_they_are_used():
    code = (
        "import sys\n"
        "for name in ('fsspec', 'pyarrow', 'ray', 's3fs'):\n    sys.modules[name] = None\n"
        "import stemlight.batch\n"
        "[getattr(stemlight.batch, name) for name in stemlight.batch.__all__]\n"
        "import stemlight.cli\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
