"""WAV files: written by hand, and asked what length their header promises.

libsndfile is not used for writing because its float WAVs carry the time of day (PEAK chunk), so
that the same input would not give the same bytes, and because it must know before the first sample
whether the file will need RF64. Here every header has room for RF64's 64-bit sizes in a JUNK chunk
that readers skip (EBU Tech 3306), and the decision falls when the size is known.
"""

from __future__ import annotations

import struct

import numpy as np

from stemlight.audio.files import ReadableFile, WritableFile
from stemlight.audio.pcm import to_pcm
from stemlight.shapes import Float32

__all__ = ["FloodError", "WavEncoder", "promised_samples"]

_RIFF_LIMIT_BYTES = 0xFFFFFFFF
_FORMAT_PCM, _FORMAT_FLOAT, _FORMAT_EXTENSIBLE = 1, 3, 0xFFFE
_BYTES_PER_SAMPLE = {"16": 2, "24": 3, "float": 4}

# Programs that write to a pipe cannot come back to fill in the size. They leave the largest number
# of 32 bits, or of 31 bits less a header.
_UNKNOWN_FROM_BYTES = 0x7FFF0000

_MOST_CHUNKS = 1000  # a gigabyte of zeros is a hundred million of empty chunks


class FloodError(Exception):
    """More chunks than any program writes, before the sound; FFmpeg would take minutes for them."""


class WavEncoder:
    """Writes blocks as a WAV into a seekable binary file; `finish` fills in the sizes."""

    def __init__(
        self, file: WritableFile, *, sample_rate_hz: int, n_channels: int, bit_depth: str
    ) -> None:
        self._file = file
        self._sample_rate_hz = sample_rate_hz
        self._n_channels = n_channels
        self._bit_depth = bit_depth
        self._n_samples = 0
        file.write(self._header(0))

    def write(self, block: Float32[np.ndarray, "channels samples"]) -> None:
        """Append samples; for 16 and 24 bits they are rounded and saturate."""
        self._n_samples += block.shape[1]
        self._file.write(_interleaved_bytes(block, self._bit_depth))

    def finish(self) -> None:
        """Complete the header."""
        n_data_bytes = self._n_samples * self._n_channels * _BYTES_PER_SAMPLE[self._bit_depth]
        if n_data_bytes % 2:
            self._file.write(b"\0")  # chunks have an even length
        self._file.seek(0)
        self._file.write(self._header(n_data_bytes))

    def abandon(self) -> None:
        """Leave the file as it is."""

    def _header(self, n_data_bytes: int) -> bytes:
        n_bytes = _BYTES_PER_SAMPLE[self._bit_depth]
        n_frame_bytes = n_bytes * self._n_channels
        kind = _FORMAT_FLOAT if self._bit_depth == "float" else _FORMAT_PCM
        format_fields = struct.pack(
            "<HHIIHH",
            kind,
            self._n_channels,
            self._sample_rate_hz,
            min(self._sample_rate_hz * n_frame_bytes, 0xFFFFFFFF),
            n_frame_bytes,
            8 * n_bytes,
        )
        chunks = _chunk(b"fmt ", format_fields)
        if kind == _FORMAT_FLOAT:  # which the standard wants to have a fact chunk
            chunks += _chunk(b"fact", struct.pack("<I", min(self._n_samples, 0xFFFFFFFF)))
        sizes = bytes(28)
        n_riff_bytes = 4 + 8 + len(sizes) + len(chunks) + 8 + n_data_bytes + n_data_bytes % 2
        if n_riff_bytes <= _RIFF_LIMIT_BYTES:
            start = struct.pack("<4sI4s", b"RIFF", n_riff_bytes, b"WAVE") + _chunk(b"JUNK", sizes)
            return start + chunks + struct.pack("<4sI", b"data", n_data_bytes)
        sizes = struct.pack("<QQQI", n_riff_bytes, n_data_bytes, self._n_samples, 0)
        start = struct.pack("<4sI4s", b"RF64", 0xFFFFFFFF, b"WAVE") + _chunk(b"ds64", sizes)
        return start + chunks + struct.pack("<4sI", b"data", 0xFFFFFFFF)


def promised_samples(file: ReadableFile) -> int | None:
    """Return how many samples the header of a WAV, RF64 or AIFF promises, and rewind the file.

    None: it is none of these, or its header does not say (written to a pipe, not PCM, damaged).

    Raises:
        FloodError: a thousand chunks come before the sound.
    """
    file.seek(0)
    kind, _, form = struct.unpack("<4sI4s", file.read(12).ljust(12, b"\0"))
    try:
        if kind in (b"RIFF", b"RF64") and form == b"WAVE":
            return _promised_by_wav(file)
        if kind == b"FORM" and form in (b"AIFF", b"AIFC"):
            return _promised_by_aiff(file)
        return None
    except struct.error:  # the header itself is cut off or odd; the decoder will say so
        return None
    finally:
        file.seek(0)


def _promised_by_wav(file: ReadableFile) -> int | None:
    n_frame_bytes, n_long_bytes = 0, None
    for _ in range(_MOST_CHUNKS):
        name, n_bytes = struct.unpack("<4sI", file.read(8))
        content = file.tell()
        if name == b"ds64":
            _, n_long_bytes = struct.unpack("<QQ", file.read(16))
        elif name == b"fmt ":
            kind, _, _, _, n_frame_bytes, _ = struct.unpack("<HHIIHH", file.read(16))
            if kind not in (_FORMAT_PCM, _FORMAT_FLOAT, _FORMAT_EXTENSIBLE):
                return None
        elif name == b"data":
            unknown = n_bytes >= _UNKNOWN_FROM_BYTES or n_bytes == 0
            n_data_bytes = n_long_bytes if n_long_bytes else (None if unknown else n_bytes)
            return n_data_bytes // n_frame_bytes if n_data_bytes and n_frame_bytes else None
        file.seek(content + n_bytes + n_bytes % 2)
    raise FloodError(f"more than {_MOST_CHUNKS} chunks before the sound")


def _promised_by_aiff(file: ReadableFile) -> int | None:
    for _ in range(_MOST_CHUNKS):
        name, n_bytes = struct.unpack(">4sI", file.read(8))
        content = file.tell()
        if name == b"COMM":
            _, n_samples = struct.unpack(">hI", file.read(6))
            return int(n_samples)
        file.seek(content + n_bytes + n_bytes % 2)
    raise FloodError(f"more than {_MOST_CHUNKS} chunks before the sound")


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", name, len(content)) + content


def _interleaved_bytes(block: Float32[np.ndarray, "channels samples"], bit_depth: str) -> bytes:
    if bit_depth == "float":
        return np.ascontiguousarray(block.T, dtype="<f4").tobytes()
    if bit_depth == "16":
        return np.ascontiguousarray(to_pcm(block, 16).T, dtype="<i2").tobytes()
    four_bytes = np.ascontiguousarray(to_pcm(block, 24).T, dtype="<i4").view(np.uint8)
    return np.ascontiguousarray(four_bytes.reshape(-1, 4)[:, :3]).tobytes()
