"""Puts packets into an MP4 whose tables give every sound its start and length to the sample.

Written by hand because FFmpeg's muxer keeps some hundred bytes for each packet in memory, rounds
edit lists to milliseconds and does not know the atom of STEM files. The same packets give the same
bytes: there are no times of creation. Sound comes first, tables last, so that nothing has to move
when tags are added.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from stemlight.audio.files import WritableFile
from stemlight.audio.mp4_boxes import box, full_box

__all__ = ["Mp4Muxer", "Mp4Track"]

_MOST_CHUNK_PACKETS = 32  # packets of one stream in a row, about half of a second
_ENABLED, _IN_MOVIE = 1, 2
_UNITY_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_LARGEST_32_BITS = 0xFFFFFFFF


@dataclass(kw_only=True)
class Mp4Track:
    """One audio stream: what its decoder must know, and where its packets lie."""

    codec: str
    """`aac` or `alac`."""
    extradata: bytes
    sample_rate_hz: int
    n_channels: int
    frame_samples: int
    n_bits: int = 16
    bit_rate_kbps: int = 0
    is_enabled: bool = True
    """Whether players play it unasked."""
    n_priming: int = 0
    """Samples that the encoder put before the first one."""
    n_padding: int = 0
    """Samples behind the last one."""
    n_decoded: int = 0
    """Samples of all packets, priming and padding included."""
    sizes: array[int] = field(default_factory=lambda: array("I"))
    chunk_starts: array[int] = field(default_factory=lambda: array("Q"))
    chunk_packets: array[int] = field(default_factory=lambda: array("I"))

    @property
    def n_samples(self) -> int:
        """Samples that are played."""
        return self.n_decoded - self.n_priming - self.n_padding


class Mp4Muxer:
    """Writes packets of one or more streams into a seekable binary file.

    Raises:
        OSError: what the file's own methods raised, here and in all methods.
    """

    def __init__(self, file: WritableFile, tracks: list[Mp4Track]) -> None:
        self._file = file
        self._tracks = tracks
        self._last_track: Mp4Track | None = None
        header = box(b"ftyp", b"M4A ", bytes(4), b"M4A ", b"mp42", b"isom")
        # A filler of 8 bytes, whose place the length takes if it outgrows 32 bits.
        self._data_start = len(header)
        self._end = self._data_start + 16
        file.write(header + box(b"free") + struct.pack(">I4s", 8, b"mdat"))

    def write(self, track: Mp4Track, packet: bytes, n_samples: int) -> None:
        """Append a packet that decodes to `n_samples`."""
        is_new = track is not self._last_track or track.chunk_packets[-1] == _MOST_CHUNK_PACKETS
        if is_new:
            track.chunk_starts.append(self._end)
            track.chunk_packets.append(0)
        self._last_track = track
        track.chunk_packets[-1] += 1
        track.sizes.append(len(packet))
        track.n_decoded += n_samples
        self._file.write(packet)
        self._end += len(packet)

    def finish(self, user_data: bytes = b"") -> None:
        """Write the tables, with the boxes `user_data` about the whole film."""
        n_samples = max(track.n_samples for track in self._tracks)
        rate_hz = self._tracks[0].sample_rate_hz  # the unit of the film, so nothing is rounded
        movie = box(
            b"moov",
            _movie_header(rate_hz, n_samples, len(self._tracks) + 1),
            *(_track_box(track, number) for number, track in enumerate(self._tracks, start=1)),
            box(b"udta", user_data) if user_data else b"",
        )
        self._file.write(movie)
        self._file.seek(self._data_start)
        n_bytes = self._end - self._data_start
        if n_bytes - 8 <= _LARGEST_32_BITS:
            self._file.write(box(b"free") + struct.pack(">I4s", n_bytes - 8, b"mdat"))
        else:
            self._file.write(struct.pack(">I4sQ", 1, b"mdat", n_bytes))
        self._file.seek(0, os.SEEK_END)


def _times(n_units: int) -> tuple[int, str]:
    """Return the version of a table with this length, and how to pack its numbers."""
    return (0, "I") if n_units <= _LARGEST_32_BITS else (1, "Q")


def _movie_header(rate_hz: int, n_samples: int, next_number: int) -> bytes:
    version, number = _times(n_samples)
    return full_box(
        b"mvhd",
        struct.pack(f">{number}{number}I{number}", 0, 0, rate_hz, n_samples),
        struct.pack(">IH10x", 0x10000, 0x100),  # played at normal speed, loudness 1
        _UNITY_MATRIX,
        bytes(24),
        struct.pack(">I", next_number),
        version=version,
    )


def _track_box(track: Mp4Track, number: int) -> bytes:
    version, unit = _times(track.n_decoded)
    header = full_box(
        b"tkhd",
        struct.pack(f">{unit}{unit}I4x{unit}8x", 0, 0, number, track.n_samples),
        struct.pack(">HHHH", 0, 1, 0x100, 0),  # layer, group of alternatives, loudness 1
        _UNITY_MATRIX,
        bytes(8),
        version=version,
        flags=_IN_MOVIE | (_ENABLED if track.is_enabled else 0),
    )
    edit = full_box(
        b"elst",
        struct.pack(f">I{unit}{unit}HH", 1, track.n_samples, track.n_priming, 1, 0),
        version=version,
    )
    media = box(
        b"mdia",
        full_box(
            b"mdhd",
            struct.pack(f">{unit}{unit}I{unit}", 0, 0, track.sample_rate_hz, track.n_decoded),
            struct.pack(">HH", 0x55C4, 0),  # language undetermined
            version=version,
        ),
        full_box(b"hdlr", struct.pack(">I4s12x", 0, b"soun"), b"SoundHandler\0"),
        box(
            b"minf",
            full_box(b"smhd", bytes(4)),
            box(b"dinf", full_box(b"dref", struct.pack(">I", 1), full_box(b"url ", flags=1))),
            _sample_tables(track),
        ),
    )
    return box(b"trak", header, box(b"edts", edit), media)


def _sample_tables(track: Mp4Track) -> bytes:
    n_packets = len(track.sizes)
    n_last = track.n_decoded - (n_packets - 1) * track.frame_samples
    times = [(n_packets - 1, track.frame_samples), (1, n_last)]
    if n_last == track.frame_samples:
        times = [(n_packets, track.frame_samples)]
    times = [entry for entry in times if entry[0]]
    tables = [
        full_box(b"stsd", struct.pack(">I", 1), _sample_entry(track)),
        full_box(b"stts", _entries(">II", times)),
        full_box(b"stsc", _entries(">III", _chunk_runs(track.chunk_packets))),
        full_box(b"stsz", struct.pack(">II", 0, n_packets), _big_endian(track.sizes)),
        _chunk_offsets(track.chunk_starts),
    ]
    if track.codec == "aac":  # each frame needs the one before it
        tables += [
            full_box(b"sgpd", struct.pack(">4sIIh", b"roll", 2, 1, -1), version=1),
            full_box(b"sbgp", struct.pack(">4sIII", b"roll", 1, n_packets, 1)),
        ]
    return box(b"stbl", *tables)


def _chunk_runs(chunk_packets: array[int]) -> list[tuple[int, int, int]]:
    """Return from which chunk on there are how many packets in each."""
    runs: list[tuple[int, int, int]] = []
    for number, n_packets in enumerate(chunk_packets, start=1):
        if not runs or runs[-1][1] != n_packets:
            runs.append((number, n_packets, 1))
    return runs


def _chunk_offsets(starts: array[int]) -> bytes:
    if starts[-1] > _LARGEST_32_BITS:
        return full_box(b"co64", struct.pack(">I", len(starts)), _big_endian(starts))
    return full_box(b"stco", struct.pack(">I", len(starts)), _big_endian(array("I", starts)))


def _big_endian(numbers: array[int]) -> bytes:
    swapped = array(numbers.typecode, numbers)
    if struct.pack("=H", 1) == struct.pack("<H", 1):
        swapped.byteswap()
    return swapped.tobytes()


def _entries(format: str, entries: Sequence[tuple[int, ...]]) -> bytes:
    packed = b"".join(struct.pack(format, *entry) for entry in entries)
    return struct.pack(">I", len(entries)) + packed


def _sample_entry(track: Mp4Track) -> bytes:
    rate_hz = track.sample_rate_hz
    fields = struct.pack(
        ">6xH8xHHHHI",
        1,
        track.n_channels,
        track.n_bits,
        0,
        0,
        rate_hz << 16 if rate_hz < 0x10000 else 0,  # the decoder's own header has it as well
    )
    if track.codec == "alac":
        return box(b"alac", fields, track.extradata)  # which is a box already
    return box(b"mp4a", fields, _elementary_stream(track))


def _elementary_stream(track: Mp4Track) -> bytes:
    """Describe AAC the way of MPEG-4: descriptors of a tag, a length and their content."""
    bits_per_second = 1000 * track.bit_rate_kbps
    decoder = _descriptor(
        4,
        # Object type AAC, stream type audio, size of the buffer, highest and mean bit rate.
        struct.pack(">BBxHII", 0x40, 0x15, 6144, bits_per_second, bits_per_second),
        _descriptor(5, track.extradata),
    )
    return full_box(
        b"esds", _descriptor(3, struct.pack(">HB", 0, 0), decoder, _descriptor(6, b"\x02"))
    )


def _descriptor(tag: int, *contents: bytes) -> bytes:
    content = b"".join(contents)
    assert len(content) < 128, "longer ones need a length of several bytes"
    return bytes([tag, len(content)]) + content
