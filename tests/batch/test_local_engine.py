"""In processes of this machine every task ends once, whatever becomes of its worker."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys

import pytest

from stemlight.batch import LocalEngine, Lost, Returned, engines
from stemlight.errors import OutputError, UsageError

from .deeds import Deed, MakeDoer, is_alive, wait_until

WELL = [Deed(f"well-{number}") for number in range(6)]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch):
    monkeypatch.setattr(engines, "_FIRST_PAUSE_SECONDS", 0.02)


@pytest.fixture
def run(tmp_path):
    """Do deeds; give how each ended, by name."""

    def call(deeds, engine, **how):
        found = {}
        for each in engine.run(MakeDoer(tmp_path, **how), deeds):
            assert each.task.name not in found
            found[each.task.name] = each
        assert not multiprocessing.active_children()
        return found

    return call


def times(tmp_path, name):
    return (tmp_path / name).stat().st_size


def test_every_task_is_done_once_by_workers_that_are_made_once(run, tmp_path):
    found = run(WELL, LocalEngine(2))
    assert found == {
        deed.name: Returned(deed, found[deed.name].result, n_attempts=1) for deed in WELL
    }
    assert os.getpid() not in {each.result for each in found.values()}
    assert len({each.result for each in found.values()}) == times(tmp_path, "starts") <= 2
    assert all(times(tmp_path, deed.name) == 1 for deed in WELL)


def test_tasks_are_drawn_as_workers_become_free(tmp_path):
    drawn = []

    def tasks():
        for deed in WELL:
            drawn.append(deed)
            yield deed

    n_ended = 0
    for _ in LocalEngine(1).run(MakeDoer(tmp_path), tasks()):
        n_ended += 1
        assert len(drawn) <= n_ended + 1
    assert n_ended == len(WELL)


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("kill", "its worker was killed by SIGKILL, often for want of memory"),
        ("exit", "its worker ended with exit code 7"),
        ("raise", "ValueError: this went wrong"),
        ("hang", "it took longer than 1 s"),
        ("unpicklable", None),
    ],
)
def test_a_task_that_always_ends_badly_is_lost_and_all_others_are_done(run, tmp_path, end, reason):
    deeds = [*WELL[:2], Deed("bad", end), WELL[2]]
    limit = 1.0 if end == "hang" else None
    found = run(deeds, LocalEngine(1, n_attempts=2, timeout_seconds=limit))
    bad = found.pop("bad")
    assert isinstance(bad, Lost)
    assert (bad.n_attempts, times(tmp_path, "bad")) == (2, 2)
    assert bad.reason == reason or (reason is None and "pickle" in bad.reason)
    assert found.keys() == {deed.name for deed in WELL[:3]}
    assert all(each.n_attempts == 1 for each in found.values())


def test_a_task_that_once_ended_badly_is_done_by_another_worker(run, tmp_path):
    found = run([Deed("bad", "raise", n_bad=1), WELL[0]], LocalEngine(1))
    assert found["bad"].n_attempts == 2
    assert times(tmp_path, "starts") == 2


def test_workers_killed_from_outside_cost_no_task(run, tmp_path):
    killed = []

    def tasks():
        for deed in WELL * 3:
            if len(killed) < 3:
                (victim, *_) = multiprocessing.active_children() or [None]
                if victim is not None:
                    os.kill(victim.pid, signal.SIGKILL)
                    killed.append(victim.pid)
            yield Deed(f"{deed.name}-{random.random()}")

    found = run(tasks(), LocalEngine(2, n_attempts=5))
    assert len(killed) == 3
    assert len(found) == 3 * len(WELL)
    assert all(isinstance(each, Returned) for each in found.values())


def test_what_a_worker_refuses_at_its_start_ends_the_run_at_once(run, tmp_path):
    with pytest.raises(UsageError, match=r"^no such stem$"):
        run(WELL, LocalEngine(1), end="refuse", n_bad=99)
    assert times(tmp_path, "starts") == 1


@pytest.mark.parametrize(("end", "reason"), [("raise", "went wrong"), ("kill", "SIGKILL")])
def test_where_no_worker_can_be_started_the_run_ends(run, tmp_path, end, reason):
    with pytest.raises(OutputError, match=rf"be started, at 2 attempts: .*{reason}"):
        run(WELL, LocalEngine(1, n_attempts=2), end=end, n_bad=99)
    assert times(tmp_path, "starts") == 2


def test_a_worker_that_died_at_its_start_is_no_fault_of_a_task(run):
    found = run(WELL[:1], LocalEngine(1, n_attempts=2), end="kill", n_bad=1)
    assert found["well-0"].n_attempts == 1


def test_no_more_workers_are_started_than_there_are_tasks(run, tmp_path):
    assert len(run(WELL[:1], LocalEngine(5))) == 1
    assert times(tmp_path, "starts") == 1
    assert run([], LocalEngine(5)) == {}
    assert times(tmp_path, "starts") == 1


def test_linear_algebra_of_workers_gets_its_threads(run, monkeypatch):
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    assert run([Deed("ask", "threads")], LocalEngine(1, n_threads=3))["ask"].result == "3"
    assert "MKL_NUM_THREADS" not in os.environ


def test_closing_the_iterator_ends_workers_that_hang(tmp_path):
    ends = LocalEngine(2).run(MakeDoer(tmp_path), [WELL[0], Deed("stuck", "hang"), WELL[1]])
    next(ends)
    wait_until((tmp_path / "stuck").exists)
    pids = [child.pid for child in multiprocessing.active_children()]
    assert pids
    ends.close()
    assert not any(is_alive(pid) for pid in pids)


def test_workers_end_with_the_process_that_started_them(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from stemlight.batch import LocalEngine\n"
        "from tests.batch.deeds import Deed, MakeDoer\n"
        "deeds = [Deed('first'), Deed('stuck', 'hang')]\n"
        "for each in LocalEngine(1).run(MakeDoer(Path(sys.argv[1])), deeds):\n"
        "    print(each.result, flush=True)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        worker = int(driver.stdout.readline())
        wait_until((tmp_path / "stuck").exists)
        assert is_alive(worker)
        driver.kill()
    wait_until(lambda: not is_alive(worker), seconds=30)


@pytest.mark.parametrize(
    "numbers",
    [
        {"n_workers": 0},
        {"n_workers": 1, "n_attempts": 0},
        {"n_workers": 1, "n_threads": 0},
        {"n_workers": 1, "timeout_seconds": 0.0},
        {"n_workers": 1, "timeout_seconds": float("nan")},
    ],
)
def test_numbers_out_of_range_are_refused_by_name(numbers):
    name = list(numbers)[-1]
    with pytest.raises(UsageError, match=rf"{name} is {numbers[name]}; it must be"):
        LocalEngine(**numbers)
