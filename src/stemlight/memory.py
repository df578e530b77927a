"""`--max-memory`: the process gets no more private memory than that, and says so in one line."""

from __future__ import annotations

import contextlib
import errno
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Self

from stemlight.errors import InputError, StemlightError, UsageError

__all__ = ["MemoryLimit", "size_bytes"]

_SIZE = re.compile(r"(?P<number>\d+(\.\d+)?) ?((?P<prefix>[kmgt])(?P<binary>i)?)?b?")
_EXPONENTS = {None: 0, "k": 1, "m": 2, "g": 3, "t": 4}

# Some abort the process, or wait for ever, if they are imported where memory is short.
_LIBRARIES = (
    "stemlight.api",
    "stemlight.separation.song_checks",
    "stemlight.separation.onnx_engine",
    *("av", "mutagen", "soundfile", "soxr"),
)

_FREE_BYTES = 16_000_000  # no model needs less, and Python itself can go on

# What libraries say that have no MemoryError, and of threads that get no stack.
_SIGNS = ("bad_alloc", "allocate memory", "malloc () failed")
_SIGNS_OF_LIMIT = ("start new thread", "Resource temporarily", "cannot map", "failed to map")


class MemoryLimit:
    """Limits the private memory of this process, and of each that it starts; None is no limit.

    What counts is what was asked of the kernel to be written to (`VmData` in /proc/self/status:
    heap, arrays, stacks of threads), a little more than what was written to. Programs and models
    that are read from files do not count.

    Raises:
        UsageError: the size is none; and on entering: it is less than the process needs already,
            or the system has no such limit.
    """

    def __init__(self, size: str | None, *, libraries: Sequence[str] = ()) -> None:
        """Read the size; `libraries` are imported before it holds, beside those always needed."""
        self._size = size
        self._libraries = (*_LIBRARIES, *libraries)
        self._most_bytes = None if size is None else size_bytes(size)
        self._before: tuple[int, int] | None = None

    def __enter__(self) -> Self:
        if self._most_bytes is None:
            return self
        if sys.platform != "linux":
            raise UsageError("--max-memory works on Linux only; leave it out")
        import resource

        for library in self._libraries:
            with contextlib.suppress(ImportError):  # who needs it will say so
                import_module(library)
        least_bytes = _private_bytes() + _FREE_BYTES
        if self._most_bytes < least_bytes:
            raise UsageError(
                f"--max-memory {self._size} is less than the {least_bytes / 1e6:.0f} MB that "
                "stemlight needs before it loads a model; allow more"
            )
        self._before = resource.getrlimit(resource.RLIMIT_DATA)
        stricter = [limit for limit in self._before if limit != resource.RLIM_INFINITY]
        most_bytes = min([self._most_bytes, sys.maxsize, *stricter])
        resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, self._before[1]))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._before is not None:
            import resource

            resource.setrlimit(resource.RLIMIT_DATA, self._before)

    @contextlib.contextmanager
    def named(
        self, work: str, *, kind: type[StemlightError] = InputError, cure: str
    ) -> Iterator[None]:
        """Raise `kind` in place of whatever is raised in the block for a lack of memory.

        `work` begins the line, and `cure` ends it: what to do but for allowing more.
        """
        try:
            yield
        except Exception as error:
            if not self.is_lack(error):
                raise
            line = f"{work} needs more memory than there is; free some, or {cure}"
            if self._size is not None:
                line = (
                    f"{work} needs more memory than --max-memory {self._size} allows; "
                    f"allow more, or {cure}"
                )
            raise kind(line) from error

    def is_lack(self, error: BaseException) -> bool:
        """Tell whether an exception, or what led to it, comes from a lack of memory."""
        if self._size is None and isinstance(error, StemlightError):
            return False  # damaged files claim so much that FFmpeg has no memory for it
        signs = _SIGNS if self._size is None else (*_SIGNS, *_SIGNS_OF_LIMIT)
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM:
                return True
            # Our own words and the system's hold names of files, which may be anything.
            is_foreign = not isinstance(cause, StemlightError | OSError)
            if is_foreign and any(sign in str(cause) for sign in signs):
                return True
            cause = cause.__cause__ or cause.__context__
        return False


def size_bytes(text: str) -> int:
    """Read a size as people write it: 800M, 1.5GB (powers of 1000), 2GiB (powers of 1024).

    Raises:
        UsageError: it is none.
    """
    found = _SIZE.fullmatch(text.strip().lower())
    if found is None:
        raise UsageError(
            f"--max-memory must be a size such as 800M, 1.5G or 2GiB, not {text!r}; "
            "k, M, G, T are powers of 1000, Ki, Mi, Gi, Ti of 1024"
        )
    step = 1024 if found["binary"] else 1000
    return int(float(found["number"]) * step ** _EXPONENTS[found["prefix"]])


def _private_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    (line,) = (line for line in lines if line.startswith("VmData:"))
    return int(line.split()[1]) * 1024
