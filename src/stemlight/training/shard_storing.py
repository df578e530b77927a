"""Puts the samples of tracks into shards, or into files of their own that shards take in later."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from stemlight.errors import InputError
from stemlight.shapes import Float32
from stemlight.tracks import MIXTURE, StemSource, mixture_and_sources
from stemlight.training.facts import measure_facts
from stemlight.training.shard_index import (
    ShardIndex,
    ShardOptions,
    StoredStem,
    StoredTrack,
    shard_path,
)

__all__ = ["Appender", "PartFile", "ShardAppender", "move_track", "store_track", "take_track"]

_LARGEST_INT16 = 2**15 - 1
_INAUDIBLE = 1e-20  # -400 dB: what never exceeds it is stored as silence
_ABSURD = 1e6  # 120 dB above full scale: sums and squares of such samples soon are no numbers


class Appender(Protocol):
    """What samples are put into."""

    def append(self, content: bytes) -> tuple[int, int]:
        """Write, and return shard and first byte."""


class PartFile:
    """Holds one track, from its first byte on, as if it were a shard of its own."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")
        self._end = 0

    def append(self, content: bytes) -> tuple[int, int]:
        """Write, and return 0 and the first byte."""
        first = self._end
        self._end += self._file.write(content)
        return 0, first

    def __enter__(self) -> PartFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


class ShardAppender:
    """Writes behind the end of the last shard, and begins another where it is full."""

    def __init__(self, folder: Path, index: ShardIndex, options: ShardOptions) -> None:
        self.folder = folder
        self.max_bytes = options.max_shard_bytes
        ends = index.end_of_shard
        self.number = max(ends, default=index.n_shards_begun)
        self.next_number = max(index.n_shards_begun, self.number + 1)
        self.end = ends.get(self.number, 0)
        self._file = self._opened(self.number)

    def begin_new(self) -> None:
        """Leave the rest of the last shard, if any, and begin another."""
        self.sync()
        file = self._opened(self.next_number)
        self._file.close()
        self._file = file
        self.number, self.next_number, self.end = self.next_number, self.next_number + 1, 0

    def append(self, content: bytes) -> tuple[int, int]:
        """Write, and return shard and first byte."""
        if self.end and self.end + len(content) > self.max_bytes:
            self.begin_new()
        first = self.end
        rest = memoryview(content)
        while rest:
            rest = rest[self._file.write(rest) :]
        self.end += len(content)
        return self.number, first

    def read(self, number: int, first: int, n_bytes: int) -> bytes:
        """Return what lies in a shard."""
        with shard_path(self.folder, number).open("rb") as file:
            file.seek(first)
            return file.read(n_bytes)

    def sync(self) -> None:
        """Wait until all is on the disk."""
        os.fsync(self._file.fileno())

    def __enter__(self) -> ShardAppender:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def _opened(self, number: int) -> io.FileIO:
        return shard_path(self.folder, number).open("ab", buffering=0)


def store_track(
    name: str,
    key: str,
    sources: Mapping[str, StemSource],
    options: ShardOptions,
    shards: Appender,
) -> StoredTrack:
    """Decode a track and append it; nothing is appended of one that cannot be read.

    Raises:
        InputError: a file cannot be read, or holds samples far beyond full scale.
        OSError: a shard cannot be written.
    """
    rate_hz = options.sample_rate_hz
    sounds = {}
    with np.errstate(over="ignore"):  # in sums of several files
        for part, source in sources.items():
            sounds[part] = source.read(rate_hz)
            if not _peak(sounds[part]) < _ABSURD:
                raise InputError(
                    f"{name}: {part} has samples of {_peak(sounds[part]):.3g} times full scale, "
                    f"and {_ABSURD:.0g} is allowed; export it anew"
                )
    own = sounds.pop(MIXTURE, None)
    mixture, stems = mixture_and_sources(sounds, own, [*sounds])
    return StoredTrack(
        name=name,
        key=key,
        stems={name: _append(stem, options, shards) for name, stem in stems.items()},
        mixture=None if own is None else _append(mixture, options, shards),
        facts=measure_facts(mixture, stems, rate_hz),
    )


def _append(
    samples: Float32[np.ndarray, "2 samples"], options: ShardOptions, shards: Appender
) -> StoredStem:
    """Store samples so that the loudest takes the whole range, which keeps quiet ones fine."""
    peak = _peak(samples)
    if peak < _INAUDIBLE:
        return StoredStem(n_samples=samples.shape[1])
    if options.sample_format == "int16":
        scale = np.float32(peak / _LARGEST_INT16)
        stored = np.rint(samples / scale).astype("<i2")
    else:  # by a power of two, which costs no precision; what is below 1 is never infinite
        scale = np.float32(2.0 ** math.frexp(peak)[1])
        stored = (samples / scale).astype("<f2")
    number, first_byte = shards.append(stored.tobytes())
    return StoredStem(
        n_samples=samples.shape[1], shard=number, first_byte=first_byte, scale=float(scale)
    )


def _peak(samples: Float32[np.ndarray, "2 samples"]) -> float:
    return max(float(samples.max(initial=0)), -float(samples.min(initial=0)))


def move_track(track: StoredTrack, numbers: set[int], shards: ShardAppender) -> StoredTrack:
    """Copy what lies in some shards to the end of the last one."""

    def moved(part: StoredStem) -> StoredStem:
        if part.shard is None or part.shard not in numbers:
            return part
        number, first_byte = shards.append(shards.read(part.shard, part.first_byte, part.n_bytes))
        return replace(part, shard=number, first_byte=first_byte)

    return _with_parts(track, moved)


def take_track(track: StoredTrack, path: Path, shards: ShardAppender) -> StoredTrack:
    """Append what lies in a `PartFile`: the very bytes that `store_track` would have appended."""
    with path.open("rb") as file:

        def taken(part: StoredStem) -> StoredStem:
            if part.shard is None:
                return part
            file.seek(part.first_byte)
            number, first_byte = shards.append(file.read(part.n_bytes))
            return replace(part, shard=number, first_byte=first_byte)

        return _with_parts(track, taken)


def _with_parts(track: StoredTrack, changed: Callable[[StoredStem], StoredStem]) -> StoredTrack:
    return replace(
        track,
        stems={name: changed(stem) for name, stem in track.stems.items()},
        mixture=None if track.mixture is None else changed(track.mixture),
    )
