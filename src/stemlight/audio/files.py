"""What encoders and decoders need of a file, and a file that keeps the promise they rely on."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

__all__ = ["FullWrites", "ReadableFile", "WritableFile"]


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
