"""Ctrl-C and SIGTERM during work that calls into C and that C calls back."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any, Self

__all__ = ["Interrupts"]

_TERMINATED = 143


class Interrupts:
    """Keeps signals until `check` is called, at a point where the work can end.

    The exception of a usual handler may come up inside a function that libsndfile calls back, where
    it gets lost (the song then seems to be cut off) or crashes the process. A second signal ends
    the process at once, as if there were no handler.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._is_waiting = False
        self._handlers: dict[int, Any] = {}

    def check(self) -> None:
        """Raise what the signal asked for, if one came.

        Raises:
            KeyboardInterrupt: after Ctrl-C.
            SystemExit: after SIGTERM.
        """
        if self._number == signal.SIGINT:
            raise KeyboardInterrupt
        if self._number is not None:
            raise SystemExit(_TERMINATED)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """Let signals raise where they come, for waiting in Python code alone."""
        self._is_waiting = True
        try:
            self.check()
            yield
        finally:
            self._is_waiting = False

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._number = number
        signal.signal(number, signal.SIG_DFL)
        if self._is_waiting:
            self.check()
