"""Resamples a signal that arrives in blocks, to an exact length and without lag.

Output sample k lies at the time k / to_hz of a signal whose sample n lies at n / from_hz: both
start together, and of the output there is as much as the input lasts, `output_samples`. soxr's
streaming gives the same bits for every division into blocks (a test pins it); what is added here is
the exact length, which soxr rounds down.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stemlight.errors import UsageError
from stemlight.shapes import Float32

__all__ = ["StreamResampler", "output_samples", "resample"]

_QUALITY = "VHQ"  # 30 % slower than HQ, at a thousandth of real time; the error falls by 20 dB


def output_samples(n_samples: int, from_hz: int, to_hz: int) -> int:
    """Return how many samples at `to_hz` cover `n_samples` at `from_hz`: the ratio, rounded up.

    Rounded up, so that nothing gets lost: there and back is never shorter than the original.
    """
    return -(-n_samples * to_hz // from_hz)


class StreamResampler:
    """Blocks of `n_channels` at `from_hz` in, blocks at `to_hz` out; equal rates pass through.

    Raises:
        UsageError: a rate or the number of channels is below 1.
    """

    def __init__(self, n_channels: int, from_hz: int, to_hz: int) -> None:
        if min(n_channels, from_hz, to_hz) < 1:
            raise UsageError(
                "resampling needs at least 1 channel and rates of at least 1 Hz, not "
                f"{n_channels} channels from {from_hz} Hz to {to_hz} Hz"
            )
        self._n_channels = n_channels
        self._from_hz = from_hz
        self._to_hz = to_hz
        self._n_in = 0
        self._n_out = 0
        self._flushed = False
        self._soxr: Any = None
        if from_hz != to_hz:
            import soxr  # here, because most songs never need it

            self._soxr = soxr.ResampleStream(
                from_hz, to_hz, n_channels, dtype="float32", quality=_QUALITY
            )

    def push(
        self, block: Float32[np.ndarray, "channels _"]
    ) -> Float32[np.ndarray, "channels samples"]:
        """Take the next samples and return those that are ready; equal rates return `block`.

        Raises:
            UsageError: the block has another number of channels, or the signal was flushed.
        """
        if self._flushed:
            raise UsageError("this resampler was flushed and takes no more; make a new one")
        if block.ndim != 2 or block.shape[0] != self._n_channels:
            raise UsageError(
                f"the block has the shape {block.shape} but this resampler was made for "
                f"{self._n_channels} channels: (channels, samples)"
            )
        self._n_in += block.shape[1]
        resampled = block if self._soxr is None else self._through_soxr(block, last=False)
        self._n_out += resampled.shape[1]
        return resampled

    def flush(self, n_samples: int | None = None) -> Float32[np.ndarray, "channels samples"]:
        """End the signal and return the rest, so that push and flush give `n_samples` in all.

        Without `n_samples` that is `output_samples` of what was pushed. On the way back from
        another rate, name the original length: the way there rounded up.

        Raises:
            UsageError: `n_samples` is more than the signal lasts, or less than was given already.
        """
        if self._flushed:
            raise UsageError("this resampler was flushed already; make a new one")
        n_covered = output_samples(self._n_in, self._from_hz, self._to_hz)
        n_total = n_covered if n_samples is None else n_samples
        if not self._n_out <= n_total <= n_covered:
            raise UsageError(
                f"n_samples must lie in {self._n_out}..{n_covered} (given already .. what "
                f"{self._n_in} samples at {self._from_hz} Hz last), not {n_total}"
            )
        self._flushed = True
        rest = np.empty((self._n_channels, 0), np.float32)
        if self._soxr is not None:
            # soxr rounds the length down; a little silence behind the end brings what is missing
            # as the filter's true tail instead of made-up zeros.
            n_silent = 2 * self._from_hz // self._to_hz + 2
            silence = np.zeros((self._n_channels, n_silent), np.float32)
            rest = self._through_soxr(silence, last=True)
        n_rest = n_total - self._n_out
        assert rest.shape[1] >= n_rest, f"soxr gave {rest.shape[1]} samples of {n_rest}"
        self._n_out = n_total
        return np.ascontiguousarray(rest[:, :n_rest])

    def _through_soxr(
        self, block: Float32[np.ndarray, "channels _"], *, last: bool
    ) -> Float32[np.ndarray, "channels samples"]:
        frames = self._soxr.resample_chunk(np.ascontiguousarray(block.T), last=last)
        return np.ascontiguousarray(frames.T)


def resample(
    samples: Float32[np.ndarray, "channels _"],
    from_hz: int,
    to_hz: int,
    *,
    n_samples: int | None = None,
) -> Float32[np.ndarray, "channels samples"]:
    """Resample a whole signal to `n_samples`, else `output_samples`; equal rates copy nothing.

    Raises:
        UsageError: a rate is below 1 Hz, or `n_samples` is more than the signal lasts.
    """
    resampler = StreamResampler(samples.shape[0], from_hz, to_hz)
    if from_hz == to_hz and n_samples in (None, samples.shape[1]):
        return samples
    # Whole, not in slices: for float32 in memory the copies inside soxr are the smaller cost.
    resampled = resampler.push(samples)
    n_total = output_samples(samples.shape[1], from_hz, to_hz) if n_samples is None else n_samples
    if 0 <= n_total < resampled.shape[1]:
        return resampled[:, :n_total]
    return np.concatenate([resampled, resampler.flush(n_samples)], axis=1)
