"""A file that gets its name when it is complete, and until then is hidden beside it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO, cast

from stemlight.audio.files import FullWrites
from stemlight.audio.wording import reason, shown
from stemlight.errors import OutputError

__all__ = ["PendingFile"]

_ADVICE = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EFBIG: "the file system or a limit allows no larger file; choose another folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.ENOENT: "make the folder first",
    errno.ENOTDIR: "choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}


class PendingFile:
    """Opened as `.<name>.<random>.part`, then either placed under its name or discarded."""

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool) -> None:
        self._path = Path(path)
        self.name = shown(path)
        """The path as people should read it."""
        self._overwrite = overwrite
        self._target: Path | None = None
        self._part: Path | None = None
        self._file: BinaryIO | None = None

    def open(self) -> FullWrites:
        """Make the hidden file.

        Raises:
            OSError: it cannot be made.
            OutputError: the target exists and must not be overwritten.
            ValueError: there is a zero byte in the name.
        """
        # A link keeps pointing to its file, and a change of the current folder changes nothing.
        self._target = Path(os.path.realpath(self._path))
        self._check_target(self._target)
        self._part = _part_beside(self._target)
        # Without a buffer of Python's own an error is reported by the write that caused it.
        self._file = cast(BinaryIO, self._part.open("x+b", buffering=0))
        return FullWrites(self._file)

    def place(self) -> None:
        """Close the file and give it its name.

        Raises:
            OSError: it cannot be renamed.
            OutputError: the target came into being meanwhile and must not be overwritten.
        """
        assert self._file is not None
        assert self._part is not None
        assert self._target is not None
        self._file.close()
        self._check_target(self._target)
        self._part.replace(self._target)

    def discard(self) -> None:
        """Remove the hidden file; failing at it must not hide the error that led here."""
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
        with contextlib.suppress(OSError):
            if self._part is not None:
                self._part.unlink()

    def error(self, error: OSError | ValueError) -> OutputError:
        """Return the error to raise for one of the operating system."""
        advice = _ADVICE.get(getattr(error, "errno", None) or 0, "")
        return OutputError(
            f"cannot write {self.name}: {reason(error)}{'; ' if advice else ''}{advice}"
        )

    def _check_target(self, target: Path) -> None:
        try:
            mode = target.stat().st_mode  # fails for names that are too long, before the work
        except FileNotFoundError:
            return
        # Renaming would put a plain file in the place of a device such as /dev/null.
        if not stat.S_ISREG(mode):
            raise OutputError(f"cannot write {self.name}: it exists and is no file; rename it")
        if not self._overwrite:
            raise OutputError(f"{self.name} exists already; allow to overwrite it, or rename it")


def _part_beside(target: Path) -> Path:
    """Return a hidden name in the folder of `target` that is free and not too long itself."""
    name = target.name[:48]  # at most 192 of the 255 bytes that file systems allow
    return target.with_name(f".{name}.{secrets.token_hex(4)}.part")
