"""How `stemlight batch` scales to clusters that are not at hand: measured times, simulated events.

    python -m bench.scale_simulation [--n-workers 1000] [--n-tracks 1000000] [...]
    python -m bench.scale_simulation --sweep 500,1000,2000,4000,8000,16000
    python -m bench.scale_simulation --measure

The first runs a catalogue on one cluster, the second one on clusters of several sizes, with
`--tracks-per-worker` tracks for each worker, and prints a table as Markdown. `--measure` measures
on this machine the times that are the defaults, and says which options they belong to; see
`bench.service_times`. The model is told in `bench.cluster_model`.
"""

from __future__ import annotations

import argparse
import dataclasses
import time

from bench.cluster_model import Cluster, ClusterRun, Tracks, simulate
from bench.cluster_storage import StorageSettings
from bench.options import add_options, from_options

__all__ = ["Limits", "limits"]


@dataclasses.dataclass(frozen=True)
class Limits:
    """Tracks per second that each part could do if the others took no time."""

    workers: float
    driver: float
    bandwidth: float
    requests: float

    @property
    def least(self) -> float:
        """What no run exceeds for long."""
        return min(dataclasses.astuple(self))


def limits(tracks: Tracks, cluster: Cluster, storage: StorageSettings) -> Limits:
    """Return what arithmetic says without any simulation, failures left out."""
    seconds = tracks.track_seconds
    cycle_seconds = (
        cluster.compute_factor * seconds
        + storage.read_seconds(seconds)
        + storage.write_seconds(seconds)
        + cluster.handing_seconds
        + cluster.result_seconds
    )
    n_bytes = seconds * (storage.read_byte_rate + storage.written_byte_rate)
    return Limits(
        workers=cluster.n_workers / cycle_seconds,
        driver=1 / (cluster.handing_seconds + cluster.result_seconds),
        bandwidth=storage.bytes_per_second / n_bytes,
        requests=storage.requests_per_second / (storage.n_read_requests + storage.n_write_requests),
    )


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sweep", metavar="N,N,...", help="numbers of workers to compare")
    parser.add_argument("--tracks-per-worker", type=int, default=200, help="of a sweep")
    parser.add_argument("--measure", action="store_true", help="measure the times on this machine")
    parts = (Tracks, Cluster, StorageSettings)
    for part in parts:
        add_options(parser, part)
    arguments = parser.parse_args()
    if arguments.measure:
        from bench.service_times import measure

        for line in measure():
            print(line, flush=True)
        return
    tracks, cluster, storage = (from_options(part, arguments) for part in parts)
    assert isinstance(tracks, Tracks)
    assert isinstance(cluster, Cluster)
    assert isinstance(storage, StorageSettings)
    if arguments.sweep:
        counts = [int(word) for word in arguments.sweep.split(",")]
        tracks = dataclasses.replace(tracks, n_tracks=arguments.tracks_per_worker)
        _print_sweep(counts, tracks, cluster, storage, arguments.seed)
    else:
        started = time.perf_counter()
        run = simulate(tracks, cluster, storage, arguments.seed)
        _print_run(run, tracks)
        print(f"simulated in {time.perf_counter() - started:.0f} s; seed {arguments.seed}")


def _print_run(run: ClusterRun, tracks: Tracks) -> None:
    hours = tracks.n_tracks * tracks.track_seconds / 3600
    shares = ", ".join(f"{name} {share:.2%}" for name, share in run.time_shares.items())
    print(f"tracks: {run.n_done} done, {run.n_failed} failed, {run.n_attempts} attempts")
    print(f"wall time: {run.wall_seconds / 3600:.2f} h; {run.n_node_failures} nodes failed")
    print(f"throughput: {run.tracks_per_second:.1f} tracks/s while there were any to hand out")
    print(f"speed: {hours * 3600 / run.wall_seconds:,.0f} times real time")
    print(f"utilisation: {run.utilisation:.1%} of the workers' time is computing that counts")
    print(f"workers' time: {shares}")
    print(f"driver busy: {run.driver_share:.1%}; storage bandwidth used: {run.storage_share:.1%}")
    print(
        f"waiting, 99th percentile: {run.driver_wait_p99_seconds:.3f} s for the driver, "
        f"{run.storage_wait_p99_seconds:.2f} s for the storage"
    )


def _print_sweep(
    counts: list[int], tracks: Tracks, cluster: Cluster, storage: StorageSettings, seed: int
) -> None:
    print(
        "| workers | tracks/s | limit | by | utilisation | driver busy | bandwidth used "
        "| p99 for the driver, s | p99 for the storage, s |"
    )
    print("|---:|---:|---:|---|---:|---:|---:|---:|---:|")
    for n_workers in counts:
        cluster = dataclasses.replace(cluster, n_workers=n_workers)
        whole = dataclasses.replace(tracks, n_tracks=tracks.n_tracks * n_workers)
        run = simulate(whole, cluster, storage, seed)
        most = limits(whole, cluster, storage)
        by = min(dataclasses.fields(most), key=lambda entry: getattr(most, entry.name)).name
        print(
            f"| {n_workers} | {run.tracks_per_second:.1f} | {most.least:.1f} | {by} "
            f"| {run.utilisation:.1%} | {run.driver_share:.1%} | {run.storage_share:.1%} "
            f"| {run.driver_wait_p99_seconds:.2f} | {run.storage_wait_p99_seconds:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
