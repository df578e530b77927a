"""The index of a folder of shards: which samples of which track lie where."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stemlight.audio.wording import reason, shown
from stemlight.configs import from_mapping, to_mapping
from stemlight.errors import ConfigError, InputError, OutputError
from stemlight.training.material import TrackFacts

__all__ = [
    "INDEX_FILE",
    "SampleFormat",
    "ShardIndex",
    "ShardOptions",
    "StoredStem",
    "StoredTrack",
    "read_index",
    "shard_path",
    "write_index",
]

INDEX_FILE = "index.json"
SampleFormat = Literal["int16", "float16"]

_FORMAT = 1
_BYTES_PER_FRAME = 4  # two channels of 16 bits


@dataclass(frozen=True, kw_only=True)
class ShardOptions:
    """How samples are stored."""

    sample_rate_hz: int = 44_100
    sample_format: SampleFormat = "int16"
    sources: tuple[str, ...] = ()
    """Those of a whole track. Where one is not known, the track's own mixture is stored, too."""
    max_shard_bytes: int = 2**30
    """A shard is longer only if one stem is."""


@dataclass(frozen=True, kw_only=True)
class StoredStem:
    """Where a stem lies: all samples of its left channel, then those of the right one."""

    n_samples: int
    shard: int | None = None  # None: it is silent, and nothing is stored
    first_byte: int = 0
    scale: float = 1.0  # what is stored, times this, are the samples

    def __post_init__(self) -> None:
        if min(self.n_samples, self.first_byte, self.shard or 0) < 0:
            raise ConfigError(
                f"a stem has {self.n_samples} samples from byte {self.first_byte} of shard "
                f"{self.shard} on, and none of these may be negative"
            )

    @property
    def n_bytes(self) -> int:
        """What it takes of its shard."""
        return 0 if self.shard is None else self.n_samples * _BYTES_PER_FRAME

    @property
    def end_byte(self) -> int:
        """Where the next stem begins."""
        return self.first_byte + self.n_bytes


@dataclass(frozen=True, kw_only=True)
class StoredTrack:
    """A finished track."""

    name: str
    key: str  # changes with its files and with all else that its samples depend on
    stems: dict[str, StoredStem]
    mixture: StoredStem | None
    facts: TrackFacts

    @property
    def parts(self) -> list[StoredStem]:
        """All that lies in shards."""
        own = [] if self.mixture is None else [self.mixture]
        return [part for part in (*self.stems.values(), *own) if part.shard is not None]


@dataclass(frozen=True, kw_only=True)
class ShardIndex:
    """What a folder holds; all stems of a track are equally long."""

    sample_rate_hz: int
    sample_format: SampleFormat
    is_complete: bool  # False: preparing has not come to its end
    tracks: tuple[StoredTrack, ...] = ()
    n_shards_begun: int = 0  # no number is used again: somebody may read what was dropped
    format: int = _FORMAT

    def __post_init__(self) -> None:
        if self.format != _FORMAT:
            raise ConfigError(f"format is {self.format}, but this stemlight reads {_FORMAT}")

    @property
    def end_of_shard(self) -> dict[int, int]:
        """How many bytes of each shard, by number, can be relied on."""
        ends: dict[int, int] = {}
        for part in (part for track in self.tracks for part in track.parts):
            assert part.shard is not None
            ends[part.shard] = max(ends.get(part.shard, 0), part.end_byte)
        return ends


def shard_path(folder: Path, number: int) -> Path:
    """Name the shard of that number."""
    return folder / f"shard-{number:05d}.bin"


def read_index(folder: Path) -> ShardIndex:
    """Read the index of a folder of shards.

    Raises:
        InputError: there is none, or it is damaged or of another version.
    """
    path = folder / INDEX_FILE
    try:
        return from_mapping(ShardIndex, json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(
            f"{shown(folder)} has no {INDEX_FILE}; make it with: stemlight data prepare"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {shown(path)}: {reason(error)}") from error
    except (ValueError, RecursionError, ConfigError) as error:
        raise InputError(
            f"{shown(path)} is no index of shards ({error}); remove the folder and prepare it anew"
        ) from error


def write_index(folder: Path, index: ShardIndex) -> None:
    """Write the index in one step, after all that it tells of is on the disk.

    Raises:
        OutputError: it cannot be written.
    """
    part = folder / f".{INDEX_FILE}.part"
    # Escaped, because names of tracks may hold bytes that are no text (lone surrogates).
    text = json.dumps(to_mapping(index), indent=1, allow_nan=False) + "\n"
    try:
        with part.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(folder / INDEX_FILE)
    except OSError as error:
        raise OutputError(f"cannot write {shown(folder / INDEX_FILE)}: {reason(error)}") from error
