"""Reads damaged files in a process that may crash, hang or run out of memory: a script.

    python worker.py FOLDER SEED FIRST LAST     random damage of these numbers
    python worker.py FOLDER lies FIRST LAST     of the files that lie

In FOLDER lie, afterwards: `findings.jsonl`, a line for each broken promise; `current.<suffix>`, the
file that was read last, with its name in `current.txt`; what was printed, in `printed.txt`; how
many files were begun, in `begun.txt`; and the same in `count.txt`, if the end was reached.
"""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import io
import itertools
import json
import os
import re
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stemlight.audio import open_audio, probe, read_tags
from stemlight.errors import InputError

HANG_SECONDS = 30
MOST_CPU_SECONDS = 2.0
MOST_GROWTH_BYTES = 300_000_000
ADDRESS_SPACE_BYTES = 2_000_000_000  # beyond what the process has at its start
MOST_SAMPLES_PER_BYTE = 1000
FREE_SAMPLES = 1 << 20
MOST_TAG_BYTES = 17_000_000


def broken_promises(path: Path, content: bytes) -> Iterator[str]:
    """Read a file in all ways, and yield what should never happen."""
    with contextlib.suppress(InputError):
        info = probe(path)
        if info.duration_seconds is not None and not 0 <= info.duration_seconds < float("inf"):
            yield f"a duration of {info.duration_seconds} s"
    outcomes = []
    for source in (path, io.BytesIO(content)):
        n_samples = 0
        try:
            with open_audio(source) as reader:
                info = reader.info
                n_seen = 0
                for block in reader.blocks():
                    n_seen += block.shape[1]
                    if block.dtype != np.float32 or block.shape[0] != info.n_channels:
                        yield f"a block {block.dtype} {block.shape} of {info}"
                    if not np.isfinite(block).all():
                        yield "samples that are not finite"
            n_samples = n_seen
            if info.n_samples not in (None, n_samples):
                yield f"{info.n_samples} samples promised, {n_samples} given"
            if n_samples == 0:
                yield "no samples, and no error"
            if n_samples > MOST_SAMPLES_PER_BYTE * len(content) + FREE_SAMPLES:
                yield f"{n_samples} samples out of {len(content)} bytes"
            if info.sample_rate_hz < 1 or info.n_channels < 1:
                yield f"{info.sample_rate_hz} Hz, {info.n_channels} channels"
            outcomes.append(dataclasses.replace(info, path=""))
        except InputError as error:
            if not str(error).isprintable():
                yield f"a message that is not one plain line: {error!s:.200}"
            outcomes.append(str(error).replace(str(path), "<stream>"))
        outcomes.append(n_samples)
    # Of a damaged header the two may make different things, but only of one that is damaged.
    if outcomes[:2] != outcomes[2:] and not any(isinstance(outcome, str) for outcome in outcomes):
        yield f"a path and a file object differ: {outcomes}"
    tags = read_tags(path)
    n_tag_bytes = sum(len(picture.data) for picture in tags.pictures)
    if n_tag_bytes > MOST_TAG_BYTES:
        yield f"{n_tag_bytes} bytes of pictures"
    if not all(note.isprintable() for note in tags.notes):
        yield f"notes that are not plain lines: {tags.notes}"


def cases(seed: str, first: int, last: int) -> Iterator[tuple[str, str, bytes]]:
    """Yield name, suffix and content of each file."""
    # Beside this script: it is no part of a package.
    from lies import lying_files
    from mutations import mutate
    from seeds import SUFFIXES, valid_files

    files = valid_files()
    if seed == "lies":
        yield from itertools.islice(lying_files(files), first, last)
        return
    for number in range(first, last):
        format, content = mutate(files, int(seed), number)
        yield f"{format}, seed {seed}, number {number}", SUFFIXES[format], content


def main(folder: Path, seed: str, first: int, last: int) -> None:
    """Read all files."""
    trace = (folder / "trace.txt").open("w")
    faulthandler.enable(trace)
    findings = (folder / "findings.jsonl").open("w")
    for descriptor in (1, 2):
        os.dup2(os.open(folder / "printed.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND), descriptor)
    printed = folder / "printed.txt"
    n_cases, baseline = 0, 0
    for name, suffix, content in cases(seed, first, last):
        if not n_cases:
            _limit_address_space()
            baseline = _peak_bytes()
        n_cases += 1
        path = folder / f"current.{suffix}"
        path.write_bytes(content)
        (folder / "current.txt").write_text(f"{name}\n{suffix}")
        (folder / "begun.txt").write_text(str(n_cases))
        faulthandler.dump_traceback_later(HANG_SECONDS, exit=True, file=trace)
        started, n_printed = time.process_time(), printed.stat().st_size
        problems = []
        try:
            problems += broken_promises(path, content)
        except BaseException as error:
            problems.append(f"{type(error).__module__}.{type(error).__name__}: {error!s:.300}")
        seconds, growth = time.process_time() - started, _peak_bytes() - baseline
        if seconds > MOST_CPU_SECONDS:
            problems.append(f"{seconds:.1f} s of work")
        if growth > MOST_GROWTH_BYTES:
            problems.append(f"a peak of {growth / 1e6:.0f} MB more than before")
            baseline += growth  # it counts once
        if printed.stat().st_size > n_printed:
            problems.append(f"printed {printed.read_bytes()[n_printed:][:200]!r}")
        for problem in problems:
            row = {"case": name, "suffix": suffix, "problem": problem, "file": f"{n_cases}.bin"}
            (folder / f"{n_cases}.bin").write_bytes(content)
            findings.write(json.dumps(row) + "\n")
            findings.flush()
    faulthandler.cancel_dump_traceback_later()
    (folder / "count.txt").write_text(str(n_cases))


def _limit_address_space() -> None:
    n_now_bytes = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (n_now_bytes + ADDRESS_SPACE_BYTES, hard))


def _peak_bytes() -> int:
    # Not ru_maxrss, which begins with what the process was forked from had.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s*(\d+) kB", status)[1]) * 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
