"""Audits written stems against their song: length, lag, gain, seams, sum, clipping.

Everything is measured on the files, read again block by block. Length, lag and an exact sum are
promises, and breaking one is a problem. Gain, error of the sum and seams belong to the model (what
it gives to no stem is missing in the sum) and are told as numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft

from stemlight.audio import AudioReader, open_audio, output_samples
from stemlight.audio.files import ReadableFile
from stemlight.audio.pcm import to_pcm
from stemlight.separation.progress import Progress, expected_samples, reporter
from stemlight.separation.songs import SongReport
from stemlight.shapes import Float32

__all__ = ["SongCheck", "check_song"]

_BLOCK_SAMPLES = 65536
_LEAST_CORRELATION = 0.5  # below, the sum is no image of the song, and its lag means nothing
_INAUDIBLE_DB = -100.0  # errors below it are rounding, which has no seams
_BEFORE_SEAM_SECONDS, _AFTER_SEAM_SECONDS = 0.01, 0.04


@dataclass(frozen=True, kw_only=True)
class SongCheck:
    """What an audit of a song's stems found.

    Those that are None could not be measured: of some stems alone, of silence, or where nothing
    was promised.
    """

    n_samples: int
    """Of the song."""
    n_samples_off: dict[str, int]
    """Of each stem: how much longer it is than the song, at the stem's sample rate."""
    lag_samples: int | None
    """How much later the sum of the stems is, by cross-correlation."""
    gain_db: float | None
    """Of the sum of the stems over the song, by regression; a guard gain is part of it."""
    sum_error_db: float | None
    """Energy of the sum less the song (times the guard gain) over that; -inf is no error at all."""
    seams_db: float | None
    """That error's power around the borders of windows, over its mean power."""
    n_off_sum: int | None
    """Samples where an exact sum was promised and is not there."""
    n_clipped: int
    problems: tuple[str, ...]
    """Each promise that was broken, in words; empty if all is well."""

    @property
    def line(self) -> str:
        """All in one line."""
        lengths = set(self.n_samples_off.values())
        parts = ["length " + ("exact" if lengths == {0} else "wrong")]
        if self.lag_samples is not None:
            parts.append(f"lag {self.lag_samples}")
        for name, value in (
            ("gain", self.gain_db),
            ("sum error", self.sum_error_db),
            ("seams", self.seams_db),
        ):
            if value is not None:
                parts.append(f"{name} {value:.2f} dB" if math.isfinite(value) else f"no {name}")
        if self.n_off_sum is not None:
            but = f" but for {self.n_off_sum} samples" if self.n_off_sum else ""
            parts.append(f"sum exact{but}")
        parts.append(f"{self.n_clipped} clipped")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON, which has no infinity: an error of zero is null."""
        plain = dataclasses.asdict(self) | {"problems": list(self.problems)}
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in plain.items()
        }


def check_song(
    song: Path | ReadableFile,
    report: SongReport,
    *,
    hop_seconds: float | None = None,
    on_progress: Progress | None = None,
) -> SongCheck:
    """Audit the stems that `report` tells of against their song.

    `hop_seconds` is the distance between the borders of windows, of a separator
    `maker.hop_samples / maker.sample_rate_hz`; without it seams are not looked at.

    Raises:
        InputError: the song or a stem cannot be read.
        CancelledError: `on_progress` returned False.
    """
    with contextlib.ExitStack() as files:
        mixture = files.enter_context(open_audio(song))
        stems = {
            name: files.enter_context(open_audio(stem.path, stream=stem.stream))
            for name, stem in report.stems.items()
        }
        audit = _Audit(report, hop_seconds, stem_rate_hz=_rate_of(stems))
        tell = reporter(mixture.info.path, on_progress, expected_samples(mixture.info))
        for blocks in _in_step(mixture, *stems.values()):
            audit.take(blocks, tell)
        return audit.result()


def _rate_of(stems: dict[str, AudioReader]) -> int:
    """Return the stems' sample rate, which Opus may have had to change."""
    return next(iter(stems.values())).info.sample_rate_hz


def _in_step(*readers: AudioReader) -> Iterator[list[Float32[np.ndarray, "channels _"]]]:
    """Yield the same piece of time of all; where one has ended, an empty block."""
    streams = [reader.blocks(_BLOCK_SAMPLES) for reader in readers]
    n_channels = readers[0].info.n_channels
    nothing = np.empty((n_channels, 0), np.float32)
    for blocks in itertools.zip_longest(*streams, fillvalue=nothing):
        yield list(blocks)


