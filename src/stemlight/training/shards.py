"""Tracks that were decoded once, in memory-mapped shards, so that an epoch costs no decoding.

A prepared folder holds `index.json` and shards: flat files of 16-bit samples, each with the stems
of many tracks. `prepare_tracks` makes it, `open_prepared` opens it.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemlight.audio.wording import reason, shown
from stemlight.errors import InputError
from stemlight.shapes import Float32
from stemlight.tracks import TrackFiles
from stemlight.training.material import SilentStem, StemSamples, TrainingTrack
from stemlight.training.shard_index import (
    INDEX_FILE,
    SampleFormat,
    ShardOptions,
    StoredStem,
    read_index,
    shard_path,
)
from stemlight.training.shard_writing import (
    Preparation,
    key_of_track,
    prepare_tracks,
)

__all__ = [
    "Preparation",
    "SampleFormat",
    "Shard",
    "ShardOptions",
    "ShardStem",
    "decode_tracks",
    "is_prepared",
    "open_prepared",
    "prepare_tracks",
]


class Shard:
    """A file of stems, mapped into memory when the first of them is read, in each process anew."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mapped: mmap.mmap | None = None

    def values(self, kind: SampleFormat, first_byte: int, n_values: int) -> np.ndarray:
        """Return a view of what is stored.

        Raises:
            InputError: the file is not there any more.
        """
        if self._mapped is None:
            try:
                with self.path.open("rb") as file:
                    self._mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:  # ValueError: it is empty now
                raise InputError(f"cannot read {shown(self.path)}: {reason(error)}") from error
        dtype = np.dtype(kind).newbyteorder("<")
        return np.frombuffer(self._mapped, dtype, count=n_values, offset=first_byte)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_mapped": None}


@dataclass(frozen=True, kw_only=True)
class ShardStem:
    """A stem in a shard. It can be pickled, and read in any process or thread."""

    shard: Shard
    sample_format: SampleFormat
    first_byte: int
    n_samples: int
    scale: float

    def read(self, first: int, n_samples: int) -> Float32[np.ndarray, "2 samples"]:
        """See `StemSamples`; nothing but the asked range is touched."""
        assert 0 <= first <= first + n_samples <= self.n_samples  # the next stem lies beyond
        samples = np.empty((2, n_samples), np.float32)
        for channel in range(2):
            at = self.first_byte + 2 * (channel * self.n_samples + first)
            stored = self.shard.values(self.sample_format, at, n_samples)
            np.multiply(stored, np.float32(self.scale), out=samples[channel], dtype=np.float32)
        return samples


def is_prepared(folder: Path) -> bool:
    """Tell whether a folder was made by `prepare_tracks`, rather than holding sound files."""
    return (folder / INDEX_FILE).is_file()


def open_prepared(folder: Path, *, sample_rate_hz: int | None = None) -> list[TrainingTrack]:
    """Open the tracks of a prepared folder, without reading samples.

    Raises:
        InputError: it has no index, or a damaged one; preparing was not finished; a shard is not
            whole; or its sample rate is not `sample_rate_hz`.
    """
    index = read_index(folder)
    if not index.is_complete:
        raise InputError(
            f"{shown(folder)} is not finished; run the same `stemlight data prepare` again, which "
            "goes on where it ended"
        )
    if sample_rate_hz not in (None, index.sample_rate_hz):
        raise InputError(
            f"{shown(folder)} holds samples at {index.sample_rate_hz} Hz, not at {sample_rate_hz}; "
            f"prepare another with --sample-rate {sample_rate_hz}"
        )
    shards = {}
    for number, n_bytes in index.end_of_shard.items():
        path = shard_path(folder, number)
        if not path.is_file() or path.stat().st_size < n_bytes:
            raise InputError(
                f"{shown(path)} is not there, or shorter than the index says; prepare "
                f"{shown(folder)} again, which does what is missing"
            )
        shards[number] = Shard(path)

    def opened(stored: StoredStem) -> StemSamples:
        if stored.shard is None:
            return SilentStem(stored.n_samples)
        return ShardStem(
            shard=shards[stored.shard],
            sample_format=index.sample_format,
            first_byte=stored.first_byte,
            n_samples=stored.n_samples,
            scale=stored.scale,
        )

    return [
        TrainingTrack(
            name=track.name,
            stems={name: opened(stem) for name, stem in track.stems.items()},
            mixture=None if track.mixture is None else opened(track.mixture),
            facts=track.facts,
        )
        for track in index.tracks
    ]


def decode_tracks(
    tracks: Sequence[TrackFiles],
    cache: Path,
    *,
    sample_rate_hz: int,
    sources: Iterable[str] = (),
    report: Callable[[str], None] = lambda name: None,
) -> list[TrainingTrack]:
    """Open tracks out of `cache`, where each has a prepared folder; make what is not there yet.

    `sources` are those of a whole track: where one is not known, the mixture is kept, too.
    `report` is called with the name of each track that has to be decoded.

    Raises:
        InputError: a track cannot be read.
        OutputError: the cache cannot be written.
    """
    options = ShardOptions(sample_rate_hz=sample_rate_hz, sources=tuple(sources))
    decoded = []
    for track in tracks:
        folder = cache / key_of_track(track, options)
        prepare_tracks([track], folder, options, on_track=lambda name, *_: report(name))
        decoded += open_prepared(folder)
    return decoded
