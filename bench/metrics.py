"""BSS Eval of whole songs: ours beside museval, in one run.

    python -m bench.metrics [--songs FOLDER...] [--minutes 4] [--threads 2]

Each FOLDER has a file for each stem (vocals.wav, drums.wav, ...); without any, a song of noises is
made, of so many minutes. Estimates are made of the references: too quiet, with some of the mixture
and noise. Both run once in a process of their own, from samples in memory to frames; the peak is
that of the whole process, samples included.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.machine import describe_machine, peak_mib
from stemlight.evaluation import bss_eval, rounded_to_16_bits
from stemlight.tracks import find_tracks

STEMS = ("vocals", "drums", "bass", "other")
SAMPLE_RATE_HZ = 44_100
RATIOS = ("sdr_db", "isr_db", "sir_db", "sar_db")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
KINDS = ("references", "estimates")
AIM = 20
COLUMNS: dict[str, Literal["left", "right"]] = {
    "song": "left",
    "stems": "right",
    "seconds of song": "right",
    "": "left",
    "seconds": "right",
    "peak MiB": "right",
    "times faster": "right",
    "largest difference, dB": "right",
}

Song = Mapping[str, np.ndarray]


def read_song(folder: Path | None, minutes: float) -> dict[str, np.ndarray]:
    """Return the stems that sound, of 16 bits; without a folder, noises in their place."""
    if folder is None:
        random = np.random.default_rng(0)
        n_samples = round(minutes * 60 * SAMPLE_RATE_HZ)
        stems = {name: 0.1 * random.standard_normal((2, n_samples), np.float32) for name in STEMS}
    else:
        (track,) = (t for t in find_tracks(folder.parent, sources=STEMS) if t.name == folder.name)
        _, stems = track.read(STEMS, SAMPLE_RATE_HZ)
    return {name: rounded_to_16_bits(stem) for name, stem in stems.items() if np.any(stem)}


def estimates_of(song: Song) -> dict[str, np.ndarray]:
    """Return estimates that lack nothing: wrong level, interference and artifacts."""
    random = np.random.default_rng(1)
    mixture = sum(song.values(), np.zeros((), np.float32))
    return {
        name: 0.8 * stem
        + 0.1 * mixture
        + np.float32(1e-3) * random.standard_normal(stem.shape, np.float32)
        for name, stem in song.items()
    }


def run_ours(references: np.ndarray, estimates: np.ndarray, n_threads: int) -> np.ndarray:
    """Return `(ratios, stems, frames)`."""
    signals = [{str(i): stem for i, stem in enumerate(stems)} for stems in (references, estimates)]
    found = bss_eval(signals[0], signals[1], n_threads=n_threads)
    return np.array([[getattr(frames, ratio) for frames in found.values()] for ratio in RATIOS])


def run_museval(references: np.ndarray, estimates: np.ndarray, _: int) -> np.ndarray:
    """Return `(ratios, stems, frames)`; it has threads in linear algebra alone."""
    # Its arrays are (sources, samples, channels).
    return np.array(_museval().evaluate(references.swapaxes(1, 2), estimates.swapaxes(1, 2)))


def _museval() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module("museval")


ROWS = {"stemlight": run_ours, "museval": run_museval}


def measure(row: str, cache: Path, n_threads: int) -> None:
    """Run a row in this process; write its frames, and print seconds and peak."""
    references, estimates = (np.load(cache / f"{kind}.npy") for kind in KINDS)
    if row == "museval":
        _museval()  # importing it is not measured
    start = time.perf_counter()
    frames = ROWS[row](references, estimates, n_threads)
    seconds = time.perf_counter() - start
    np.save(cache / f"{row}.npy", frames)
    print(json.dumps({"seconds": seconds, "mib": peak_mib()}))


def measure_apart(row: str, cache: Path, n_threads: int) -> tuple[float, float, np.ndarray]:
    """Run a row in a process of its own; return seconds, MiB and frames."""
    command = [sys.executable, "-m", "bench.metrics", "--row", row]
    command += ["--cache", str(cache), "--threads", str(n_threads)]
    environment = dict(os.environ) | dict.fromkeys(THREAD_VARIABLES, str(n_threads))
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout.splitlines()[-1])
    return found["seconds"], found["mib"], np.load(cache / f"{row}.npy")


def compare(folder: Path | None, minutes: float, n_threads: int) -> list[list[str]]:
    """Measure both on one song and return the cells of their rows."""
    song = read_song(folder, minutes)
    with tempfile.TemporaryDirectory() as name:
        for kind, stems in zip(KINDS, (song, estimates_of(song)), strict=True):
            np.save(Path(name) / f"{kind}.npy", np.stack(list(stems.values())))
        found = {row: measure_apart(row, Path(name), n_threads) for row in ROWS}
    ours, theirs = (frames for _, _, frames in found.values())
    if not np.array_equal(np.isnan(ours), np.isnan(theirs)):
        raise SystemExit("one has ratios where the other has none")
    faster = found["museval"][0] / found["stemlight"][0]
    difference_db = np.nanmax(np.abs(ours - theirs))
    last = {"stemlight": [f"{faster:.0f} (aim {AIM})", f"{difference_db:.1e}"]}
    title = folder.name if folder else f"noise, {minutes:g} min"
    return [
        [
            *(title, str(len(song)), str(ours.shape[-1]), row, f"{seconds:.1f}", f"{mib:.0f}"),
            *last.get(row, ["", ""]),
        ]
        for row, (seconds, mib, _) in found.items()
    ]


def main() -> None:
    """Measure both on all songs and print, or, in a process of its own, one."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--songs", nargs="+", type=Path, metavar="FOLDER", default=[None])
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--row", choices=ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--cache", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.row:
        measure(arguments.row, arguments.cache, arguments.threads)
        return
    table = Table(title=f"BSS Eval v4, {arguments.threads} threads")
    for column, justify in COLUMNS.items():
        table.add_column(column, justify=justify)
    for folder in arguments.songs:
        for row in compare(folder, arguments.minutes, arguments.threads):
            table.add_row(*row)
    console = Console(width=110)
    console.print(table)
    console.print("\n".join(describe_machine()), highlight=False)
    console.print(f"museval {importlib.metadata.version('museval')}", highlight=False)


if __name__ == "__main__":
    main()
