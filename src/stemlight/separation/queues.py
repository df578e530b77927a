"""Samples that wait: first in, first out, in memory that depends on how many wait at once."""

from __future__ import annotations

import numpy as np

from stemlight.shapes import Float32

__all__ = ["SampleQueue"]

_LEAST_SAMPLES = 4096  # room that a queue has from the beginning


class SampleQueue:
    """First in, first out, in one array that grows to twice of what ever waited at once."""

    def __init__(self, *leading: int) -> None:
        """Make an empty queue; `leading` are the lengths of all axes before the samples."""
        self._samples = np.empty((*leading, _LEAST_SAMPLES), np.float32)
        self._first = 0
        self._stop = 0

    def __len__(self) -> int:
        """How many samples wait."""
        return self._stop - self._first

    def push(self, block: Float32[np.ndarray, "*leading samples"]) -> None:
        """Put a copy of `block` at the end."""
        n_waiting, n_new = len(self), block.shape[-1]
        if self._stop + n_new > self._samples.shape[-1]:
            # Moving costs nothing in the long run: the array is at least half free afterwards.
            n_needed = 2 * (n_waiting + n_new)
            moved = self._samples
            if n_needed > moved.shape[-1]:
                moved = np.empty((*moved.shape[:-1], n_needed), np.float32)
            moved[..., :n_waiting] = self._samples[..., self._first : self._stop]
            self._samples, self._first, self._stop = moved, 0, n_waiting
        self._samples[..., self._stop : self._stop + n_new] = block
        self._stop += n_new

    def peek(self, n_samples: int) -> Float32[np.ndarray, "*leading samples"]:
        """Return a view of the next samples, valid until the next push; they stay."""
        assert n_samples <= len(self), f"{n_samples} samples asked, {len(self)} wait"
        return self._samples[..., self._first : self._first + n_samples]

    def pop(self, n_samples: int) -> Float32[np.ndarray, "*leading samples"]:
        """Take the next samples out: a view that the caller may change, valid until a push."""
        popped = self.peek(n_samples)
        self._first += n_samples
        return popped
