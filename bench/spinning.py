"""What it costs that ONNX Runtime's threads wait for work in a loop, alone and beside others.

    python -m bench.spinning [--seconds 60] [--runs 3]

The embedded model separates with threads that spin while they wait, as ONNX Runtime's do by
default, and with threads that sleep, as ours do; with both cores free, and beside a process that
keeps one core busy. Every row is a process of its own, in turns, the best of some.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any
from unittest import mock

import onnxruntime

import stemlight
from bench.material import EXAMPLE, music
from bench.peers import N_THREADS

SPINNING = "session.intra_op.allow_spinning"


class SpinningOptions(onnxruntime.SessionOptions):  # type: ignore[misc]
    """Options of a session that leave waiting as it is by default."""

    def add_session_config_entry(self, key: str, value: str) -> Any:
        """Take every entry but the one that forbids spinning."""
        return None if key == SPINNING else super().add_session_config_entry(key, value)


def measure(*, spins: bool, seconds: float, n_runs: int) -> tuple[float, float]:
    """Return wall and CPU seconds of the best of some runs in this process."""
    mixture, rate_hz = music(EXAMPLE, seconds)
    options = SpinningOptions if spins else onnxruntime.SessionOptions
    with mock.patch.object(onnxruntime, "SessionOptions", options):
        separator = stemlight.load(n_threads=N_THREADS)
        separator(mixture[:, : 6 * rate_hz], sample_rate_hz=rate_hz)
    runs = []
    for _ in range(n_runs):
        start, start_cpu = time.perf_counter(), time.process_time()
        separator(mixture, sample_rate_hz=rate_hz)
        runs.append((time.perf_counter() - start, time.process_time() - start_cpu))
    return min(runs)


def measure_apart(arguments: list[str], *, busy: bool) -> tuple[float, float]:
    """Measure in a process of its own, beside a busy one if asked."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        command = [sys.executable, "-m", "bench.spinning", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    finally:
        if other is not None:
            other.kill()
            other.wait()
    wall, cpu = json.loads(done.stdout)
    return wall, cpu


def main() -> None:
    """Measure all rows and print them, or, in a process of its own, one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--row", choices=["spins", "sleeps"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    seconds, n_runs = arguments.seconds, arguments.runs
    if arguments.row:
        spins = arguments.row == "spins"
        print(json.dumps(measure(spins=spins, seconds=seconds, n_runs=n_runs)))
        return
    for busy in (False, True):
        for row in ("spins", "sleeps"):
            options = ["--seconds", str(seconds), "--runs", str(n_runs), "--row", row]
            wall, cpu = measure_apart(options, busy=busy)
            place = "beside a busy process" if busy else "alone"
            print(f"{place:22s} {row:6s}  wall {wall:.2f} s  CPU {cpu:.2f} s", flush=True)


if __name__ == "__main__":
    main()
