"""Two facts about Ogg files that libsndfile leaves to its users: serial numbers and chains.

An Ogg file is a row of pages: "OggS", version, flags, position (8 bytes), serial number (4), page
number (4), checksum (4), number of lengths (1), lengths, content.
"""

from __future__ import annotations

import os

from stemlight.audio.files import ReadableFile, WritableFile

__all__ = ["is_chained", "set_serial_number"]

_HEADER_BYTES = 27
_SERIAL_AT, _CHECKSUM_AT = 14, 22
_LONGEST_PAGE_BYTES = _HEADER_BYTES + 255 + 255 * 255
_POLYNOMIAL = 0x04C11DB7


def set_serial_number(file: WritableFile, serial: int) -> None:
    """Give all pages of a file that holds a single stream the same serial number.

    libsndfile draws it from the clock, so that the same samples would not give the same bytes.
    Checksums are linear: that of the new page is the old one XOR that of a page of zeros with just
    the changed bits, so no content needs to be read.
    """
    file.seek(0, os.SEEK_END)
    n_file_bytes, start = file.tell(), 0
    checksums: list[int] = []
    while start < n_file_bytes:
        file.seek(start)
        header = bytearray(file.read(_HEADER_BYTES))
        n_page_bytes = _HEADER_BYTES + header[26] + sum(file.read(header[26]))
        old_serial = int.from_bytes(header[_SERIAL_AT : _SERIAL_AT + 4], "little")
        if not checksums:
            checksums = _checksums_before_zeros((old_serial ^ serial).to_bytes(4, "little"))
        checksum = int.from_bytes(header[_CHECKSUM_AT : _CHECKSUM_AT + 4], "little")
        checksum ^= checksums[n_page_bytes - _SERIAL_AT - 4]
        header[_SERIAL_AT : _SERIAL_AT + 4] = serial.to_bytes(4, "little")
        header[_CHECKSUM_AT : _CHECKSUM_AT + 4] = checksum.to_bytes(4, "little")
        file.seek(start)
        file.write(bytes(header))
        start += n_page_bytes


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
