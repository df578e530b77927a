"""A cluster that runs `stemlight batch`, as events: one driver, workers, storage, failures.

    worker free -> driver hands out a track -> requests and transfer from the storage -> computing
    -> requests and transfer to the storage -> driver notes the result -> worker free

The driver does one thing at a time, in the order of asking. The storage takes requests at a limited
rate; its bandwidth is shared equally by all transfers, none faster than one connection is. A node
that fails takes its workers along, and their tracks are tried again after the loss is noticed; a
poisoned track ends its worker at each attempt.
"""

from __future__ import annotations

import heapq
import math
import random
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from bench.cluster_storage import Storage, StorageSettings
from bench.options import option

__all__ = ["Cluster", "ClusterRun", "Tracks", "simulate"]

OPEN, DONE, FAILED = 0, 1, 2  # what became of a track

STARTING, AT_DRIVER, AT_STORAGE, COMPUTING, REPORTING, IDLE, DOWN = range(7)
STATES = ("starting", "at the driver", "at the storage", "computing", "reporting", "idle", "down")


@dataclass(frozen=True, kw_only=True)
class Tracks:
    """The tracks of a catalogue."""

    n_tracks: int = option(1_000_000, "tracks in all")
    track_seconds: float = option(240.0, "mean length; lengths are log-normal")
    track_spread: float = option(0.4, "standard deviation of the logarithm of lengths")
    broken_share: float = option(1e-3, "share of tracks that no decoder can read")
    poisoned_share: float = option(1e-4, "share of tracks that end the worker at each attempt")


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Workers, and the driver that gives them tracks; times as measured."""

    n_workers: int = option(1000, "workers")
    workers_per_node: int = option(16, "workers that a failing node takes along")
    compute_factor: float = option(0.076, "computing time of a worker / length of the track")
    startup_seconds: float = option(10.0, "from the start of a worker until its model is loaded")
    dispatch_seconds: float = option(1.3e-3, "of the driver, to hand out a track and get it back")
    dispatch_worker_seconds: float = option(
        1e-6, "the same for each worker: who looks after many takes longer"
    )
    result_seconds: float = option(5e-5, "of the driver, to note a result in the report")
    mean_days_to_failure: float = option(30.0, "of one node; inf: none fails")
    notice_seconds: float = option(15.0, "until the driver knows that a worker is gone")
    replace_seconds: float = option(300.0, "until a failed node is replaced, or back")
    n_attempts: int = option(3, "after so many a track that loses its worker is given up")

    @property
    def handing_seconds(self) -> float:
        """Return how long the driver needs to hand out a track."""
        return self.dispatch_seconds + self.n_workers * self.dispatch_worker_seconds


@dataclass(frozen=True, kw_only=True)
class ClusterRun:
    """How a run went."""

    n_done: int
    n_failed: int
    n_attempts: int
    n_node_failures: int
    wall_seconds: float
    tracks_per_second: float
    """From the first start until no track was left to hand out."""
    utilisation: float
    """Computing that was not in vain / time of all workers until the end."""
    time_shares: dict[str, float]
    """Of the time of all workers until the end, by what they did."""
    driver_share: float
    """Of the wall time, in which the driver was busy."""
    storage_share: float
    """Of what the storage could have moved in the wall time; 0 if that has no limit."""
    driver_wait_p99_seconds: float
    """Of a track: from a free worker asking until it has the track."""
    storage_wait_p99_seconds: float
    """Of a track: beyond what its requests and transfers take when nobody else asks."""


def simulate(
    tracks: Tracks, cluster: Cluster, storage: StorageSettings, seed: int = 0
) -> ClusterRun:
    """Run all tracks through the cluster; the same seed gives the same run."""
    return _Simulation(tracks, cluster, storage, seed).run()


class _Simulation:
    """All state of a run. Workers and tracks are indices.

    An event is (time, number, handler, worker, token). The token of what a worker does is its life:
    how often it had been started by then, so that the events of a dead worker find no one.
    """

    def __init__(
        self, tracks: Tracks, cluster: Cluster, storage: StorageSettings, seed: int
    ) -> None:
        self._cluster = cluster
        self._random = random.Random(seed)
        self._now = 0.0
        self._events: list[tuple[float, int, Callable[[int, int], None], int, int]] = []
        self._n_events = 0
        self._storage = Storage(storage)
        self._draw_tracks(tracks, seed)
        n_workers = cluster.n_workers
        self._life = [0] * n_workers
        self._track = [-1] * n_workers
        self._state = [STARTING] * n_workers
        self._since = array("d", bytes(8 * n_workers))
        self._spent = [0.0] * len(STATES)
        self._handing_seconds = cluster.handing_seconds
        self._driver_free = 0.0
        self._driver_busy = 0.0
        self._idle: list[int] = []
        self._useful_seconds = 0.0
        self._n_node_failures = 0
        self._empty_at = math.nan  # when the last track was handed out first
        self._n_ended_then = 0

    def _draw_tracks(self, tracks: Tracks, seed: int) -> None:
        n_tracks, spread = tracks.n_tracks, tracks.track_spread
        generator = np.random.default_rng(seed)
        mean_log = math.log(tracks.track_seconds) - spread**2 / 2
        self._seconds = array("d", generator.lognormal(mean_log, spread, n_tracks))
        fates = generator.random(n_tracks)
        self._is_broken = bytes(fates < tracks.broken_share)
        self._is_poisoned = bytes(fates >= 1 - tracks.poisoned_share)
        self._n_tracks = self._n_open = n_tracks
        self._next = self._n_begun = 0
        self._again: deque[int] = deque()
        self._fate = bytearray(n_tracks)
        self._attempts = bytearray(n_tracks)
        self._driver_wait = array("d", bytes(8 * n_tracks))
        self._storage_wait = array("d", bytes(8 * n_tracks))

    def run(self) -> ClusterRun:
        """Let events happen until every track has ended."""
        for worker in range(self._cluster.n_workers):
            self._after(self._cluster.startup_seconds, self._ask, worker, 0)
        n_nodes = -(-self._cluster.n_workers // self._cluster.workers_per_node)
        for node in range(n_nodes):
            self._await_failure(node)
        events, storage, life = self._events, self._storage, self._life
        while self._n_open:
            if events and events[0][0] <= storage.next_end:
                self._now, _, handler, worker, token = heapq.heappop(events)
                handler(worker, token)
            else:
                self._now = storage.next_end
                handler, worker, token = storage.end_transfer(life)
                handler(worker, token)
        return self._summary()

    def _after(
        self, seconds: float, handler: Callable[[int, int], None], worker: int, token: int
    ) -> None:
        self._n_events += 1
        event = (self._now + seconds, self._n_events, handler, worker, token)
        heapq.heappush(self._events, event)

    def _enter(self, worker: int, state: int) -> float:
        """Change what a worker does; return how long it did the last thing."""
        seconds = self._now - self._since[worker]
        self._spent[self._state[worker]] += seconds
        self._since[worker] = self._now
        self._state[worker] = state
        return seconds

    # The driver

    def _driver_seconds(self, seconds: float) -> float:
        """Queue something that the driver has to do; return how long until it is done."""
        self._driver_free = max(self._driver_free, self._now) + seconds
        self._driver_busy += seconds
        return self._driver_free - self._now

    def _ask(self, worker: int, life: int) -> None:
        """Ask for a track: the driver sets one aside, of those that are tried again first."""
        if self._life[worker] != life:
            return
        if self._again:
            self._track[worker] = self._again.popleft()
        elif self._next < self._n_tracks:
            self._track[worker] = self._next
            self._next += 1
        else:
            self._track[worker] = -1
            self._enter(worker, IDLE)
            self._idle.append(worker)
            return
        self._enter(worker, AT_DRIVER)
        seconds = self._driver_seconds(self._handing_seconds)
        self._after(seconds, self._receive, worker, life)

    def _receive(self, worker: int, life: int) -> None:
        """Get the track, and begin to read it."""
        if self._life[worker] != life:
            return
        track = self._track[worker]
        self._attempts[track] += 1
        self._n_begun += self._attempts[track] == 1
        if self._n_begun == self._n_tracks and math.isnan(self._empty_at):
            self._empty_at = self._now
            self._n_ended_then = self._n_tracks - self._n_open
        self._driver_wait[track] = self._enter(worker, AT_STORAGE)
        seconds = self._storage.request_seconds(self._now, self._storage.settings.n_read_requests)
        self._after(seconds, self._read, worker, life)

    def _note(self, worker: int, track: int) -> None:
        """The driver has the result of a track; its worker, if that still lives, is free."""
        self._end_track(track, FAILED if self._is_broken[track] else DONE)
        if self._track[worker] == track:
            self._ask(worker, self._life[worker])

    def _end_track(self, track: int, fate: int) -> None:
        assert self._fate[track] == OPEN
        self._fate[track] = fate
        self._n_open -= 1
        if fate == DONE:
            self._useful_seconds += self._seconds[track] * self._cluster.compute_factor

    def _try_again(self, _: int, track: int) -> None:
        """The driver knows that the worker of a track is gone."""
        if self._attempts[track] >= self._cluster.n_attempts:
            self._end_track(track, FAILED)
            return
        self._again.append(track)
        self._wake_one()

    def _wake_one(self) -> None:
        if self._idle:
            worker = self._idle.pop()
            self._ask(worker, self._life[worker])

    # The worker

    def _read(self, worker: int, life: int) -> None:
        if self._life[worker] == life:
            n_bytes = self._seconds[self._track[worker]] * self._storage.settings.read_byte_rate
            self._transfer(n_bytes, self._compute, worker)

    def _transfer(self, n_bytes: float, handler: Callable[[int, int], None], worker: int) -> None:
        if self._storage.is_unlimited:
            handler(worker, self._life[worker])
        else:
            self._storage.begin_transfer(self._now, n_bytes, handler, worker, self._life[worker])

    def _compute(self, worker: int, life: int) -> None:
        track = self._track[worker]
        settings = self._storage.settings
        self._storage_wait[track] = self._enter(worker, COMPUTING) - settings.read_seconds(
            self._seconds[track]
        )
        seconds = self._seconds[track] * self._cluster.compute_factor
        if self._is_broken[track]:
            self._report(worker, life)
        elif self._is_poisoned[track]:
            self._after(seconds * self._random.random(), self._crash, worker, life)
        else:
            self._after(seconds, self._store, worker, life)

    def _store(self, worker: int, life: int) -> None:
        if self._life[worker] != life:
            return
        self._enter(worker, AT_STORAGE)
        seconds = self._storage.request_seconds(self._now, self._storage.settings.n_write_requests)
        self._after(seconds, self._write, worker, life)

    def _write(self, worker: int, life: int) -> None:
        if self._life[worker] == life:
            n_bytes = self._seconds[self._track[worker]] * self._storage.settings.written_byte_rate
            self._transfer(n_bytes, self._finish, worker)

    def _finish(self, worker: int, life: int) -> None:
        track = self._track[worker]
        alone = self._storage.settings.write_seconds(self._seconds[track])
        self._storage_wait[track] += self._now - self._since[worker] - alone
        self._report(worker, life)

    def _report(self, worker: int, _: int) -> None:
        self._enter(worker, REPORTING)
        seconds = self._driver_seconds(self._cluster.result_seconds)
        self._after(seconds, self._note, worker, self._track[worker])

    # Failures

    def _await_failure(self, node: int) -> None:
        mean_seconds = self._cluster.mean_days_to_failure * 86_400
        if mean_seconds < math.inf:
            self._after(self._random.expovariate(1 / mean_seconds), self._fail_node, node, 0)

    def _fail_node(self, node: int, _: int) -> None:
        self._n_node_failures += 1
        first = node * self._cluster.workers_per_node
        last = min(first + self._cluster.workers_per_node, self._cluster.n_workers)
        for worker in range(first, last):
            self._end_life(worker, DOWN)
            life = self._life[worker]
            self._after(self._cluster.replace_seconds, self._start, worker, life)
        self._after(self._cluster.replace_seconds, self._replace_node, node, 0)

    def _replace_node(self, node: int, _: int) -> None:
        self._await_failure(node)

    def _crash(self, worker: int, life: int) -> None:
        if self._life[worker] == life:
            self._end_life(worker, DOWN)
            self._after(self._cluster.notice_seconds, self._start, worker, self._life[worker])

    def _start(self, worker: int, life: int) -> None:
        if self._life[worker] == life:
            self._enter(worker, STARTING)
            self._after(self._cluster.startup_seconds, self._ask, worker, life)

    def _end_life(self, worker: int, state: int) -> None:
        """Forget what a worker did; its track is tried again unless its result is on the way."""
        was = self._state[worker]
        if was == IDLE:
            self._idle.remove(worker)
        self._enter(worker, state)
        self._life[worker] += 1
        track, self._track[worker] = self._track[worker], -1
        if was == AT_STORAGE:
            self._storage.forget_dead(self._now, worker, self._life)
        if was == AT_DRIVER:  # it was never tried
            self._again.append(track)
            self._wake_one()
        elif track >= 0 and was != REPORTING:
            self._after(self._cluster.notice_seconds, self._try_again, worker, track)

    def _summary(self) -> ClusterRun:
        cluster, wall = self._cluster, self._now
        for worker in range(cluster.n_workers):
            self._enter(worker, IDLE)
        total = max(wall * cluster.n_workers, 1e-9)
        until_empty = self._empty_at - cluster.startup_seconds
        return ClusterRun(
            n_done=self._fate.count(DONE),
            n_failed=self._fate.count(FAILED),
            n_attempts=sum(self._attempts),
            n_node_failures=self._n_node_failures,
            wall_seconds=wall,
            tracks_per_second=self._n_ended_then / max(until_empty, 1e-9),
            utilisation=self._useful_seconds / total,
            time_shares={
                name: seconds / total for name, seconds in zip(STATES, self._spent, strict=True)
            },
            driver_share=self._driver_busy / max(wall, 1e-9),
            storage_share=self._storage.moved_bytes
            / max(self._storage.settings.bytes_per_second * wall, 1e-9),
            driver_wait_p99_seconds=float(np.percentile(self._driver_wait, 99)),
            storage_wait_p99_seconds=float(np.percentile(self._storage_wait, 99)),
        )
