"""Runs the worker, and survives what it does not: crashes and hangs become findings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Finding:
    """A promise that was broken, and by which file."""

    case: str
    problem: str
    suffix: str
    content: bytes

    def __str__(self) -> str:
        return f"{self.case}: {self.problem}"


@dataclass(frozen=True)
class Batch:
    """What came of a range of files."""

    n_files: int
    """How many were read."""
    findings: list[Finding]
    died_at: int | None = None
    """How many of the range came before the file at which the process died."""


def run_batch(
    seed: int | str, first: int, last: int, folder: Path, timeout_seconds: float
) -> Batch:
    """Read the files of some numbers; `seed` may be "lies"."""
    folder.mkdir(parents=True)
    process = subprocess.Popen(
        [sys.executable, WORKER, folder, str(seed), str(first), str(last)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | ONE_THREAD,
    )
    try:
        _, errors = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        _, errors = process.communicate()
    findings = _told(folder)
    count = folder / "count.txt"
    if process.returncode == 0 and count.exists():
        return Batch(int(count.read_text()), findings)
    findings.append(_death(folder, process.returncode, errors))
    n_begun = folder / "begun.txt"
    n_before = int(n_begun.read_text()) - 1 if n_begun.exists() else 0
    return Batch(n_before, findings, died_at=n_before)


def _told(folder: Path) -> list[Finding]:
    path = folder / "findings.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [
        Finding(row["case"], row["problem"], row["suffix"], (folder / row["file"]).read_bytes())
        for row in rows
    ]


def _death(folder: Path, code: int, errors: bytes) -> Finding:
    trace = folder / "trace.txt"
    text = trace.read_text(errors="replace")[:2000] if trace.exists() else ""
    text = text or errors.decode(errors="replace")[-2000:]
    end = f"died of {signal.Signals(-code).name}" if code < 0 else f"ended with {code}"
    if not (folder / "current.txt").exists():
        return Finding("before the first file", f"{end}\n{text}", "", b"")
    case, suffix = (folder / "current.txt").read_text().splitlines()
    content = (folder / f"current.{suffix}").read_bytes()
    return Finding(case, f"{end}\n{text}", suffix, content)
