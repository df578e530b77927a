"""Whatever is killed while Ray separates songs, each ends with one complete result, the usual one.

`make chaos` runs those that take long.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stemlight.batch import Item, LocalEngine, RayEngine, Report, Store, ray_engine, run_batch

from .deeds import is_alive, wait_until
from .material import check_results, contents, work_on
from .ray_material import SMALL, WAIT, LingeringTrack, cut_songs

N_SONGS = 8
# A node that is gone is missed soon; one that is slow is not.
IMPATIENT = {
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 20_000,
    "health_check_failure_threshold": 5,
}


@pytest.fixture(scope="module")
def cluster():
    """A cluster on this machine; its first node has room for one worker."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 1, "_system_config": IMPATIENT, **SMALL}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture(scope="module")
def items(tmp_path_factory) -> list[Item]:
    return cut_songs(tmp_path_factory.mktemp("music") / "songs", N_SONGS, seconds=2.0)


class Killer:
    """Kills what works while songs are separated."""

    def __init__(self, places: Path, monkeypatch) -> None:
        self.places = places
        self.actors: list = []
        hire = ray_engine._Crew._hire

        def hire_and_tell(crew):
            hire(crew)
            self.actors.append(crew.workers[-1].actor)

        monkeypatch.setattr(ray_engine._Crew, "_hire", hire_and_tell)

    def busy(self, node: str | None = None) -> list[int]:
        """Processes that have half a result, on this node if one is named."""
        pids = [int(path.name) for path in self.places.iterdir() if path.name != WAIT]
        return [
            pid
            for pid in pids
            if is_alive(pid) and (node is None or (self.places / f"{pid}").read_text() == node)
        ]

    def kill_process(self) -> None:
        wait_until(self.busy)
        os.kill(self.busy()[0], signal.SIGKILL)

    def kill_actor(self) -> None:
        wait_until(self.busy)
        sys.modules["ray"].kill(self.actors[-1])

    @contextlib.contextmanager
    def meanwhile(self, blow: Callable[[], object], node: str) -> Iterator[None]:
        """Strike as soon as somebody works on a node; until then nobody ends a task."""
        (self.places / WAIT).touch()

        def strike():
            try:
                wait_until(lambda: self.busy(node))
                blow()
            finally:
                (self.places / WAIT).unlink()

        with ThreadPoolExecutor(1) as threads:
            struck = threads.submit(strike)
            yield
            struck.result()


@pytest.fixture
def killer(tmp_path, monkeypatch) -> Killer:
    (tmp_path / "places").mkdir()
    return Killer(tmp_path / "places", monkeypatch)


@pytest.fixture
def separate(tmp_path, tiny_model, killer):
    """Separate songs with one calamity after each of the first results; give the rows' attempts."""

    def call(items, n_workers, *calamities, n_attempts=6):
        left = list(calamities)
        store = Store(str(tmp_path / "out"))
        work = LingeringTrack(work_on(store, tiny_model), killer.places)
        engine = RayEngine(n_workers, n_attempts=n_attempts)
        with Report(store) as report:
            summary = run_batch(
                items, engine, work, report, on_outcome=lambda _: left and left.pop(0)()
            )
        store.remove_left_overs()
        assert not left
        assert (summary.n_done, summary.n_failed) == (len(items), 0)
        (table,) = (tmp_path / "out" / "reports").glob("*.parquet")
        rows = pytest.importorskip("pyarrow.parquet").read_table(table).to_pylist()
        assert sorted(row["id"] for row in rows) == sorted(item.id for item in items)
        return {row["id"]: row["n_attempts"] for row in rows}

    return call


def assert_usual(out: Path, items, model, tmp_path) -> None:
    """Every song has the result that it gets where nothing dies, and nothing else is there."""
    store = Store(str(tmp_path / "usual"))
    with Report(store) as report:
        run_batch(items, LocalEngine(1), work_on(store, model), report)
    found = check_results(out)
    assert len(found) == len(items)
    assert found == check_results(tmp_path / "usual")
    assert contents(out / "partial") == {}


def test_songs_are_separated_although_a_process_and_an_actor_are_killed(
    cluster, items, separate, killer, tiny_model, tmp_path
):
    attempts = separate(items[:4], 1, killer.kill_process, killer.kill_actor)
    assert sum(attempts.values()) == 4 + 2
    assert_usual(tmp_path / "out", items[:4], tiny_model, tmp_path)


