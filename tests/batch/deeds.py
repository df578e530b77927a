"""Workers that do well, raise, die or hang as their tasks say; they load next to nothing."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stemlight.errors import UsageError


@dataclass(frozen=True)
class Deed:
    """A task, and how it ends at its first attempts; later ones go well."""

    name: str
    end: str = "well"
    n_bad: int = 99


@dataclass(frozen=True)
class MakeDoer:
    """Makes what does deeds; ends badly itself at its first calls."""

    folder: Path
    end: str = "well"
    n_bad: int = 0

    def __call__(self):
        if count(self.folder / "starts") <= self.n_bad:
            come_to(self.end)
        return self._do

    def _do(self, deed):
        if count(self.folder / deed.name) <= deed.n_bad:
            return come_to(deed.end)
        return os.getpid()


def count(path: Path) -> int:
    """Return how often it was called with this path, in all processes."""
    with path.open("ab") as file:
        file.write(b".")
    return path.stat().st_size


def come_to(end: str):
    if end == "raise":
        raise ValueError("this\nwent wrong")
    if end == "refuse":
        raise UsageError("no such stem")
    if end == "exit":
        os._exit(7)
    if end == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "hang":
        time.sleep(600)
    if end == "threads":
        return os.environ["MKL_NUM_THREADS"]
    if end == "unpicklable":
        return lambda: None
    return os.getpid()


def wait_until(is_so: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be noticed does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
