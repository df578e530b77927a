"""SDR near the onsets of the reference, and away from them.

Attacks last for milliseconds: a separator that smears them loses next to nothing in SDR over a
whole track. Onsets are peaks of spectral flux, the sum over all bins of the growth of compressed
magnitudes.

Source: Bello et al., "A Tutorial on Onset Detection in Music Signals" (IEEE TSAP 2005), Dixon,
"Onset Detection Revisited" (DAFx 2006): the detection; restricting SDR to its onsets is ours.
"""

from __future__ import annotations

import numpy as np

from stemlight.evaluation.scores import sdr_db
from stemlight.evaluation.signals import Samples, energy
from stemlight.evaluation.spectra import magnitudes
from stemlight.shapes import Bool, Int

__all__ = ["near_onsets", "onset_samples", "steady_sdr_db", "transient_sdr_db"]

_NEAR_SECONDS = 0.02
_HOP_SECONDS = 0.005
_N_FFT = 512
_COMPRESSION = 10.0  # of magnitudes, against those of white noise as loud as the track
_PEAK_FRAMES = 6  # an onset is the highest flux within 30 ms on both sides
_MEAN_FRAMES = 20  # and stands out against 100 ms on both sides
_STANDS_OUT = 0.1  # by this much, in natural logarithms, on average over all bins


def transient_sdr_db(reference: Samples, estimate: Samples, sample_rate_hz: int) -> float:
    """SDR within 20 ms of the reference's onsets; NaN where it has none."""
    near = near_onsets(reference, sample_rate_hz)
    return sdr_db(reference[:, near], estimate[:, near]) if near.any() else float("nan")


def steady_sdr_db(reference: Samples, estimate: Samples, sample_rate_hz: int) -> float:
    """SDR farther than 20 ms from all onsets; NaN where the reference is silent there."""
    away = ~near_onsets(reference, sample_rate_hz)
    wanted = reference[:, away]
    return sdr_db(wanted, estimate[:, away]) if np.any(wanted) else float("nan")


def near_onsets(reference: Samples, sample_rate_hz: int) -> Bool[np.ndarray, " samples"]:
    """Return which samples lie within 20 ms of an onset."""
    near = np.zeros(reference.shape[1], bool)
    reach_samples = round(_NEAR_SECONDS * sample_rate_hz)
    for onset in onset_samples(reference, sample_rate_hz):
        near[max(0, onset - reach_samples) : onset + reach_samples + 1] = True
    return near


def onset_samples(reference: Samples, sample_rate_hz: int) -> Int[np.ndarray, " onsets"]:
    """Return where notes and beats begin."""
    power = energy(reference) / reference.size
    if power == 0:
        return np.zeros(0, np.intp)
    hop_samples = max(1, round(_HOP_SECONDS * sample_rate_hz))
    scale = np.float32(_COMPRESSION / np.sqrt(power * _N_FFT))
    flux = np.mean([_flux(channel, hop_samples, scale) for channel in reference], axis=0)
    # Sound that is cut off at the end of the track is no onset.
    flux[max(1, (reference.shape[1] - _N_FFT // 2) // hop_samples + 1) :] = 0
    peak = _windowed(flux, _PEAK_FRAMES).max(axis=1)
    mean = _windowed(flux, _MEAN_FRAMES).mean(axis=1)
    onsets = np.flatnonzero((flux == peak) & (flux > mean + _STANDS_OUT)) * hop_samples
    return np.minimum(onsets, reference.shape[1] - 1)


def _flux(channel: np.ndarray, hop_samples: int, scale: np.float32) -> np.ndarray:
    """Return the mean growth of all bins from the frame before; the first frame grows from none."""
    parts, last = [], np.zeros((1, _N_FFT // 2 + 1), np.float32)
    for block in magnitudes(channel, _N_FFT, hop_samples):
        compressed = np.log1p(scale * block)
        growth = np.diff(compressed, axis=0, prepend=last)
        parts.append(np.maximum(growth, 0).mean(axis=1))
        last = compressed[-1:]
    return np.concatenate(parts)


def _windowed(values: np.ndarray, n_around: int) -> np.ndarray:
    padded = np.pad(values, n_around)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * n_around + 1)
