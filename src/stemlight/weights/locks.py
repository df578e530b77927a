"""Lets one process at a time work on a file or folder; the others wait."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["exclusive"]

_POLL_SECONDS = 0.1

# Some network file systems have no locks. There, two processes at once are the user's to avoid.
_NO_LOCKS_HERE = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@contextlib.contextmanager
def exclusive(lock: Path, *, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold the file `lock` while the block runs; make it and its folder first, remove it after.

    The operating system frees the lock of a process that dies. `on_wait` is called once if another
    process, or thread, has it.
    """
    descriptor = _try_to_hold(lock)
    if descriptor is None and on_wait is not None:
        on_wait()
    while descriptor is None:
        time.sleep(_POLL_SECONDS)
        descriptor = _try_to_hold(lock)
    try:
        yield
    finally:
        # Removed while it is held: who opened it meanwhile sees that its file is no longer there.
        with contextlib.suppress(OSError):
            lock.unlink()
        os.close(descriptor)


def _try_to_hold(lock: Path) -> int | None:
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    except FileNotFoundError:  # its folder was removed after it was made
        return None
    if _locks(descriptor) and _is_still(lock, descriptor):
        return descriptor
    os.close(descriptor)
    return None


def _is_still(lock: Path, descriptor: int) -> bool:
    """Tell whether the file that was opened is the one that others open now."""
    try:
        return os.path.samestat(lock.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _locks(descriptor: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS_HERE:
            raise
    return True
