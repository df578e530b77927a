"""The report has a row for each track and adds up."""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest

from stemlight.batch import Item, Lost, Outcome, Report, Returned, Store, report, run_batch
from stemlight.errors import MissingExtraError, OutputError, UsageError
from stemlight.separation.resume import FileMark

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

DONE = Outcome(
    id="one",
    path="/songs/one.wav",
    status="done",
    key="ab12",
    files={"vocals.wav": FileMark(sha256="cd34", n_bytes=7)},
    duration_seconds=7200.0,
    elapsed_seconds=720.0,
    worker="here:1",
)
SKIPPED = dataclasses.replace(DONE, id="two", status="skipped", elapsed_seconds=0.5)
FAILED = Outcome(
    id="three.mp3",
    path="/songs/three.mp3",
    status="failed",
    reason="/songs/three.mp3 is no audio",
    elapsed_seconds=0.5,
    worker="here:2",
)


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path))


def read(tmp_path):
    """Return the rows and the summary of the only report."""
    (table,), (summary,) = (
        (tmp_path / "reports").glob(f"*.{kind}") for kind in ("parquet", "json")
    )
    assert table.stem == summary.stem
    return parquet.read_table(table).to_pylist(), json.loads(summary.read_text())


def test_rows_are_what_became_of_the_tracks(store, tmp_path):
    with Report(store) as report:
        report.add(DONE, 1)
        report.add(FAILED, 2)
    rows, _ = read(tmp_path)
    assert rows == [
        {
            "id": "one",
            "path": "/songs/one.wav",
            "status": "done",
            "reason": "",
            "key": "ab12",
            "n_attempts": 1,
            "duration_seconds": 7200.0,
            "elapsed_seconds": 720.0,
            "worker": "here:1",
            "files": [{"name": "vocals.wav", "sha256": "cd34", "n_bytes": 7}],
        },
        {
            "id": "three.mp3",
            "path": "/songs/three.mp3",
            "status": "failed",
            "reason": "/songs/three.mp3 is no audio",
            "key": "",
            "n_attempts": 2,
            "duration_seconds": 0.0,
            "elapsed_seconds": 0.5,
            "worker": "here:2",
            "files": [],
        },
    ]


def test_the_summary_is_the_sum_of_the_rows(store, tmp_path):
    with Report(store, settings={"engine": "local"}, price_per_hour=0.5) as report:
        for outcome, n_attempts in ((DONE, 1), (SKIPPED, 1), (FAILED, 3)):
            report.add(outcome, n_attempts)
        report.finish()
    _, summary = read(tmp_path)
    counts = {key: summary[key] for key in ("n_done", "n_skipped", "n_failed")}
    assert counts == {"n_done": 1, "n_skipped": 1, "n_failed": 1}
    assert summary["is_complete"]
    assert summary["settings"] == {"engine": "local"}
    assert (summary["done_hours"], summary["skipped_hours"]) == (2.0, 2.0)
    assert summary["worker_seconds"] == 721.0
    assert summary["real_time_factor"] == 721 / 7200
    assert summary["times_real_time"] == pytest.approx(7200 / summary["wall_seconds"])
    assert summary["cost_per_audio_hour"] == 0.5 * 721 / 7200
    assert summary["n_lost_attempts"] == 2


def test_where_nothing_was_separated_there_is_no_factor(store, tmp_path):
    with Report(store, price_per_hour=1.0) as report:
        report.add(SKIPPED, 1)
    _, summary = read(tmp_path)
    names = ("real_time_factor", "times_real_time", "cost_per_audio_hour")
    assert [summary[name] for name in names] == [None] * 3


def test_reasons_are_counted_whatever_the_track_is_called(store):
    with Report(store) as report:
        for number in range(3):
            path = f"/songs/{number}.mp3"
            each = dataclasses.replace(FAILED, id=f"{number}.mp3", path=path)
            report.add(dataclasses.replace(each, reason=f"{path} is no audio"), 1)
        report.add(dataclasses.replace(FAILED, reason="no space"), 1)
    assert dict(report.summary().reasons) == {"... is no audio": 3, "no space": 1}


def test_a_million_different_reasons_are_not_kept(store, monkeypatch):
    monkeypatch.setattr(report, "_MOST_REASONS", 2)
    with Report(store) as made:
        for number in range(5):
            made.add(dataclasses.replace(FAILED, reason=f"reason {number}"), 1)
    assert made.summary().reasons == {"other reasons": 3, "reason 0": 1, "reason 1": 1}


def test_rows_do_not_pile_up_in_memory(store, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "_ROWS_AT_ONCE", 10)
    with Report(store) as made:
        for number in range(25):
            made.add(dataclasses.replace(DONE, id=str(number)), 1)
            assert len(made._rows) < 10
    rows, _ = read(tmp_path)
    assert [row["id"] for row in rows] == [str(number) for number in range(25)]


def test_names_that_are_no_text_are_escaped(store, tmp_path):
    name = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    with Report(store) as report:
        report.add(dataclasses.replace(FAILED, id=name, path=name, reason=f"{name} is bad"), 1)
    rows, summary = read(tmp_path)
    assert (rows[0]["id"], rows[0]["reason"]) == ("caf\\udce9.wav", "caf\\udce9.wav is bad")
    assert summary["reasons"] == {"... is bad": 1}


def test_a_run_that_is_ended_has_a_report_of_what_was_done(store, tmp_path):
    def end():
        with Report(store) as report:
            report.add(DONE, 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        end()
    rows, summary = read(tmp_path)
    assert (len(rows), summary["is_complete"]) == (1, False)


def test_a_run_that_never_began_has_none(store, tmp_path):
    def end():
        with Report(store):
            raise UsageError("no such stem")

    with pytest.raises(UsageError):
        end()
    assert not (tmp_path / "reports").exists()


def test_a_lost_track_failed_for_its_last_reason(store, tmp_path):
    class Engine:
        def run(self, make_worker, tasks):
            first, second = tasks
            yield Lost(first, "its worker died", n_attempts=3)
            yield Returned(second, dataclasses.replace(DONE, id="b"), n_attempts=2)

    told = []
    with Report(store) as report:
        items = [Item("a", "/a.wav"), Item("b", "/b.wav")]
        summary = run_batch(items, Engine(), None, report, on_outcome=told.append)
    assert [outcome.id for outcome in told] == ["a", "b"]
    assert (summary.n_done, summary.n_failed, summary.n_lost_attempts) == (1, 1, 4)
    rows, _ = read(tmp_path)
    assert [(row["status"], row["reason"]) for row in rows] == [
        ("failed", "its worker died"),
        ("done", ""),
    ]


def test_an_error_of_ours_closes_the_engine(store):
    closed = []

    class Engine:
        def run(self, make_worker, tasks):
            try:
                for task in tasks:
                    yield Returned(task, DONE, n_attempts=1)
            finally:
                closed.append(True)

    def fail(outcome):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), Report(store) as report:
        run_batch([Item("a", "a")] * 2, Engine(), None, report, on_outcome=fail)
    assert closed == [True]


def test_a_missing_pyarrow_is_named_at_once(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stemlight\[batch\]'"):
        Report(store)


def test_a_full_disk_is_told_in_one_line(store):
    class FullWriter:
        def write_table(self, table):
            raise OSError(28, "No space left on device")

    def run():
        with Report(store) as report:
            report.add(DONE, 1)
            report._writer.close()
            report._writer = FullWriter()

    with pytest.raises(OutputError, match=r"cannot write a report of .*: No space left on device"):
        run()
