"""Peak memory of the command line on a short and on a long file.

    python -m bench.memory [SONG] [--minutes 3 30 600]

The song is repeated to each length; the peak is the resident memory of the whole process as the
kernel counts it, imports and engine included. Stems have 16 bits and are clipped where they are too
loud, because lowering them means to keep all samples twice: ten hours take 6 GB of disk for the
song and 25 for its stems, and half an hour or more.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

import stemlight
from bench.material import EXAMPLE

MINUTES = (3, 30)


def write_long(song: Path, minutes: int, path: Path) -> None:
    """Repeat a song until it fills some minutes; RF64, because ten hours outgrow a plain WAV."""
    audio = stemlight.read_audio(song)
    missing = minutes * 60 * audio.sample_rate_hz
    with soundfile.SoundFile(
        path, "w", audio.sample_rate_hz, audio.n_channels, format="RF64", subtype="PCM_16"
    ) as file:
        while missing > 0:
            file.write(np.ascontiguousarray(audio.samples[:, :missing].T))
            missing -= audio.n_samples


def measure(path: Path, folder: Path) -> tuple[float, float]:
    """Separate a file in a process of its own; return its peak in MiB and its wall time."""
    script = (
        "import resource, sys; from stemlight.cli import main\n"
        "try: main()\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, "separate", str(path), "-o", str(folder), "--quiet"]
    command += ["--bit-depth", "16", "--on-clip", "clip"]
    start = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return int(done.stderr.split()[-1]) / 1024, time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("song", nargs="?", type=Path, default=EXAMPLE)
    parser.add_argument("--minutes", nargs="+", type=int, default=MINUTES)
    arguments = parser.parse_args()
    song = arguments.song
    table = Table(title="Peak memory of `stemlight separate`, four stems")
    for column in ("minutes of music", "peak MiB", "wall seconds", "real-time factor"):
        table.add_column(column, justify="right")
    with tempfile.TemporaryDirectory() as name:
        for minutes in arguments.minutes:
            path = Path(name) / f"{minutes}.wav"
            write_long(song, minutes, path)
            peak_mib, seconds = measure(path, Path(name) / "stems")
            factor = seconds / (minutes * 60)
            table.add_row(str(minutes), f"{peak_mib:.0f}", f"{seconds:.1f}", f"{factor:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
