"""What is conserved, and what arithmetic says, holds in the simulation of a cluster."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
from bench.cluster_model import Cluster, Tracks, simulate
from bench.cluster_storage import Storage, StorageSettings
from bench.scale_simulation import limits

EQUAL = Tracks(n_tracks=1000, track_spread=1e-9, broken_share=0.0, poisoned_share=0.0)
SOUND = Cluster(n_workers=16, mean_days_to_failure=math.inf, dispatch_worker_seconds=0.0)
INSTANT = dataclasses.replace(
    SOUND, dispatch_seconds=0.0, result_seconds=0.0, startup_seconds=5.0, compute_factor=0.1
)
INFINITE = StorageSettings(
    bytes_per_second=math.inf,
    connection_bytes_per_second=math.inf,
    requests_per_second=math.inf,
    request_seconds=0.0,
)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("mean_days", [math.inf, 0.1, 0.01])
def test_every_track_ends_exactly_once_whatever_fails(seed, mean_days):
    tracks = Tracks(n_tracks=2000, broken_share=0.01, poisoned_share=0.005)
    cluster = dataclasses.replace(SOUND, workers_per_node=4, mean_days_to_failure=mean_days)
    run = simulate(tracks, cluster, StorageSettings(bytes_per_second=50e6), seed)
    assert run.n_done + run.n_failed == tracks.n_tracks  # each once: the model asserts it
    assert run.n_attempts >= tracks.n_tracks
    assert 0 < run.utilisation <= 1
    assert sum(run.time_shares.values()) == pytest.approx(1)
    assert run.driver_share <= 1
    assert run.storage_share <= 1
    assert (run.n_node_failures > 0) == (mean_days < math.inf)


def test_without_failures_nothing_is_tried_twice_and_only_broken_tracks_fail():
    tracks = Tracks(n_tracks=5000, broken_share=0.02, poisoned_share=0.0)
    run = simulate(tracks, SOUND, StorageSettings())
    assert run.n_attempts == tracks.n_tracks
    assert run.n_failed == pytest.approx(100, abs=40)


def test_a_poisoned_track_is_tried_as_often_as_allowed_and_then_given_up():
    tracks = Tracks(n_tracks=1000, broken_share=0.0, poisoned_share=1.0)
    run = simulate(tracks, dataclasses.replace(SOUND, n_attempts=4), StorageSettings())
    assert (run.n_done, run.n_failed, run.n_attempts) == (0, 1000, 4000)
    assert run.utilisation == 0


@pytest.mark.parametrize("n_tracks", [1, 16, 17, 1000])
def test_with_no_overhead_the_wall_time_is_that_of_the_longest_queue(n_tracks):
    run = simulate(dataclasses.replace(EQUAL, n_tracks=n_tracks), INSTANT, INFINITE)
    assert run.wall_seconds == pytest.approx(5 + math.ceil(n_tracks / 16) * 24, rel=1e-6)
    assert run.utilisation == pytest.approx(n_tracks * 24 / (16 * run.wall_seconds))


def test_a_driver_that_is_busy_all_the_time_sets_the_pace():
    cluster = dataclasses.replace(
        SOUND, n_workers=1000, dispatch_seconds=0.2, result_seconds=0.05, startup_seconds=0.0
    )
    run = simulate(dataclasses.replace(EQUAL, n_tracks=5000), cluster, INFINITE)
    assert run.wall_seconds == pytest.approx(5000 * 0.25, rel=0.05)
    assert run.driver_share > 0.95


def test_a_full_storage_sets_the_pace_and_moves_its_bandwidth():
    cluster = dataclasses.replace(INSTANT, n_workers=200, startup_seconds=0, compute_factor=1e-3)
    storage = dataclasses.replace(INFINITE, bytes_per_second=100e6)
    run = simulate(EQUAL, cluster, storage)
    n_bytes = 1000 * 240 * (storage.read_byte_rate + storage.written_byte_rate)
    assert run.wall_seconds == pytest.approx(n_bytes / 100e6, rel=0.05)
    assert run.storage_share > 0.95


def test_requests_that_queue_set_the_pace():
    storage = dataclasses.replace(INFINITE, requests_per_second=20.0)
    run = simulate(EQUAL, dataclasses.replace(INSTANT, n_workers=200), storage)
    n_requests = 1000 * (storage.n_read_requests + storage.n_write_requests)
    assert run.wall_seconds == pytest.approx(n_requests / 20, rel=0.1)


@pytest.mark.parametrize("part", ["driver", "storage"])
def test_throughput_grows_with_workers_until_the_limit_and_never_exceeds_it(part):
    slow_driver = dataclasses.replace(SOUND, dispatch_seconds=0.1 if part == "driver" else 1e-4)
    storage = StorageSettings(bytes_per_second=1e9 if part == "storage" else math.inf)
    rates = []
    for n_workers in (10, 30, 100, 300, 1000):
        cluster = dataclasses.replace(slow_driver, n_workers=n_workers)
        tracks = Tracks(n_tracks=20 * n_workers, broken_share=0.0, poisoned_share=0.0)
        most = limits(tracks, cluster, storage)
        rates.append(simulate(tracks, cluster, storage).tracks_per_second)
        # Tracks that were begun but not ended when none was left to hand out do not count.
        assert 0.75 * most.least < rates[-1] < 1.06 * most.least
    assert rates[1] > 2.5 * rates[0]
    assert rates[-1] == pytest.approx(rates[-2], rel=0.1)
    assert all(after > 0.98 * before for before, after in itertools.pairwise(rates))


def test_the_same_seed_gives_the_same_run_and_another_gives_another():
    cluster = dataclasses.replace(SOUND, mean_days_to_failure=0.1)
    tracks = Tracks(n_tracks=500)
    runs = [simulate(tracks, cluster, StorageSettings(), seed) for seed in (3, 3, 4)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_failures_cost_time_and_no_track():
    cluster = dataclasses.replace(SOUND, n_workers=64, mean_days_to_failure=0.005, n_attempts=50)
    tracks = dataclasses.replace(EQUAL, n_tracks=4000)
    failing = simulate(tracks, cluster, StorageSettings())
    sound = simulate(tracks, dataclasses.replace(SOUND, n_workers=64), StorageSettings())
    assert failing.n_done == sound.n_done == 4000
    assert failing.n_attempts > 4000
    assert failing.wall_seconds > sound.wall_seconds
    assert failing.time_shares["down"] > 0


def test_transfers_share_the_bandwidth_equally_and_the_dead_give_theirs_back():
    storage = Storage(StorageSettings(bytes_per_second=100.0, connection_bytes_per_second=80.0))
    lives, ends = [0, 0, 0], []
    storage.begin_transfer(0.0, 100.0, print, 0, 0)
    assert storage.next_end == pytest.approx(100 / 80)  # alone: the connection's own limit
    storage.begin_transfer(0.5, 300.0, print, 1, 0)  # 60 of the first are left, 50 each from now on
    storage.begin_transfer(0.5, 30.0, print, 2, 0)
    lives[2] = 1  # dies 0.3 s later, of 10 bytes moved
    storage.forget_dead(0.8, 2, lives)
    while storage.next_end < math.inf:
        at = storage.next_end
        ends.append((storage.end_transfer(lives)[1], round(at, 6)))
    # Three at 33.3 for 0.3 s; then two at 50 until the first has its other 50; then one at 80.
    assert ends == [(0, 1.8), (1, 4.8)]
