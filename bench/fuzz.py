"""Damaged files for as long as one likes: what should never happen is told, and its file is kept.

    python -m bench.fuzz [--minutes 8] [--seed 1] [--first 0] [-o FOLDER]

The damage is that of `tests/fuzz`, where a constant number of files is read in every run of the
tests; here it goes on. Files that crash, hang, or use up time or memory are found as well as wrong
results. Each finding is a line here and a file in FOLDER; seed and number make the file again.
"""

from __future__ import annotations

import argparse
import importlib
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

MACHINERY = Path(__file__).resolve().parent.parent / "tests" / "fuzz"
BATCH_FILES = 1000
BATCH_SECONDS = 600


def fuzz(seed: int, first: int, minutes: float, folder: Path, console: Console) -> int:
    """Read files until the time is over; return how many broke a promise."""
    sys.path.insert(0, str(MACHINERY))  # the tests are no package
    batches: Any = importlib.import_module("batches")
    end = time.monotonic() + 60 * minutes
    n_files, n_findings, number = 0, 0, first
    while time.monotonic() < end:
        with tempfile.TemporaryDirectory() as name:
            last = number + BATCH_FILES
            batch = batches.run_batch(seed, number, last, Path(name) / "batch", BATCH_SECONDS)
        n_files += batch.n_files
        for finding in batch.findings:
            n_findings += 1
            folder.mkdir(parents=True, exist_ok=True)
            kept = folder / f"{re.sub('[^a-z0-9]+', '-', finding.case)}.{finding.suffix}"
            kept.write_bytes(finding.content)
            console.print(f"{finding}\n  kept as {kept}", markup=False, highlight=False)
        number = last if batch.died_at is None else number + batch.died_at + 1
    console.print(f"{n_files} files, {n_findings} findings; go on with --first {number}")
    return n_findings


def main() -> None:
    """Fuzz, and fail if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("-o", "--output", type=Path, default=Path("fuzz-findings"))
    given = parser.parse_args()
    n_findings = fuzz(given.seed, given.first, given.minutes, given.output, Console())
    sys.exit(1 if n_findings else 0)


if __name__ == "__main__":
    main()
