"""Random damage: the same seed and number always give the same damage to the same file."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence

import numpy as np

HEADER_BYTES = 256
"""What lies before is header in most formats; damage is aimed at it half of the time."""

_WORDS = (
    *(b"RIFF", b"WAVE", b"fmt ", b"data", b"ds64", b"LIST", b"fact", b"FORM", b"COMM", b"SSND"),
    *(b"moov", b"mvhd", b"trak", b"tkhd", b"mdia", b"mdhd", b"hdlr", b"minf", b"stbl", b"stsd"),
    *(b"stts", b"stsc", b"stsz", b"stco", b"ctts", b"edts", b"elst", b"udta", b"meta", b"ilst"),
    *(b"moof", b"traf", b"trun", b"tfhd", b"mdat", b"esds", b"dOps", b"alac", b"covr", b"sgpd"),
    *(b"OggS", b"vorbis", b"OpusHead", b"OpusTags", b"Xing", b"Info", b"LAME", b"ID3", b"APIC"),
    *(b"fLaC", b"caff", b"desc", b"pakt", b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"wvpk"),
)
"""Names after or before which formats keep their sizes and counts."""

_EXTREMES = (
    *(b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\0\0\0"),
    *(b"\0\0\0\x80", b"\0\0\0\1", b"\1\0\0\0", struct.pack(">I", 10**9), struct.pack("<I", 10**9)),
    *(b"\xff" * 8, b"\0" * 8, b"\x7f" + b"\xff" * 7, b"\xff" * 7 + b"\x7f", b"\0\0", b"\xff\xff"),
    *(b"\0", b"\xff", b"\x7f", b"\x80"),
)


def mutate(files: Mapping[str, bytes], seed: int, number: int) -> tuple[str, bytes]:
    """Return the name of a format, and a file of it with some damage."""
    rng = np.random.default_rng([seed, number])
    names = sorted(files)
    name = names[number % len(names)]
    content = bytearray(files[name])
    for _ in range(int(rng.integers(1, 4))):
        kind = _KINDS[int(rng.integers(len(_KINDS)))]
        kind(content, rng)
        if rng.random() < 0.02:
            _join(content, files[names[int(rng.integers(len(names)))]], rng)
    return name, bytes(content)


def _place(content: Sequence[int], rng: np.random.Generator) -> int:
    n_bytes = len(content)
    if rng.random() < 0.5:
        n_bytes = min(n_bytes, HEADER_BYTES)
    return int(rng.integers(max(1, n_bytes)))


def _flip_bits(content: bytearray, rng: np.random.Generator) -> None:
    for _ in range(int(rng.integers(1, 9))):
        if content:
            content[_place(content, rng)] ^= 1 << int(rng.integers(8))


def _put_noise(content: bytearray, rng: np.random.Generator) -> None:
    at, n_bytes = _place(content, rng), int(rng.integers(1, 65))
    content[at : at + n_bytes] = rng.bytes(min(n_bytes, len(content) - at))


def _put_zeros(content: bytearray, rng: np.random.Generator) -> None:
    at, n_bytes = _place(content, rng), int(rng.integers(1, 2000))
    content[at : at + n_bytes] = bytes(min(n_bytes, len(content) - at))


def _put_extreme(content: bytearray, rng: np.random.Generator) -> None:
    extreme = _EXTREMES[int(rng.integers(len(_EXTREMES)))]
    at = _place(content, rng)
    content[at : at + len(extreme)] = extreme


def _lie(content: bytearray, rng: np.random.Generator) -> None:
    """Put an extreme number a little before or behind one of the words that the file has."""
    found = [word for word in _WORDS if word in content]
    if not found:
        _put_extreme(content, rng)
        return
    word = found[int(rng.integers(len(found)))]
    first = content.index(word)
    last = content.rindex(word)
    at = (first if rng.random() < 0.7 else last) + int(rng.integers(-8, 48))
    extreme = _EXTREMES[int(rng.integers(len(_EXTREMES)))]
    at = min(max(0, at), len(content))
    content[at : at + len(extreme)] = extreme


def _cut_off(content: bytearray, rng: np.random.Generator) -> None:
    del content[_place(content, rng) :]


def _remove(content: bytearray, rng: np.random.Generator) -> None:
    at = _place(content, rng)
    del content[at : at + int(rng.integers(1, 3000))]


def _repeat(content: bytearray, rng: np.random.Generator) -> None:
    at = _place(content, rng)
    piece = bytes(content[at : at + int(rng.integers(1, 3000))])
    content[at:at] = piece * int(rng.integers(1, 5))


def _swap(content: bytearray, rng: np.random.Generator) -> None:
    first, n_bytes = _place(content, rng), int(rng.integers(1, 1000))
    second = min(len(content), first + n_bytes + int(rng.integers(0, 1000)))
    one, between = content[first : first + n_bytes], content[first + n_bytes : second]
    two = content[second : second + n_bytes]
    content[first : second + n_bytes] = two + between + one


def _append(content: bytearray, rng: np.random.Generator) -> None:
    content += rng.bytes(int(rng.integers(1, 300)))


def _join(content: bytearray, other: bytes, rng: np.random.Generator) -> None:
    """Go on as a file of another format."""
    at = int(rng.integers(len(content) + 1))
    content[at:] = other[min(at, len(other) // 2) :]


_KINDS: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    _flip_bits,
    _flip_bits,
    _put_noise,
    _put_zeros,
    _put_extreme,
    _lie,
    _lie,
    _lie,
    _cut_off,
    _remove,
    _repeat,
    _swap,
    _append,
)
