"""Tags in a WAV or RF64: an INFO list for old programs, ID3 for all the rest, behind the sound."""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping

from stemlight.audio.files import WritableFile

__all__ = ["write_wav_chunks"]

_RIFF_LIMIT_BYTES = 0xFFFFFFFF
_MOST_CHUNKS = 1000
_CHUNK_OF = {
    "title": b"INAM",
    "artist": b"IART",
    "album": b"IPRD",
    "track_number": b"ITRK",
    "date": b"ICRD",
    "genre": b"IGNR",
    "comment": b"ICMT",
}


def write_wav_chunks(file: WritableFile, texts: Mapping[str, str], id3: bytes) -> str | None:
    """Write both behind everything else; older ones go, or become fillers that programs skip.

    Returns why it could not be done, and then nothing was changed.

    Raises:
        OSError: what the file's own methods raised.
    """
    file.seek(0)
    kind, _, form = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    if kind not in (b"RIFF", b"RF64") or form != b"WAVE":
        return "it is no WAV"
    info = b"".join(
        _chunk(_CHUNK_OF[field], text.encode("utf-8", "replace") + b"\0")
        for field, text in texts.items()
        if field in _CHUNK_OF and text
    )
    tail = _chunk(b"LIST", b"INFO" + info) if info else b""
    tail += _chunk(b"id3 ", id3) if id3 else b""
    old, end = _old_tags(file)
    tail = b"\0" * (end % 2) + tail
    n_riff_bytes = end + len(tail) - 8
    if kind == b"RIFF" and n_riff_bytes > _RIFF_LIMIT_BYTES:
        return "the file would outgrow the 4 GiB of a WAV"
    for start in old:
        file.seek(start)
        file.write(b"JUNK")
    file.seek(end)
    file.write(tail)
    file.truncate(end + len(tail))
    if kind == b"RIFF":
        file.seek(4)
        file.write(struct.pack("<I", n_riff_bytes))
    else:  # the first chunk, ds64, begins with the same number in 64 bits
        file.seek(20)
        file.write(struct.pack("<Q", n_riff_bytes))
    return None


def _old_tags(file: WritableFile) -> tuple[list[int], int]:
    """Return where chunks of tags begin that other chunks follow, and the end without the rest."""
    n_file_bytes = file.seek(0, os.SEEK_END)
    start, end, n_long_bytes = 12, n_file_bytes, 0
    old: list[int] = []
    for _ in range(_MOST_CHUNKS):
        file.seek(start)
        header = file.read(12)
        if len(header) < 8:
            break
        name, n_bytes = struct.unpack("<4sI", header[:8])
        if name == b"ds64":
            _, n_long_bytes = struct.unpack("<QQ", (header[8:] + file.read(12))[:16])
        elif name == b"data" and n_bytes in (0, 0xFFFFFFFF):
            n_bytes = n_long_bytes or n_file_bytes  # written to a pipe: all that is there
        next_start = start + 8 + n_bytes + n_bytes % 2
        if name.lower() == b"id3 " or (name == b"LIST" and header[8:] == b"INFO"):
            old.append(start)
            end = min(end, start) if next_start <= n_file_bytes else n_file_bytes
        else:
            end = n_file_bytes
        start = next_start
    return [x for x in old if x < end], end


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content + b"\0" * (len(content) % 2)
