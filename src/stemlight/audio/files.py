"""What decoders and encoders need of a file, and files that keep the promises they rely on."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Protocol, runtime_checkable

__all__ = ["FaultKeeper", "FullWrites", "ReadableFile", "SourceFile", "WritableFile"]


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
    def truncate(self, n_bytes: int | None = None, /) -> int: ...  # noqa: D102


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
        # OverflowError: BytesIO knows no place beyond 2^63, which chunks of RF64 may name.
        with contextlib.suppress(OSError, ValueError, OverflowError):
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

    def truncate(self, n_bytes: int | None = None, /) -> int:
        """Make the file longer or shorter, as the file does."""
        return self._file.truncate(n_bytes)


class FaultKeeper:
    """A file for encoders in C, in whose callbacks an exception would be printed and forgotten."""

    def __init__(self, file: WritableFile) -> None:
        self.file = file
        self.closed_to_writing = False
        self._fault: OSError | None = None

    def raise_fault(self) -> None:
        """Raise what a callback had to keep to itself; nothing was written since."""
        if self._fault is not None:
            raise self._fault

    def write(self, content: bytes, /) -> int:
        """Write as the file does; nothing after a fault, nor once the file is given up."""
        if self.closed_to_writing or self._fault is not None:
            return 0
        try:
            return self.file.write(content)
        except OSError as error:
            self._fault = error
            return 0

    def read(self, n_bytes: int = -1, /) -> bytes:
        """Read as the file does."""
        return self.file.read(n_bytes)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Seek as the file does."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """Tell as the file does."""
        return self.file.tell()