@pytest.mark.chaos
def test_songs_are_separated_although_a_node_dies_on_which_some_are(
    cluster, items, separate, killer, tiny_model, tmp_path
):
    node = cluster.add_node(num_cpus=2, **SMALL)
    with killer.meanwhile(lambda: cluster.remove_node(node, allow_graceful=False), node.node_id):
        attempts = separate(items, 3)
    assert sum(attempts.values()) > N_SONGS
    assert_usual(tmp_path / "out", items, tiny_model, tmp_path)


@pytest.mark.chaos
def test_real_songs_are_separated_in_a_storm_of_deaths(
    cluster, shared, separate, killer, tiny_model, tmp_path
):
    songs = sorted(shared("data/musdb18-7s").rglob("*.mp4"))[:10]
    items = [Item(id=path.name, path=str(path)) for path in songs]
    nodes = [cluster.add_node(num_cpus=1, **SMALL)]

    def change_node():
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        nodes.append(cluster.add_node(num_cpus=1, **SMALL))

    blows = [change_node, *[killer.kill_process] * 3, *[killer.kill_actor] * 3]
    random.Random(8).shuffle(blows)
    separate(items, 2, *blows, n_attempts=9)
    cluster.remove_node(nodes.pop())
    assert_usual(tmp_path / "out", items, tiny_model, tmp_path)


@pytest.mark.chaos
def test_a_run_whose_driver_is_killed_is_taken_up_by_the_next(items, tiny_model, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed")
    psutil = pytest.importorskip("psutil", reason="psutil is not installed")
    out, folder = tmp_path / "out", Path(items[0].path).parent
    command = [sys.executable, "-m", "stemlight", "batch", folder, "-o", out, "--model", tiny_model]
    command += ["--engine", "ray", "--workers", "2"]
    log = tmp_path / "log"
    n_before = 0
    for _ in range(2):
        with log.open("wb") as file:
            driver = subprocess.Popen([*map(str, command)], stdout=file, stderr=file)
        wait_until(
            lambda n=n_before, d=driver: (
                len(list(out.glob("results/*/*"))) > n or d.poll() is not None
            )
        )
        children = psutil.Process(driver.pid).children(recursive=True)
        workers = [child.pid for child in children if "_Actor" in " ".join(child.cmdline())]
        driver.kill()
        driver.wait()
        # Two agents of Ray's own outlive it for some time.
        wait_until(lambda pids=workers: not any(map(is_alive, pids)))
        assert workers
        assert driver.returncode == -signal.SIGKILL, log.read_text()
        n_before = len(check_results(out))
    assert 0 < n_before <= N_SONGS
    ran = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"done {N_SONGS - n_before}, skipped {n_before}, failed 0\n")
    assert_usual(out, items, tiny_model, tmp_path)


@pytest.mark.chaos
def test_an_interrupted_run_ends_with_a_report_and_leaves_no_process(items, tiny_model, tmp_path):
    pytest.importorskip("ray", reason="ray is not installed")
    psutil = pytest.importorskip("psutil", reason="psutil is not installed")
    out, folder = tmp_path / "out", Path(items[0].path).parent
    command = [sys.executable, "-m", "stemlight", "batch", folder, "-o", out, "--model", tiny_model]
    command += ["--engine", "ray", "--workers", "1", "--format", "opus"]
    log = tmp_path / "log"
    with log.open("wb") as file:
        driver = subprocess.Popen([*map(str, command)], stdout=file, stderr=file)
    # The first is told of before the only worker can have made the second.
    wait_until(lambda: len(list(out.glob("results/*/*"))) > 1 or driver.poll() is not None)
    children = psutil.Process(driver.pid).children(recursive=True)
    assert children
    driver.send_signal(signal.SIGINT)
    assert driver.wait(60) == 130, log.read_text()
    assert "Traceback" not in log.read_text()
    wait_until(lambda: not any(is_alive(child.pid) for child in children))
    assert 0 < len(check_results(out)) < N_SONGS
    assert contents(out / "partial") == {}
    assert len(list(out.glob("reports/*.json"))) == 1
