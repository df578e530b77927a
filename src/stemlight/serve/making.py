"""Files that are made of a result when they are first asked for, a few at a time, and kept."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio
from anyio import to_thread

from stemlight.serve.problems import RefusalError

__all__ = ["Makers", "part_path"]

_T = TypeVar("_T")


def part_path(target: Path) -> Path:
    """Return a name beside the target that nobody else has; its folder is made."""
    target.parent.mkdir(exist_ok=True)
    return target.with_name(f"part-{secrets.token_hex(8)}{''.join(target.suffixes)}")


class Makers:
    """Lets few requests compute at a time; others wait, and too many are refused."""

    def __init__(self, *, at_once: int, most_waiting: int) -> None:
        self._limiter = anyio.CapacityLimiter(at_once)
        self._most_here = at_once + most_waiting
        self._n_here = 0

    async def run(self, make: Callable[[], _T]) -> _T:
        """Compute in a thread.

        Raises:
            RefusalError: too many wait already.
        """
        if self._n_here >= self._most_here:
            raise RefusalError(
                429, f"{self._n_here} requests like this one wait; try again", retry_seconds=5
            )
        self._n_here += 1
        try:
            return await to_thread.run_sync(make, limiter=self._limiter)
        finally:
            self._n_here -= 1

    async def kept(self, target: Path, make: Callable[[Path], object]) -> int:
        """Have `make` write the target if it is not there; return how many bytes are new."""

        def make_whole() -> int:
            if target.exists():
                return 0
            if not target.parent.parent.is_dir():
                raise FileNotFoundError(target)
            part = part_path(target)
            try:
                make(part)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
            return target.stat().st_size

        if target.exists():
            return 0
        return await self.run(make_whole)
