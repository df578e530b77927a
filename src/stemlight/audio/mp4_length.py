"""How many samples of an MP4's audio stream are music: its codec fills whole frames.

Three places may tell. The table of times (stts) gives the last frame its true length, if the
program that wrote it took the trouble. An edit list says which part of the stream is to be played;
it counts in units of the film, often of a thousandth of a second. Programs of Apple leave a note,
iTunSMPB, that is exact to the sample. FFmpeg takes all of them into account at the beginning, but
at the end only the first.
"""

from __future__ import annotations

import os
import re
import struct
from fractions import Fraction

from stemlight.audio.files import ReadableFile
from stemlight.audio.mp4_boxes import Box, boxes, find_box, read_box

__all__ = ["mp4_duration"]

_LONGEST_FRAME_SAMPLES = 4096  # of AAC 1024 or 2048, of ALAC 4096
_NOTE = re.compile(rb"iTunSMPB.{1,64}? 0{8} ([0-9A-F]{8}) ([0-9A-F]{8}) ([0-9A-F]{16})", re.DOTALL)


def mp4_duration(file: ReadableFile, stream: int) -> Fraction | None:
    """Return the length in seconds of the audio stream of that number, exactly.

    None: it is no MP4, is made of fragments, or its tables make no sense.
    """
    try:
        n_bytes = file.seek(0, os.SEEK_END)
        movie = find_box(file, Box(b"", 0, 0, n_bytes), b"moov")
        if movie is None or find_box(file, movie, b"mvex") is not None:
            return None
        tracks = [x for x in boxes(file, movie.content, movie.end) if x.name == b"trak"]
        tracks = [x for x in tracks if _handler(file, x) == b"soun"]
        if stream >= len(tracks):
            return None
        track = _Track(file, movie, tracks[stream])
        n_ticks = track.played_ticks(is_alone=len(tracks) == 1)
        return Fraction(n_ticks, track.ticks_per_second) if n_ticks > 0 else None
    except (struct.error, ZeroDivisionError, ValueError):
        return None


class _Track:
    """The tables of one audio stream; a tick is the unit of its own clock, mostly a sample."""

    def __init__(self, file: ReadableFile, movie: Box, track: Box) -> None:
        self._file = file
        self._movie = movie
        self._track = track
        header = self._table(track, b"mdia", b"mdhd")
        self.ticks_per_second: int = struct.unpack_from(">I", header, 20 if header[0] else 12)[0]
        self._n_ticks = self._sum_of_times()

    def played_ticks(self, *, is_alone: bool) -> int:
        """Return how many ticks are played, by the most exact of what is said."""
        noted = self._noted_ticks() if is_alone else None
        if noted is not None:
            return noted
        first_tick, edited_ticks, uncertain_ticks = self._edit()
        n_left = self._n_ticks - first_tick
        if edited_ticks is None or abs(n_left - edited_ticks) < uncertain_ticks:
            return n_left
        return min(n_left, round(edited_ticks))

    def _sum_of_times(self) -> int:
        table = self._table(self._track, b"mdia", b"minf", b"stbl", b"stts")
        (n_entries,) = struct.unpack_from(">I", table, 4)
        entries = struct.iter_unpack(">II", table[8 : 8 + 8 * n_entries])
        return sum(n_frames * n_ticks for n_frames, n_ticks in entries)

    def _edit(self) -> tuple[int, Fraction | None, Fraction]:
        """Return the first tick, how many are played (None: all) and how inexact that number is."""
        film = self._table(self._movie, b"mvhd")
        (units_per_second,) = struct.unpack_from(">I", film, 20 if film[0] else 12)
        found = find_box(self._file, self._track, b"edts", b"elst")
        if found is None:
            return 0, None, Fraction(0)
        table = read_box(self._file, found)
        (n_entries,) = struct.unpack_from(">I", table, 4)
        entry = ">QqI" if table[0] else ">IiI"
        n_bytes = struct.calcsize(entry)
        edits = list(struct.iter_unpack(entry, table[8 : 8 + n_bytes * min(n_entries, 16)]))
        played = [edit for edit in edits if edit[1] >= 0]  # the others are pauses
        if len(played) != 1:
            raise ValueError("a stream that was cut in several pieces")
        n_units, first_tick, _ = played[0]
        ticks_per_unit = Fraction(self.ticks_per_second, units_per_second)
        if not n_units:
            return first_tick, None, Fraction(0)
        return first_tick, n_units * ticks_per_unit, ticks_per_unit

    def _noted_ticks(self) -> int | None:
        """Return what Apple's note says, unless it is about another file, as copied tags are."""
        notes = find_box(self._file, self._movie, b"udta", b"meta", b"ilst")
        match = None if notes is None else _NOTE.search(read_box(self._file, notes))
        if match is None:
            return None
        n_before, n_after, n_samples = (int(number, 16) for number in match.groups())
        n_unexplained = abs(n_before + n_samples + n_after - self._n_ticks)
        is_of_this_file = n_unexplained <= _LONGEST_FRAME_SAMPLES and n_samples > 0
        return n_samples if is_of_this_file else None

    def _table(self, parent: Box, *names: bytes) -> bytes:
        found = find_box(self._file, parent, *names)
        if found is None:
            raise ValueError(f"no {names[-1]!r}")
        return read_box(self._file, found)


def _handler(file: ReadableFile, track: Box) -> bytes:
    found = find_box(file, track, b"mdia", b"hdlr")
    return b"" if found is None else read_box(file, found)[8:12]
