"""Distances of magnitudes, which do not hear phase, over three resolutions.

Source: Yamamoto, Song, Kim, "Parallel WaveGAN" (ICASSP 2020) has both terms, as losses.
Differs: the logarithmic one is in decibels and has a floor, because the logarithm of next to
nothing would rule it; resolutions are those of music at 44.1 kHz.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft

from stemlight.evaluation.signals import Samples, energy
from stemlight.shapes import Float

__all__ = ["log_spectral_distance_db", "magnitudes", "spectral_convergence"]

_N_FFTS = (1024, 2048, 4096)
_FLOOR_DB = -80.0  # of a bin, against white noise as loud as the reference
_FRAMES_AT_ONCE = 512


def spectral_convergence(reference: Samples, estimate: Samples) -> float:
    """Error of magnitudes over magnitudes of the reference, 0 at best; 1 for silence as estimate.

    NaN for a silent reference.
    """
    if not np.any(reference):
        return float("nan")
    ratios = []
    for n_fft in _N_FFTS:
        error, total = 0.0, 0.0
        for wanted, found in _pairs(reference, estimate, n_fft):
            error += energy(found - wanted)
            total += energy(wanted)
        ratios.append(np.sqrt(error / total))
    return float(np.mean(ratios))


def log_spectral_distance_db(reference: Samples, estimate: Samples) -> float:
    """Mean difference of the levels of all bins, whatever its sign; NaN for a silent reference.

    Bins that are 80 dB below white noise of the reference's level count as that.
    """
    power = energy(reference) / reference.size
    if power == 0:
        return float("nan")
    means_db = []
    for n_fft in _N_FFTS:
        floor = np.float32(10 ** (_FLOOR_DB / 20) * np.sqrt(power * _window_energy(n_fft)))
        total_db, n_bins = 0.0, 0
        for wanted, found in _pairs(reference, estimate, n_fft):
            ratio = np.maximum(found, floor) / np.maximum(wanted, floor)
            total_db += float(np.abs(20 * np.log10(ratio)).sum(dtype=np.float64))
            n_bins += ratio.size
        means_db.append(total_db / n_bins)
    return float(np.mean(means_db))


def magnitudes(
    channel: Float[np.ndarray, " samples"], n_fft: int, hop_samples: int
) -> Iterator[Float[np.ndarray, "frames bins"]]:
    """Yield magnitudes of Hann windows in float32, some hundred frames at a time.

    The channel is padded with silence by half a window on both sides and to a whole window.
    """
    n_frames = 1 + -(-len(channel) // hop_samples)
    missing = (n_frames - 1) * hop_samples + n_fft - n_fft // 2 - len(channel)
    padded = np.pad(channel.astype(np.float32, copy=False), (n_fft // 2, max(0, missing)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_samples]
    window = _window(n_fft)
    for first in range(0, n_frames, _FRAMES_AT_ONCE):
        block = frames[first : min(n_frames, first + _FRAMES_AT_ONCE)]
        yield np.abs(scipy.fft.rfft(block * window, axis=1))


def _pairs(
    reference: Samples, estimate: Samples, n_fft: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for wanted, found in zip(reference, estimate, strict=True):
        yield from zip(
            magnitudes(wanted, n_fft, n_fft // 2),
            magnitudes(found, n_fft, n_fft // 2),
            strict=True,
        )


def _window(n_fft: int) -> np.ndarray:
    phase = 2 * np.pi * np.arange(n_fft) / n_fft
    return (0.5 - 0.5 * np.cos(phase)).astype(np.float32)


def _window_energy(n_fft: int) -> float:
    return 0.375 * n_fft
