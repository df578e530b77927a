"""A zip of stems, made while it is sent: no copy on disk, and no name in it that a user gave."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["zip_pieces"]

_PIECE_BYTES = 1 << 18


class _Pieces:
    """A file that can only be written on, whose bytes are taken out as they come."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def write(self, content: bytes) -> int:
        self._waiting += content
        return len(content)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def take(self) -> bytes:
        taken, self._waiting = bytes(self._waiting), bytearray()
        return taken


def zip_pieces(files: Mapping[str, Path]) -> Iterator[bytes]:
    """Yield a zip of the files under the names given; sound is stored as it is."""
    pieces = _Pieces()
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, path in files.items():
            entry = zipfile.ZipInfo(name)
            with path.open("rb") as file, archive.open(entry, "w", force_zip64=True) as target:
                while content := file.read(_PIECE_BYTES):
                    target.write(content)
                    yield pieces.take()
    yield pieces.take()
