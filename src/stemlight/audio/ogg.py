"""Three facts about Ogg files that libsndfile leaves to its users: numbers, chains and channels.

An Ogg file is a row of pages: "OggS", version, flags, position (8 bytes), serial number (4), page
number (4), checksum (4), number of lengths (1), lengths, content.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

from stemlight.audio.files import ReadableFile, WritableFile

__all__ = ["is_chained", "set_serial_number", "vorbis_places"]

# Vorbis and Opus have the centre between left and right and the deep tones last; all other formats
# have the order of WAV: front pair, centre, deep tones, back pair, side pair.
_PLACES = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}

_HEADER_BYTES = 27
_SERIAL_AT, _CHECKSUM_AT = 14, 22
_LONGEST_PAGE_BYTES = _HEADER_BYTES + 255 + 255 * 255
_POLYNOMIAL = 0x04C11DB7


def vorbis_places(n_channels: int) -> tuple[int, ...]:
    """Return where in Vorbis or Opus the channels of a WAV lie, from its first to its last."""
    return _PLACES.get(n_channels, tuple(range(n_channels)))


def set_serial_number(file: WritableFile) -> None:
    """Give all pages of a file that holds a single stream a serial number made of their content.

    libsndfile draws it from the clock, so that the same samples would not give the same bytes. A
    number that all files share would make a chain of two of them look like one stream.
    Checksums are linear: that of the new page is the old one XOR that of a page of zeros with just
    the changed bits, so no content needs to be read.
    """
    digest, to_zero = 0, _SerialChange(0)
    for _, header, n_page_bytes in _pages(file):
        to_zero.apply(header, n_page_bytes)
        digest = zlib.crc32(header, digest)
    change = _SerialChange(digest)
    for start, header, n_page_bytes in _pages(file):
        change.apply(header, n_page_bytes)
        file.seek(start)
        file.write(bytes(header))


def is_chained(file: ReadableFile) -> bool:
    """Tell whether the last stream of the file is not its first, and rewind the file.

    Of such a chain (radio recordings, files that were joined) libsndfile reads one link only.
    """
    file.seek(0)
    first = file.read(_HEADER_BYTES)
    n_file_bytes = file.seek(0, os.SEEK_END)
    file.seek(max(0, n_file_bytes - _LONGEST_PAGE_BYTES))
    tail = file.read()
    file.seek(0)
    last = tail.rfind(b"OggS", 0, len(tail) - _SERIAL_AT)
    return last >= 0 and tail[last + _SERIAL_AT : last + _SERIAL_AT + 4] != first[_SERIAL_AT:18]


def _pages(file: WritableFile) -> Iterator[tuple[int, bytearray, int]]:
    """Yield where each page begins, its header and its length."""
    n_file_bytes, start = file.seek(0, os.SEEK_END), 0
    while start < n_file_bytes:
        file.seek(start)
        header = bytearray(file.read(_HEADER_BYTES))
        n_page_bytes = _HEADER_BYTES + header[26] + sum(file.read(header[26]))
        yield start, header, n_page_bytes
        start += n_page_bytes


class _SerialChange:
    """Changes the one serial number of all pages, and their checksums with it."""

    def __init__(self, serial: int) -> None:
        self._serial = serial
        self._checksums: list[int] = []

    def apply(self, header: bytearray, n_page_bytes: int) -> None:
        if not self._checksums:
            old_serial = int.from_bytes(header[_SERIAL_AT:18], "little")
            difference = (old_serial ^ self._serial).to_bytes(4, "little")
            self._checksums = _checksums_before_zeros(difference)
        checksum = int.from_bytes(header[_CHECKSUM_AT : _CHECKSUM_AT + 4], "little")
        checksum ^= self._checksums[n_page_bytes - _SERIAL_AT - 4]
        header[_SERIAL_AT : _SERIAL_AT + 4] = self._serial.to_bytes(4, "little")
        header[_CHECKSUM_AT : _CHECKSUM_AT + 4] = checksum.to_bytes(4, "little")


def _checksums_before_zeros(content: bytes) -> list[int]:
    """Return the checksum of `content` followed by 0, 1, 2 ... zeros, up to the longest page."""
    table = []
    for byte in range(256):
        remainder = byte << 24
        for _ in range(8):
            remainder = (remainder << 1) ^ (_POLYNOMIAL if remainder & 0x80000000 else 0)
            remainder &= 0xFFFFFFFF
        table.append(remainder)
    checksum = 0
    for byte in content:
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ table[checksum >> 24 ^ byte]
    checksums = [checksum]
    for _ in range(_LONGEST_PAGE_BYTES):
        checksum = (checksum << 8 & 0xFFFFFFFF) ^ table[checksum >> 24]
        checksums.append(checksum)
    return checksums
