"""Shares among the stems what they lack of the mixture, by their level in each time and band.

mixture - stems -> STFT -> each stem's share in that bin -> inverse STFT -> + stem

A share goes with the root of a stem's magnitude: what is missing belongs to soft stems more often
than their energy tells, and by energy stems would score 0.1 dB less (docs/experiments.md). For
that, rests become a little louder; a stem that is silent to the last bit gets nothing.

The window is a sine of which neighbours overlap by half: applied before and after, its squares add
up to one, so the shares of all stems together are what was missing, but for rounding.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from stemlight.separation.queues import SampleQueue
from stemlight.shapes import Complex, Float32

__all__ = ["ResidualSharing"]

_HOP_SAMPLES = 1024
_N_FFT = 2 * _HOP_SAMPLES
_FRAMES_AT_ONCE = 16  # always as many, so that how the signal was divided changes no bit
_STEP_SAMPLES = _FRAMES_AT_ONCE * _HOP_SAMPLES

_WINDOW = np.sin(np.pi * (np.arange(_N_FFT) + 0.5) / _N_FFT).astype(np.float32)

_Pieces = list[tuple[np.ndarray, np.ndarray]]


class ResidualSharing:
    """Blocks of stems and mixture in; the same, with stems that add up to it, later out.

    It holds less than 19 thousand samples of each.
    """

    def __init__(self, n_stems: int, n_channels: int) -> None:
        self._queue = SampleQueue(n_stems + 1, n_channels)  # the mixture is the last
        self._tail = np.zeros((n_stems, n_channels, _HOP_SAMPLES), np.float32)
        # One hop of silence before the signal, so that its first sample lies in two windows too.
        self._queue.push(np.zeros((n_stems + 1, n_channels, _HOP_SAMPLES), np.float32))
        self._n_to_drop = _HOP_SAMPLES
        self._n_waiting = 0

    def push(
        self,
        stems: Float32[np.ndarray, "stems channels samples"],
        mixture: Float32[np.ndarray, "channels samples"],
    ) -> _Pieces:
        """Take the same samples of all stems and of the mixture; return what is finished."""
        self._queue.push(np.concatenate([stems, mixture[np.newaxis]]))
        self._n_waiting += mixture.shape[1]
        pieces = []
        while len(self._queue) >= _STEP_SAMPLES + _HOP_SAMPLES:
            pieces.append(self._advance())
        return pieces

    def flush(self) -> _Pieces:
        """Return the rest: in all, as many samples as were pushed."""
        pieces = []
        while self._n_waiting:
            n_missing = max(0, _STEP_SAMPLES + _HOP_SAMPLES - len(self._queue))
            shape = (len(self._tail) + 1, self._tail.shape[1], n_missing)
            self._queue.push(np.zeros(shape, np.float32))
            pieces.append(self._advance())
        return pieces

    def _advance(self) -> tuple[np.ndarray, np.ndarray]:
        window = self._queue.peek(_STEP_SAMPLES + _HOP_SAMPLES)
        shares = self._shares(window[:-1], window[-1])
        finished = self._queue.pop(_STEP_SAMPLES)[..., self._n_to_drop :]
        finished = finished[..., : self._n_waiting]
        n_finished = finished.shape[-1]
        stems = finished[:-1] + shares[..., self._n_to_drop :][..., :n_finished]
        self._n_to_drop = 0
        self._n_waiting -= n_finished
        return stems, finished[-1].copy()

    def _shares(
        self,
        stems: Float32[np.ndarray, "stems channels step_and_hop"],
        mixture: Float32[np.ndarray, "channels step_and_hop"],
    ) -> Float32[np.ndarray, "stems channels step"]:
        """Return what each stem gets, complete but for the last hop, which waits as the tail."""
        with np.errstate(over="ignore", invalid="ignore"):
            residual = mixture.copy()
            for stem in stems:
                residual -= stem
            shared = _level_shares(_spectrogram(stems)) * _spectrogram(residual)
            frames = scipy.fft.irfft(shared, _N_FFT, axis=-1) * _WINDOW
        # What overflows belongs to samples near the largest float; rounding gives it to one stem.
        np.nan_to_num(frames, copy=False, nan=0.0, posinf=0.0, neginf=0.0)
        summed = frames[..., :_HOP_SAMPLES]
        summed[..., 1:, :] += frames[..., :-1, _HOP_SAMPLES:]
        summed[..., 0, :] += self._tail
        self._tail = frames[..., -1, _HOP_SAMPLES:].copy()
        return summed.reshape(*stems.shape[:2], _STEP_SAMPLES)


def _spectrogram(
    samples: Float32[np.ndarray, "*leading step_and_hop"],
) -> Complex[np.ndarray, "*leading frames bins"]:
    hops = samples.reshape(*samples.shape[:-1], _FRAMES_AT_ONCE + 1, _HOP_SAMPLES)
    frames = np.concatenate([hops[..., :-1, :], hops[..., 1:, :]], axis=-1)
    spectrogram: np.ndarray = scipy.fft.rfft(frames * _WINDOW, axis=-1)
    return spectrogram


def _level_shares(
    spectrograms: Complex[np.ndarray, "stems channels frames bins"],
) -> Float32[np.ndarray, "stems channels frames bins"]:
    """Return shares whose sum over the stems is one; equal ones where all are silent."""
    magnitudes = np.abs(spectrograms)
    loudest = magnitudes.max(axis=0)
    is_silent = ~((loudest > 0) & np.isfinite(loudest))
    # Relative to the loudest, so that the sum is never near the limits of float32.
    relative = magnitudes / np.where(is_silent, np.float32(1), loudest)
    weights = np.where(is_silent, np.float32(1), np.sqrt(relative))
    shares: np.ndarray = weights / weights.sum(axis=0)
    return shares
