"""Real-time factor of the embedded model: both engines, four stems and one.

    python -m bench.speed [SONG]

Real-time factor is processing time over duration, from samples in memory to stems in memory, the
best of three runs in one process each after a short warm-up.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import stemlight
from stemlight.api import Engine

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "feelings.flac"
DURATION_SECONDS = 60
N_RUNS = 3
N_THREADS = 2


def minute_of(song: Path) -> tuple[np.ndarray, int]:
    """Read a song and repeat or cut it to a minute."""
    audio = stemlight.read_audio(song)
    n_samples = DURATION_SECONDS * audio.sample_rate_hz
    n_repeats = -(-n_samples // audio.n_samples)
    return np.tile(audio.samples, n_repeats)[:, :n_samples], audio.sample_rate_hz


def real_time_factor(
    engine: Engine, samples: np.ndarray, sample_rate_hz: int, sources: list[str] | None
) -> float:
    """Return the best of some runs."""
    separator = stemlight.load(engine=engine, device="cpu", n_threads=N_THREADS)
    separator(samples[:, : 10 * sample_rate_hz], sources=sources, sample_rate_hz=sample_rate_hz)
    seconds = []
    for _ in range(N_RUNS):
        start = time.perf_counter()
        separator(samples, sources=sources, sample_rate_hz=sample_rate_hz)
        seconds.append(time.perf_counter() - start)
    return min(seconds) / DURATION_SECONDS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("song", nargs="?", type=Path, default=EXAMPLE)
    samples, sample_rate_hz = minute_of(parser.parse_args().song)
    table = Table(title=f"Real-time factor, {N_THREADS} threads, {DURATION_SECONDS} s of music")
    for column in ("engine", "four stems", "vocals alone", "vocals / four"):
        table.add_column(column, justify="right" if column != "engine" else "left")
    engines: tuple[Engine, ...] = ("onnx", "torch")
    for engine in engines:
        four = real_time_factor(engine, samples, sample_rate_hz, None)
        one = real_time_factor(engine, samples, sample_rate_hz, ["vocals"])
        table.add_row(engine, f"{four:.3f}", f"{one:.3f}", f"{one / four:.0%}")
    Console().print(table)


if __name__ == "__main__":
    main()
