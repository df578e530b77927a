"""On Ray every task ends once, whatever becomes of its worker, and nobody else suffers."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from stemlight.batch.engines import Lost, Returned
from stemlight.batch.ray_engine import RayEngine
from stemlight.cli import app
from stemlight.errors import MissingExtraError, OutputError, UsageError

from .deeds import Deed, MakeDoer, is_alive, wait_until
from .material import check_results, contents
from .ray_material import GatedDeed, MakeGatedDoer, cut_songs, small_ray

WELL = [Deed(f"well-{number}") for number in range(6)]


@pytest.fixture(scope="module")
def ray():
    with small_ray(2) as ray:
        yield ray


@pytest.fixture
def run(ray, tmp_path):
    """Do deeds; give how each of them ended, by name."""

    def call(deeds, engine, **how):
        found = {}
        for each in engine.run(MakeDoer(tmp_path, **how), deeds):
            assert each.task.name not in found
            found[each.task.name] = each
        return found

    return call


def free_cpus(ray):
    return ray.available_resources().get("CPU", 0.0)


def test_every_task_is_done_once_by_workers_that_are_made_once(run, tmp_path):
    tasks = [Deed(f"{number}") for number in range(40)]
    found = run(tasks, RayEngine(2))
    assert sorted(found) == sorted(task.name for task in tasks)
    assert all(isinstance(each, Returned) and each.n_attempts == 1 for each in found.values())
    # The second worker may have started when nothing was left to do.
    n_workers = (tmp_path / "starts").stat().st_size
    assert 1 <= len({each.result for each in found.values()}) <= n_workers <= 2


def test_no_more_workers_are_made_than_there_are_tasks(run, tmp_path):
    assert run([], RayEngine(2)) == {}
    run([Deed("only")], RayEngine(2))
    assert (tmp_path / "starts").stat().st_size == 1


def test_tasks_that_end_badly_are_given_up_after_their_attempts_and_the_others_are_done(
    run, tmp_path
):
    reasons = {
        "raise": "ValueError: this went wrong",
        "exit": "its worker died: Worker ",
        "kill": "its worker died: Worker ",
        "hang": "it took longer than 3 s",
    }
    bad = [Deed(end, end) for end in reasons]
    found = run([*WELL[:2], *bad, *WELL[2:]], RayEngine(2, n_attempts=2, timeout_seconds=3))
    for end, reason in reasons.items():
        lost = found.pop(end)
        assert isinstance(lost, Lost)
        assert lost.reason.startswith(reason)
        assert "\n" not in lost.reason
        assert len(lost.reason) <= 300
        assert lost.n_attempts == 2 == (tmp_path / end).stat().st_size
    assert sorted(found) == sorted(task.name for task in WELL)
    assert {each.n_attempts for each in found.values()} == {1}


def test_a_task_whose_worker_died_is_done_by_another(run):
    found = run([Deed("a", "kill", n_bad=2), *WELL], RayEngine(2))
    assert isinstance(found["a"], Returned)
    assert found["a"].n_attempts == 3


def test_tasks_are_drawn_as_workers_become_free(ray, tmp_path):
    drawn = itertools.count()
    n_ended = 0
    tasks = (Deed(f"{next(drawn)}") for _ in range(30))
    for n_ended, _ in enumerate(RayEngine(2).run(MakeDoer(tmp_path), tasks), start=1):
        n_drawn = int(repr(drawn)[len("count(") : -1])
        assert n_drawn <= n_ended + 2 * 2
    assert n_ended == 30


def test_closing_the_iterator_ends_the_workers(ray, tmp_path):
    tasks = (Deed(f"{number}") for number in itertools.count())
    results = RayEngine(2).run(MakeDoer(tmp_path), tasks)
    pids = set()
    while len(pids) < 2:
        pids.add(next(results).result)
    assert all(map(is_alive, pids))
    results.close()
    wait_until(lambda: not any(map(is_alive, pids)))
    wait_until(lambda: free_cpus(ray) == 2)


def test_workers_are_added_while_tasks_wait_and_given_back_when_none_are_left(ray, tmp_path):
    gate = tmp_path / "gate"
    tasks = [GatedDeed("last", gate=gate), *(GatedDeed(f"{number}") for number in range(20))]
    results = RayEngine(1, max_workers=2).run(MakeGatedDoer(tmp_path), tasks)
    others = [next(results) for _ in range(20)]  # by the second worker, for the first waits
    assert "last" not in {each.task.name for each in others}
    wait_until(lambda: free_cpus(ray) == 1)
    wait_until(lambda: not is_alive(others[0].result))
    gate.touch()
    (last,) = results
    assert last.result != others[0].result
    assert (tmp_path / "starts").stat().st_size == 2


def test_more_workers_than_there_is_room_for_wait_while_the_others_work(ray, tmp_path):
    gate = tmp_path / "gate"
    tasks = [GatedDeed("last", gate=gate), *(GatedDeed(f"{number}") for number in range(20))]
    results = RayEngine(3).run(MakeGatedDoer(tmp_path), tasks)
    others = [next(results) for _ in range(19)]  # by the second worker, for the first waits
    assert "last" not in {each.task.name for each in others}
    assert (tmp_path / "starts").stat().st_size == 2
    gate.touch()
    assert len([*results]) == 2
    assert (tmp_path / "starts").stat().st_size == 2


def test_a_worker_that_fails_to_start_is_started_again_and_costs_no_attempt(run):
    found = run(WELL, RayEngine(1, n_attempts=2), end="kill", n_bad=1)
    assert {each.n_attempts for each in found.values()} == {1}


def test_workers_that_never_start_end_the_run_with_their_reason(run, tmp_path):
    with pytest.raises(UsageError, match="no such stem"):
        run(WELL, RayEngine(1), end="refuse", n_bad=99)
    assert (tmp_path / "starts").stat().st_size == 1
    with pytest.raises(
        OutputError, match="no worker could be started, at 2 attempts: ValueError: this went wrong"
    ):
        run(WELL, RayEngine(1, n_attempts=2), end="raise", n_bad=99)


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"n_workers": 0}, "n_workers is 0; it must be 1 or more"),
        ({"n_workers": 2, "max_workers": 1}, "max_workers is 1 but n_workers is 2"),
        ({"n_workers": 1, "n_attempts": 0}, "n_attempts is 0; it must be 1 or more"),
        ({"n_workers": 1, "timeout_seconds": 0.0}, "timeout_seconds is 0.0; it must be above 0"),
        ({"n_workers": 1, "cpus_per_worker": -1.0}, "cpus_per_worker is -1.0"),
        ({"n_workers": 1, "gpus_per_worker": 1.5}, "gpus_per_worker is 1.5; it must be a share"),
    ],
)
def test_numbers_out_of_range_are_refused(numbers, message):
    with pytest.raises(UsageError, match=message):
        RayEngine(**numbers)


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'stemlight\[scale\]'"):
        next(RayEngine(1).run(MakeDoer(tmp_path), WELL))


def test_gpus_that_are_not_there_are_missed_before_anybody_waits_for_them(monkeypatch, tmp_path):
    stopped = []
    fake = SimpleNamespace(
        is_initialized=lambda: False,
        init=lambda **options: None,
        cluster_resources=lambda: {"CPU": 2.0},
        shutdown=lambda: stopped.append(True),
    )
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(
        UsageError, match=r"each worker takes 0\.5 GPUs but Ray finds 0 on this machine"
    ):
        next(RayEngine(1, gpus_per_worker=0.5).run(MakeDoer(tmp_path), WELL))
    assert stopped == [True]


def test_the_engine_imports_no_ray_before_it_runs():
    code = (
        "import sys, stemlight.batch.ray_engine as r; r.RayEngine(1); print('ray' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False\n"


@pytest.fixture
def report_of(ray, tmp_path, capfd):
    """Call `stemlight batch`; give its report by id, and all files that it made."""

    def call(engine, *arguments):
        out = tmp_path / engine
        words = ["batch", *arguments, "-o", out, "--engine", engine, "--workers", 2]
        with pytest.raises(SystemExit) as exited:
            app([str(word) for word in words], prog_name="stemlight")
        assert exited.value.code in (0, None), capfd.readouterr().err
        (table,) = (out / "reports").glob("*.parquet")
        check_results(out)
        rows = pytest.importorskip("pyarrow.parquet").read_table(table).to_pylist()
        told = ("status", "reason", "key", "n_attempts", "duration_seconds", "files")
        return {row["id"]: {name: row[name] for name in told} for row in rows}, contents(
            out / "results"
        )

    return call


def test_the_command_reports_and_makes_on_ray_what_it_does_in_processes(
    report_of, tiny_model, tmp_path
):
    cut_songs(tmp_path / "songs", 4, seconds=1.0)
    order = (tmp_path / "songs", "--model", tiny_model, "--stems", "vocals,accompaniment")
    report, files = report_of("ray", *order)
    assert (len(report), len(files)) == (4, 4 * 3)
    assert report_of("local", *order) == (report, files)


def test_real_tracks_get_the_same_report_and_bytes_on_ray_as_in_processes(
    report_of, shared, tmp_path
):
    tracks = sorted(shared("data/musdb18-7s").rglob("*.mp4"))[:2]
    manifest = tmp_path / "tracks.jsonl"
    rows = [{"id": track.stem, "path": str(track)} for track in tracks]
    manifest.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    report, files = report_of("ray", manifest)
    assert (sorted(report), len(files)) == ([track.stem for track in tracks], 2 * 5)
    assert report_of("local", manifest) == (report, files)


ALONE = """
import os, signal
from stemlight.batch.ray_engine import RayEngine
from stemlight.errors import UsageError
before = signal.getsignal(signal.SIGTERM), os.environ.get("RAY_USAGE_STATS_ENABLED")
for address in ("127.0.0.1:1", "nowhere"):
    try:
        print(*RayEngine(1, address=address).run(lambda: abs, [-1]))
    except UsageError as error:
        print(error)
print([each.result for each in RayEngine(1).run(lambda: abs, [-1])])
(lost,) = RayEngine(1, n_attempts=1).run(lambda: os._exit, [7])
print(lost.reason)
assert before == (signal.getsignal(signal.SIGTERM), os.environ.get("RAY_USAGE_STATS_ENABLED"))
import ray
assert not ray.is_initialized()
"""


def test_ray_is_started_where_there_is_none_and_stopped_and_an_address_without_is_refused():
    pytest.importorskip("ray", reason="ray is not installed")
    ran = subprocess.run([sys.executable, "-c", ALONE], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    refused, nameless, *told = ran.stdout.splitlines()
    assert refused.startswith("no Ray cluster answers at 127.0.0.1:1 (")
    assert nameless.startswith("no Ray cluster answers at nowhere (that is no HOST:PORT); give ")
    assert told[0] == "[1]"
    assert told[1].startswith("its worker died: Worker ")
    assert len(told) == 2  # of the death, too, nothing else is printed
