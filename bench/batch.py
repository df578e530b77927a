"""How much `stemlight batch` separates with one worker and with two, and what a track costs beside.

    python -m bench.batch [--tracks 12] [--seconds 60] [--runs 3]

Workers and threads share the same cores, so the rows say which of the two uses them better. A row
is the best of some runs over the same tracks, new to a store of their own; the clock starts when
all workers have loaded the model. Beside it, the time of a task in the engine alone, and of a track
in a worker whose network does nothing: reading, hashing, writing stems of the same length, storing.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from bench.machine import describe_machine
from bench.material import EXAMPLE, music
from stemlight.batch import (
    Item,
    LocalEngine,
    ModelChoice,
    Outcome,
    Report,
    SeparateTrack,
    Store,
    read_items,
    run_batch,
)
from stemlight.chunking import ChunkPlan
from stemlight.separation import Separator

ROWS = ((1, 1), (2, 1), (1, 2))  # workers, threads of each
N_TASKS = 2000
_POLL_SECONDS = 0.002


class Nothing:
    """A backend whose stems are the mixture."""

    n_channels = 2
    sources = ("vocals", "drums", "bass", "other")
    sample_rate_hz = 44_100

    def separate_chunks(self, mixture: np.ndarray, sources: Sequence[str]) -> np.ndarray:
        """Return the mixture for each source."""
        return np.repeat(mixture[:, np.newaxis], len(sources), axis=1)


@dataclass(frozen=True, kw_only=True)
class NoModel(ModelChoice):
    """Chooses a model that does nothing."""

    def load(self) -> Separator:
        """Make it."""
        plan = ChunkPlan(chunk_samples=1 << 18, trim_samples=0, overlap_samples=1 << 12)
        return Separator(Nothing(), plan)

    def fingerprint(self) -> str:
        """Name it."""
        return "nothing"


@dataclass(frozen=True)
class Meeting:
    """Makes workers that begin together, when all have loaded what they need."""

    work: SeparateTrack
    folder: Path
    n_workers: int

    def __call__(self) -> Callable[[Item], Outcome]:
        """Make a worker, and wait for the others."""
        separate = self.work()
        (self.folder / str(os.getpid())).touch()
        while len(list(self.folder.iterdir())) < self.n_workers:
            time.sleep(_POLL_SECONDS)
        return separate

    def began(self) -> float:
        """Return when the last of them was there."""
        return max(path.stat().st_mtime for path in self.folder.iterdir())


def make_tracks(folder: Path, n_tracks: int, seconds: float) -> None:
    """Write tracks of equal length that are not equal."""
    samples, rate_hz = music(EXAMPLE, seconds)
    for number in range(n_tracks):
        moved = np.roll(samples, number * rate_hz, axis=1)
        soundfile.write(folder / f"{number:03d}.flac", moved.T, rate_hz, subtype="PCM_16")


def run_seconds(tracks: Path, n_workers: int, n_threads: int) -> float:
    """Return how long a run over the tracks takes, without the start of its workers."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"{folder}/out")
        work = SeparateTrack(store=store, choice=ModelChoice(n_threads=n_threads))
        (meeting := Meeting(work, Path(folder) / "workers", n_workers)).folder.mkdir()
        engine = LocalEngine(n_workers, n_threads=n_threads)
        with Report(store) as report:
            summary = run_batch(read_items(str(tracks)), engine, meeting, report)
            ended = time.time()
        assert summary.n_failed == 0, summary.reasons
        return ended - meeting.began()


def _idle() -> Callable[[int], int]:
    return abs


def task_seconds(n_workers: int) -> float:
    """Return the time of a task that does nothing in an engine whose workers are all busy."""
    ends = LocalEngine(n_workers).run(_idle, range(4 * N_TASKS))
    with contextlib.closing(ends):  # type: ignore[type-var]
        for _ in range(N_TASKS):
            next(ends)
        started = time.perf_counter()
        for _ in range(N_TASKS):
            next(ends)
        return (time.perf_counter() - started) / N_TASKS


def track_seconds(tracks: Path) -> tuple[float, float]:
    """Return the time of a track without its network: when it is new, and when it is done."""
    with tempfile.TemporaryDirectory() as folder:
        separate = SeparateTrack(store=Store(folder), choice=NoModel())()
        times = []
        for status in ("done", "skipped"):
            outcomes = [separate(item) for item in read_items(str(tracks))]
            assert {outcome.status for outcome in outcomes} == {status}
            times.append(min(outcome.elapsed_seconds for outcome in outcomes))
        return times[0], times[1]


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    print("\n".join(describe_machine()))
    for n_workers in (1, 2):
        seconds = min(task_seconds(n_workers) for _ in range(arguments.runs))
        print(f"a task in the engine, {n_workers} workers: {1e3 * seconds:.2f} ms", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tracks = Path(folder)
        make_tracks(tracks, arguments.tracks, arguments.seconds)
        done, skipped = track_seconds(tracks)
        print(
            f"a track of {arguments.seconds:g} s without its network: {1e3 * done:.1f} ms; "
            f"one that is done already: {1e3 * skipped:.2f} ms",
            flush=True,
        )
        audio_seconds = arguments.tracks * arguments.seconds
        for n_workers, n_threads in ROWS:
            seconds = min(run_seconds(tracks, n_workers, n_threads) for _ in range(arguments.runs))
            print(
                f"{n_workers} workers x {n_threads} threads: {seconds:.2f} s, "
                f"{audio_seconds / seconds:.2f} x real time",
                flush=True,
            )


if __name__ == "__main__":
    main()
