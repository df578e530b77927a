"""Measures a track in one pass over its files, second by second, all files side by side."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from stemlight.audio import AudioReader, open_audio
from stemlight.errors import InputError
from stemlight.shapes import Float32
from stemlight.tracks.files import MIXTURE, SoundFile, StemSource, TrackFiles

__all__ = ["StemMeasures", "TrackMeasures", "measure_track"]

_SILENT = 1e-3  # of full scale, -60 dB: what stays below for a second is silent
_FULL_SCALE = 1 - 2**-15  # the greatest sample that 16 bits can hold
_CLIPPED_RUN = 3  # samples; single ones at full scale are what a well set limiter leaves
_LOSSLESS = ("pcm", "flac", "alac", "float", "double")  # how the codecs' names begin


@dataclass(frozen=True, kw_only=True)
class StemMeasures:
    """What one stem, or the mixture, is like: the sum of its files where it has several."""

    n_samples: int
    duration_seconds: float
    """Of the longest of its files."""
    sample_rates_hz: tuple[int, ...]
    """Those of its files, each once; empty if none could be opened."""
    silent_share: float
    """Share of its seconds that never reach -60 dB of full scale."""
    n_clipped: int
    """Runs of three or more samples at or beyond full scale, over channels and files."""
    is_lossless: bool
    digest: str
    """SHA-256 of its samples as stereo and of its rate; equal for equal sound alone."""
    faults: tuple[str, ...]
    """Why files could not be read to their end, one line each."""
    is_known_silent: bool
    """Whether there are no files, because there is nothing to hear."""

    @property
    def is_silent(self) -> bool:
        """Whether its files hold nothing but silence."""
        return self.silent_share == 1


@dataclass(frozen=True, kw_only=True)
class TrackMeasures:
    """What a track is like; the mixture is there if the track has one of its own."""

    name: str
    stems: dict[str, StemMeasures]
    mixture: StemMeasures | None
    sum_db: float | None
    """Energy of the mixture over that of what the stems lack of it; infinite if they lack nothing.
    None: there is no mixture, it is silent, or not all could be read at one rate."""

    @property
    def parts(self) -> dict[str, StemMeasures]:
        """The stems and, under its name, the mixture."""
        return self.stems | ({} if self.mixture is None else {MIXTURE: self.mixture})

    @property
    def duration_seconds(self) -> float:
        """Length of the longest stem or mixture."""
        return max(part.duration_seconds for part in self.parts.values())

    @property
    def sample_rates_hz(self) -> tuple[int, ...]:
        """All rates of its files, from the lowest up."""
        rates = {rate for part in self.parts.values() for rate in part.sample_rates_hz}
        return tuple(sorted(rates))

    @property
    def faults(self) -> tuple[str, ...]:
        """Why files could not be read; a file of several streams fails once."""
        faults = [fault for part in self.parts.values() for fault in part.faults]
        return tuple(dict.fromkeys(faults))


def measure_track(track: TrackFiles) -> TrackMeasures:
    """Read all of a track once; files that cannot be read become `faults`, the others go on.

    At any time a second of each file is in memory.
    """
    mixture_energy = missing_energy = 0.0
    # Sums of float samples may go beyond float32; then there are no energies to compare.
    with contextlib.ExitStack() as readers, np.errstate(over="ignore", invalid="ignore"):
        stems = {name: _Stem.opened(source, readers) for name, source in track.stems.items()}
        mixture = None if track.mixture is None else _Stem.opened(track.mixture, readers)
        everything = [*stems.values(), *([] if mixture is None else [mixture])]
        while any(not stem.has_ended for stem in everything):
            seconds = [stem.next_second() for stem in stems.values()]
            if mixture is not None:
                second = mixture.next_second()
                mixture_energy += _energy(second)
                missing_energy += _energy(_sum([second, *(-part for part in seconds)]))
    result = TrackMeasures(
        name=track.name,
        stems={name: stem.result() for name, stem in stems.items()},
        mixture=None if mixture is None else mixture.result(),
        sum_db=_ratio_db(mixture_energy, missing_energy),
    )
    is_comparable = not result.faults and len(result.sample_rates_hz) == 1
    return result if is_comparable else dataclasses.replace(result, sum_db=None)


@dataclass
class _Stem:
    """A stem on the way through its files."""

    files: list[_File]
    n_samples: int = 0
    n_silent: int = 0
    hash: hashlib._Hash = field(default_factory=hashlib.sha256)

    @classmethod
    def opened(cls, source: StemSource, readers: contextlib.ExitStack) -> _Stem:
        return cls([_File(file, readers) for file in source.files])

    @property
    def has_ended(self) -> bool:
        return all(file.has_ended for file in self.files)

    def next_second(self) -> Float32[np.ndarray, "2 samples"]:
        second = _sum([file.next_second() for file in self.files])
        self.n_samples += second.shape[1]
        if not (np.abs(second) >= _SILENT).any():
            self.n_silent += second.shape[1]
        # Sample by sample, so that it does not matter how long a second is; 0.0 and not -0.0.
        self.hash.update(np.ascontiguousarray(second.T + np.float32(0)).tobytes())
        return second

    def result(self) -> StemMeasures:
        rates = tuple(dict.fromkeys(file.rate_hz for file in self.files if file.rate_hz))
        self.hash.update(repr(rates).encode())
        return StemMeasures(
            n_samples=self.n_samples,
            duration_seconds=max((file.duration_seconds for file in self.files), default=0.0),
            sample_rates_hz=rates,
            silent_share=self.n_silent / self.n_samples if self.n_samples else 0.0,
            n_clipped=sum(file.n_clipped for file in self.files),
            is_lossless=all(file.is_lossless for file in self.files),
            digest=self.hash.hexdigest(),
            faults=tuple(file.fault for file in self.files if file.fault),
            is_known_silent=not self.files,
        )


class _File:
    """A file that is read second by second; a fault ends it."""

    def __init__(self, file: SoundFile, readers: contextlib.ExitStack) -> None:
        self.has_ended = False
        self.fault = ""
        self.rate_hz = 0  # 0: it could not be opened
        self.duration_seconds = 0.0
        self.is_lossless = False
        self.n_clipped = 0
        self._blocks: Iterator[Float32[np.ndarray, "channels samples"]] = iter(())
        self._at_full_scale = np.zeros((1, _CLIPPED_RUN), bool)  # of the latest samples
        try:
            reader = readers.enter_context(open_audio(file.path, stream=file.stream))
            self._start(reader)
        except InputError as error:
            self._fail(error)

    def next_second(self) -> Float32[np.ndarray, "2 samples"]:
        """Return the next second as stereo; nothing behind the end or a fault."""
        try:
            block = next(self._blocks, None)
        except InputError as error:
            block = None
            self._fail(error)
        if block is None:
            self.has_ended = True
            return np.zeros((2, 0), np.float32)
        self.duration_seconds += block.shape[1] / self.rate_hz
        self._count_clipped(block)
        return block if block.shape[0] == 2 else np.repeat(block, 2, axis=0)

    def _start(self, reader: AudioReader) -> None:
        info = reader.info
        if info.n_channels > 2:
            raise InputError(
                f"{info.path} has {info.n_channels} channels; stems must be mono or stereo"
            )
        self.rate_hz = info.sample_rate_hz
        self.is_lossless = info.codec.startswith(_LOSSLESS)
        self._at_full_scale = np.zeros((info.n_channels, _CLIPPED_RUN), bool)
        self._blocks = reader.blocks(info.sample_rate_hz)

    def _fail(self, error: InputError) -> None:
        self.fault = str(error)
        self.has_ended = True
        self._blocks = iter(())

    def _count_clipped(self, block: Float32[np.ndarray, "channels samples"]) -> None:
        """Count where a run of three begins, across the border of blocks."""
        full = np.concatenate([self._at_full_scale, np.abs(block) >= _FULL_SCALE], axis=1)
        self._at_full_scale = full[:, -_CLIPPED_RUN:]
        in_run = full[:, :-2] & full[:, 1:-1] & full[:, 2:]
        self.n_clipped += int(np.count_nonzero(in_run[:, 1:] & ~in_run[:, :-1]))


def _sum(
    blocks: Sequence[Float32[np.ndarray, "2 _"]],
) -> Float32[np.ndarray, "2 samples"]:
    """Add up blocks that begin together; where one has ended, the others go on."""
    if len(blocks) == 1:
        return blocks[0]
    total = np.zeros((2, max((block.shape[1] for block in blocks), default=0)), np.float32)
    for block in blocks:
        total[:, : block.shape[1]] += block
    return total


def _energy(samples: Float32[np.ndarray, "2 samples"]) -> float:
    return float(np.square(samples, dtype=np.float64).sum())


def _ratio_db(energy: float, other: float) -> float | None:
    if not (0 < energy < math.inf and other < math.inf):  # NaN is neither
        return None
    return 10 * math.log10(energy / other) if other else math.inf
