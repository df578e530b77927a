"""Whatever is killed during a run, each track ends with one whole result and one row."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stemlight.batch import Item, LocalEngine, Report, Store, read_items, run_batch

from .deeds import is_alive, wait_until
from .material import PoisonedTrack, check_results, contents, sha256_of, work_on, write_song

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

N_SONGS = 8
N_KILLS = 3


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory) -> Path:
    """Songs of different lengths."""
    root = tmp_path_factory.mktemp("catalogue")
    for number in range(N_SONGS):
        write_song(root / f"{number}.wav", seed=number, seconds=0.2 * (1 + number % 3))
    return root


@pytest.fixture(scope="module")
def undisturbed(catalogue, tiny_model, tmp_path_factory):
    """What a run gives in which nothing happens, made in this process."""
    out = tmp_path_factory.mktemp("undisturbed")
    separate = work_on(str(out), tiny_model)()
    for item in read_items(str(catalogue)):
        assert separate(item).status == "done"
    return check_results(out)


def rows_of(out: Path):
    (table,) = (out / "reports").glob("*.parquet")
    return sorted(parquet.read_table(table).to_pylist(), key=lambda row: row["id"])


def command(catalogue, out, model):
    options = ["--workers", "2", "--model", str(model), "--quiet"]
    return [sys.executable, "-m", "stemlight", "batch", str(catalogue), "-o", str(out), *options]


def workers_of(driver: int) -> list[int]:
    """Return the processes that a process has started, but not those that help Python."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = path.joinpath("stat").read_text().rpartition(")")[2].split()[1]
            if parent == str(driver) and b"spawn_main" in path.joinpath("cmdline").read_bytes():
                found.append(int(path.name))
    return found


def test_a_poisoned_file_is_given_up_after_its_attempts_and_the_others_are_done(
    catalogue, undisturbed, tiny_model, tmp_path
):
    write_song(tmp_path / "poison.wav")
    items = [*read_items(str(catalogue))]
    items.insert(2, Item("poison", str(tmp_path / "poison.wav")))
    store = Store(str(tmp_path / "out"))
    with Report(store) as report:
        engine = LocalEngine(1, n_attempts=2)
        summary = run_batch(items, engine, PoisonedTrack(work_on(store, tiny_model)), report)
    assert (summary.n_done, summary.n_skipped, summary.n_failed) == (N_SONGS, 0, 1)
    assert summary.n_lost_attempts == 2
    assert summary.is_complete
    reason = "its worker was killed by SIGKILL, often for want of memory"
    assert summary.reasons == {reason: 1}
    *others, row = rows_of(tmp_path / "out")
    assert (row["id"], row["status"], row["reason"]) == ("poison", "failed", reason)
    assert (row["n_attempts"], row["files"], row["key"]) == (2, [], "")
    assert {(other["status"], other["n_attempts"]) for other in others} == {("done", 1)}
    assert check_results(tmp_path / "out") == undisturbed
    # Each new worker removes what its predecessor left, and the end of a command what the last did.
    assert len(contents(tmp_path / "out" / "partial")) <= 1
    store.remove_left_overs()
    assert contents(tmp_path / "out" / "partial") == {}


def test_workers_killed_during_a_run_cost_no_track(catalogue, undisturbed, tiny_model, tmp_path):
    store = Store(str(tmp_path / "out"))
    killed = []

    def kill(outcome):
        children = multiprocessing.active_children()
        if len(killed) < 3 and children:
            time.sleep(random.random() * 0.1)
            os.kill(random.choice(children).pid, signal.SIGKILL)
            killed.append(outcome.id)

    with Report(store) as report:
        work = work_on(store, tiny_model)
        engine = LocalEngine(2, n_attempts=5)
        summary = run_batch(read_items(str(catalogue)), engine, work, report, on_outcome=kill)
    assert len(killed) == 3
    assert summary.n_done + summary.n_skipped == N_SONGS  # killed after the work: then skipped
    assert [row["id"] for row in rows_of(tmp_path / "out")] == [f"{n}.wav" for n in range(N_SONGS)]
    assert check_results(tmp_path / "out") == undisturbed


def test_a_driver_killed_at_random_moments_loses_nothing_and_leaves_nothing(
    catalogue, undisturbed, tiny_model, tmp_path
):
    out = tmp_path / "out"
    seed = random.randrange(10**6)
    generator = random.Random(seed)
    n_found = [0]
    for _ in range(N_KILLS):
        driver = subprocess.Popen(command(catalogue, out, tiny_model))
        wait_until(lambda: workers_of(driver.pid))  # noqa: B023 - called at once
        workers = workers_of(driver.pid)
        n_goal = n_found[-1] + generator.randint(0, 2)
        wait_until(lambda: len(list(out.glob("seen/*/*"))) >= n_goal or driver.poll() is not None)  # noqa: B023
        time.sleep(generator.random() * 0.3)
        driver.kill()
        driver.wait()
        wait_until(lambda: not any(map(is_alive, workers)), seconds=30)  # noqa: B023
        n_found.append(len(check_results(out)))  # whole ones alone
    assert n_found == sorted(n_found), seed
    before = {path: path.stat().st_mtime_ns for path in out.glob("results/*/*/*")}
    ran = subprocess.run(command(catalogue, out, tiny_model), capture_output=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    assert check_results(out) == undisturbed, seed
    assert contents(out / "partial") == {}, seed
    summaries = [json.loads(path.read_text()) for path in sorted(out.glob("reports/*.json"))]
    last = summaries[-1]
    assert (last["n_failed"], last["is_complete"]) == (0, True)
    assert last["n_skipped"] >= n_found[-1]
    after = {path: path.stat().st_mtime_ns for path in before}
    assert after == before, "finished work was done again"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_run_with_a_report_and_without_left_overs(
    catalogue, undisturbed, tiny_model, tmp_path, number, code
):
    out = tmp_path / "out"
    driver = subprocess.Popen(
        command(catalogue, out, tiny_model), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_until(lambda: list(out.glob("seen/*/*")))
    workers = workers_of(driver.pid)
    driver.send_signal(number)
    printed = driver.communicate(timeout=60)
    if driver.returncode == 0:  # it was done before the signal came
        assert check_results(out) == undisturbed
        return
    assert (driver.returncode, printed) == (code, (b"", b""))
    assert not any(map(is_alive, workers))
    assert contents(out / "partial") == {}
    assert check_results(out).items() <= undisturbed.items()
    (summary,) = [json.loads(path.read_text()) for path in out.glob("reports/*.json")]
    assert not summary["is_complete"]
    assert summary["n_done"] == len(rows_of(out)) >= 1


def test_inputs_of_the_same_content_share_one_result(tiny_model, tmp_path):
    for name in ("a.wav", "b.wav", "c.wav"):
        write_song(tmp_path / "songs" / name, seed=3)
    store = Store(str(tmp_path / "out"))
    with Report(store) as report:
        items = read_items(str(tmp_path / "songs"))
        summary = run_batch(items, LocalEngine(2), work_on(store, tiny_model), report)
    assert summary.n_done + summary.n_skipped == 3
    assert list(check_results(tmp_path / "out")) == [sha256_of(tmp_path / "songs" / "a.wav")]
    assert len({row["key"] for row in rows_of(tmp_path / "out")}) == 1