@dataclass
class _Audit:
    """Sums over the blocks so far."""

    report: SongReport
    hop_seconds: float | None
    stem_rate_hz: int
    lengths: list[int] = field(default_factory=list)
    energy: float = 0.0
    sum_energy: float = 0.0
    product: float = 0.0
    error: float = 0.0
    seam_error: float = 0.0
    n_seam_samples: int = 0
    n_off_sum: int = 0

    def __post_init__(self) -> None:
        self.lengths = [0] * (1 + len(self.report.stems))
        self.gain = np.float32(10 ** (self.report.gain_db / 20))
        self.cross = np.zeros(_BLOCK_SAMPLES + 1, np.complex128)

    def take(
        self, blocks: list[Float32[np.ndarray, "channels _"]], on_progress: Callable[[int], None]
    ) -> None:
        first = self.lengths[0]
        for index, block in enumerate(blocks):
            self.lengths[index] += block.shape[1]
        on_progress(self.lengths[0])
        mixture, *stems = blocks
        is_same_rate = self.stem_rate_hz == self.report.sample_rate_hz
        is_same_shape = all(stem.shape == mixture.shape for stem in stems)
        if not (self.report.is_whole and is_same_rate and is_same_shape):
            return
        total = np.zeros(mixture.shape)
        for stem in stems:
            total += stem
        expected = mixture * self.gain
        self._compare(mixture.astype(np.float64), total, total - expected, first)
        if self.report.exact_sum is not None:
            self.n_off_sum += self._count_off(total, expected)

    def _compare(
        self, mixture: np.ndarray, total: np.ndarray, error: np.ndarray, first: int
    ) -> None:
        self.energy += float(np.square(mixture).sum())
        self.sum_energy += float(np.square(total).sum())
        self.product += float((mixture * total).sum())
        power = np.square(error).sum(axis=0)
        self.error += float(power.sum())
        near = self._near_borders(first, mixture.shape[1])
        self.seam_error += float(power[near].sum())
        self.n_seam_samples += int(np.count_nonzero(near))
        padded = 2 * _BLOCK_SAMPLES
        spectra = [scipy.fft.rfft(samples, padded, axis=-1) for samples in (mixture, total)]
        self.cross += (spectra[0].conj() * spectra[1]).sum(axis=0)

    def _near_borders(self, first: int, n_samples: int) -> np.ndarray:
        if self.hop_seconds is None:
            return np.zeros(n_samples, bool)
        hop = self.hop_seconds * self.report.sample_rate_hz
        rate_hz = self.report.sample_rate_hz
        before = min(_BEFORE_SEAM_SECONDS * rate_hz, hop / 16)
        after = min(_AFTER_SEAM_SECONDS * rate_hz, hop / 4)
        position = np.arange(first, first + n_samples) + before
        return (position >= hop) & (position % hop < before + after)

    def _count_off(self, total: np.ndarray, expected: Float32[np.ndarray, "channels _"]) -> int:
        if self.report.bit_depth == "float":
            return int(np.count_nonzero(total.astype(np.float32) != expected))
        assert self.report.bit_depth is not None, "lossy formats have no exact sum"
        n_bits = int(self.report.bit_depth)
        steps = to_pcm(expected, n_bits)
        return int(np.count_nonzero(total * 2.0 ** (n_bits - 1) != steps))

    def result(self) -> SongCheck:
        names = list(self.report.stems)
        n_expected = output_samples(self.lengths[0], self.report.sample_rate_hz, self.stem_rate_hz)
        off = {
            name: length - n_expected for name, length in zip(names, self.lengths[1:], strict=True)
        }
        is_measured = self.energy > 0 and self.sum_energy > 0
        promises_sum = self.report.exact_sum is not None
        check = SongCheck(
            n_samples=self.lengths[0],
            n_samples_off=off,
            lag_samples=self._lag() if is_measured else None,
            gain_db=_decibels(abs(self.product), self.energy, 20) if is_measured else None,
            sum_error_db=_decibels(self.error, self._expected_energy(), 10)
            if is_measured
            else None,
            seams_db=self._seams(),
            n_off_sum=self.n_off_sum if promises_sum else None,
            n_clipped=sum(stem.n_clipped for stem in self.report.stems.values()),
            problems=(),
        )
        return dataclasses.replace(check, problems=tuple(self._problems(check)))

    def _expected_energy(self) -> float:
        return self.energy * float(self.gain) ** 2

    def _lag(self) -> int | None:
        correlation = scipy.fft.irfft(self.cross)
        peak = int(correlation.argmax())
        if correlation[peak] < _LEAST_CORRELATION * math.sqrt(self.energy * self.sum_energy):
            return None
        return peak if peak < _BLOCK_SAMPLES else peak - 2 * _BLOCK_SAMPLES

    def _seams(self) -> float | None:
        expected = self._expected_energy()
        if not (expected and self.n_seam_samples and self.seam_error):
            return None
        if _decibels(self.error, expected, 10) < _INAUDIBLE_DB:
            return None
        mean = self.error / self.lengths[0]
        return _decibels(self.seam_error / self.n_seam_samples, mean, 10)

    def _problems(self, check: SongCheck) -> Iterator[str]:
        for name, n_off in check.n_samples_off.items():
            if n_off:
                more = "longer" if n_off > 0 else "shorter"
                yield f"{name} is {abs(n_off)} samples {more} than the song"
        if check.lag_samples:
            later = "later" if check.lag_samples > 0 else "earlier"
            yield f"the stems are {abs(check.lag_samples)} samples {later} than the song"
        n_allowed = self.report.n_inexact
        if check.n_off_sum is not None and check.n_off_sum > n_allowed:
            yield (
                f"{check.n_off_sum} samples of the stems do not add up to the song"
                + (f", {n_allowed} of which cannot" if n_allowed else "")
            )


def _decibels(power: float, reference: float, factor: int) -> float:
    return factor * math.log10(power / reference) if power else -math.inf
