"""Levels of sound over time and frequency, and where an estimate is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stemlight.shapes import Float, Float32
from stemlight.stft import Stft

__all__ = [
    "HOP_SAMPLES",
    "N_FFT",
    "RANGE_DB",
    "ErrorProfile",
    "error_profile",
    "levels_db",
    "power_of",
]

N_FFT, HOP_SAMPLES = 4096, 1024

RANGE_DB = 80.0
"""Levels further below the loudest are drawn as silence."""

_FLOOR_DB = -120.0  # below full scale: what is not even rounding noise of 16 bits
_LOWEST_BIN = 4

Samples = Float32[np.ndarray, "channels samples"]


@dataclass(frozen=True, kw_only=True)
class ErrorProfile:
    """Levels of a reference and of the error of its estimate, in dB below full scale.

    Full scale is a mean square of one over all channels. Bands are half an octave wide, seconds
    are seconds, the last one perhaps shorter.
    """

    band_edges_hz: Float[np.ndarray, " edges"]
    reference_of_bands_db: Float[np.ndarray, " bands"]
    error_of_bands_db: Float[np.ndarray, " bands"]
    reference_of_seconds_db: Float[np.ndarray, " seconds"]
    error_of_seconds_db: Float[np.ndarray, " seconds"]


def levels_db(
    samples: Samples, *, loudest_power: float | None = None
) -> Float[np.ndarray, "frames bins"]:
    """Return the level of each frame and bin, all channels together, from -`RANGE_DB` up.

    0 dB is `loudest_power`, that of the loudest bin of what else is in the picture, or of these
    samples.
    """
    power = power_of(samples)
    loudest = power.max() if loudest_power is None else loudest_power
    if loudest <= 0:
        return np.full(power.shape, -RANGE_DB)
    return 10 * np.log10(np.maximum(power / loudest, 10 ** (-RANGE_DB / 10)))


def power_of(samples: Samples) -> Float[np.ndarray, "frames bins"]:
    """Return the power of each frame and bin, so scaled that a frame's bins sum to its mean square.

    That holds for sound that does not change within a frame; channels are averaged.
    """
    n_channels, n_samples = samples.shape
    n_padded = max(N_FFT, -(-n_samples // HOP_SAMPLES) * HOP_SAMPLES)
    padded = np.pad(samples, ((0, 0), (0, n_padded - n_samples)))
    planes = Stft(N_FFT, HOP_SAMPLES, packing="complex-major").forward(padded[None])
    energy = np.square(planes[0], dtype=np.float64).sum(axis=0) / n_channels
    window_energy = N_FFT * 3 / 8  # of a Hann window
    scale = np.full(energy.shape[1], 2 / (N_FFT * window_energy))
    scale[[0, -1]] /= 2  # which have no mirror image
    return energy * scale


def error_profile(reference: Samples, estimate: Samples, sample_rate_hz: int) -> ErrorProfile:
    """Return by how much the estimate differs from the reference, in bands and in seconds."""
    error = np.subtract(reference, estimate, dtype=np.float32)
    # From four bins up, half an octave has a bin at least.
    n_bands = round(2 * np.log2(N_FFT / 2 / _LOWEST_BIN))
    edges = _LOWEST_BIN * 2 ** (np.arange(n_bands + 1) / 2)
    numbers = np.searchsorted(edges, np.arange(N_FFT // 2 + 1), side="right") - 1
    numbers = np.clip(numbers, 0, n_bands - 1)
    edges[0] = 0  # the lowest band has all that is below it, too

    def of_bands(samples: Samples) -> np.ndarray:
        power = power_of(samples).mean(axis=0)
        return _db(np.bincount(numbers, weights=power, minlength=n_bands))

    def of_seconds(samples: Samples) -> np.ndarray:
        squares = np.square(samples, dtype=np.float64).mean(axis=0)
        starts = np.arange(0, len(squares), sample_rate_hz)
        counts = np.diff([*starts, len(squares)])
        return _db(np.add.reduceat(squares, starts) / counts)

    return ErrorProfile(
        band_edges_hz=edges * sample_rate_hz / N_FFT,
        reference_of_bands_db=of_bands(reference),
        error_of_bands_db=of_bands(error),
        reference_of_seconds_db=of_seconds(reference),
        error_of_seconds_db=of_seconds(error),
    )


def _db(power: Float[np.ndarray, " values"]) -> Float[np.ndarray, " values"]:
    return 10 * np.log10(np.maximum(power, 10 ** (_FLOOR_DB / 10)))
