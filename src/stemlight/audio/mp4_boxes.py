"""Boxes, of which MP4 files are made: walking through those of a file, and making new ones.

A box is its length (4 bytes, itself included; 1: the length follows in 8 bytes; 0: until the end),
its name (4 bytes) and its content, which may be boxes again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from stemlight.audio.files import ReadableFile

__all__ = ["Box", "box", "boxes", "find_box", "full_box", "read_box"]

_MOST_BOXES = 1000  # in one parent; a gigabyte could hold a hundred million of empty ones
_MOST_CONTENT_BYTES = 64 << 20  # of a table that is read as a whole


@dataclass(frozen=True)
class Box:
    """Where a box lies in its file."""

    name: bytes
    start: int
    content: int
    end: int


def box(name: bytes, *contents: bytes) -> bytes:
    """Make a box of at most 4 GiB."""
    content = b"".join(contents)
    return struct.pack(">I4s", 8 + len(content), name) + content


def full_box(name: bytes, *contents: bytes, version: int = 0, flags: int = 0) -> bytes:
    """Make a box whose content begins with a version and flags, as most tables do."""
    return box(name, struct.pack(">I", version << 24 | flags), *contents)


def boxes(file: ReadableFile, start: int, end: int) -> Iterator[Box]:
    """Yield the boxes that lie one after the other in `start..end`, as far as they make sense."""
    for _ in range(_MOST_BOXES):
        file.seek(start)
        header = file.read(16)
        if len(header) < 8 or start + 8 > end:
            return
        n_bytes, name = struct.unpack(">I4s", header[:8])
        content = start + 8
        if n_bytes == 1 and len(header) == 16:
            (n_bytes,) = struct.unpack(">Q", header[8:])
            content = start + 16
        elif n_bytes == 0:
            n_bytes = end - start
        if not content <= start + n_bytes <= end:
            return
        yield Box(name, start, content, start + n_bytes)
        start += n_bytes


def find_box(file: ReadableFile, parent: Box, *names: bytes) -> Box | None:
    """Return the first box on the way `names` down from `parent`, or None."""
    for name in names:
        found = next((x for x in boxes(file, parent.content, parent.end) if x.name == name), None)
        if found is None:
            return None
        # The metadata box is the one parent whose children stand behind a version and flags.
        parent = found if name != b"meta" else Box(name, found.start, found.content + 4, found.end)
    return parent


def read_box(file: ReadableFile, found: Box) -> bytes:
    """Return the content of a box, the first 64 MiB of it."""
    file.seek(found.content)
    return file.read(min(found.end - found.content, _MOST_CONTENT_BYTES))
