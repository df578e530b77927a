"""What decoders and encoders need of a file, and files that keep the promises they rely on."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

__all__ = ["FullWrites", "ReadableFile", "SourceFile", "WritableFile"]


@runtime_checkable
class ReadableFile(Protocol):
    """A file object of bytes, such as `open(path, "rb")`, `io.BytesIO` or `sys.stdin.buffer`."""

    def read(self, n_bytes: int = -1, /) -> bytes: ...  # noqa: D102
    def seek(self, offset: int, whence: int = 0, /) -> int: ...  # noqa: D102
    def tell(self) -> int: ...  # noqa: D102
    def seekable(self) -> bool: ...  # noqa: D102


@runtime_checkable
class WritableFile(Protocol):
    """A seekable file of bytes whose content can be read again and corrected."""

    def read(self, n_bytes: int = -1, /) -> bytes: ...  # noqa: D102
    def write(self, content: bytes, /) -> int: ...  # noqa: D102
    def seek(self, offset: int, whence: int = 0, /) -> int: ...  # noqa: D102
    def tell(self) -> int: ...  # noqa: D102


class SourceFile:
    """A file for decoders in C, whose callbacks print an exception and forget it; here it is kept.

    It has no name because decoders trust the suffix of a name more than the content.
    """

    def __init__(self, file: ReadableFile, path: Path | None = None) -> None:
        self._file = file
        self._path = path
        self.fault: OSError | None = None

    def open_descriptor(self) -> int | None:
        """Open the same file once more, for the caller to close; None if it has no path.

        Reading by descriptor needs no callbacks, in which Ctrl-C would get lost or crash.
        """
        if self._path is None:
            return None
        return os.open(self._path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def read(self, n_bytes: int = -1, /) -> bytes:
        """Read as the file does; nothing after a fault."""
        try:
            return b"" if self.fault else self._file.read(n_bytes)
        except OSError as error:
            self.fault = error
            return b""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Seek as the file does, and tell where that ended."""
        # Damaged headers send decoders before the beginning; they notice where they are instead.
        with contextlib.suppress(OSError, ValueError):
            self._file.seek(offset, whence)
        return self._file.tell()

    def tell(self) -> int:
        """Tell as the file does."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Say yes: what cannot seek was copied before."""
        return True


class FullWrites:
    """An unbuffered file whose `write` writes all or raises.

    The operating system takes a part of the bytes when a disk becomes full, and only the next write
    fails; encoders do not ask twice.
    """

    def __init__(self, file: WritableFile) -> None:
        self._file = file

    def write(self, content: bytes, /) -> int:
        """Write all of `content`."""
        n_written = 0
        while n_written < len(content):
            n_written += self._file.write(content[n_written:] if n_written else content)
        return n_written

    def read(self, n_bytes: int = -1, /) -> bytes:
        """Read as the file does."""
        return self._file.read(n_bytes)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Seek as the file does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Tell as the file does."""
        return self._file.tell()
