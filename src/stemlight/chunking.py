"""Cuts a signal of any length into windows of equal length and joins processed windows again.

    window k      |<- trim ->|<----------- kept ----------->|<- trim ->|
    window k + 1                            |<- trim ->|<----------- kept ---...
    kept of k                |<------- hop ------->|<- overlap ->|
    kept of k + 1                                  |<- overlap ->|<-- ...

A network sees a whole window but only its kept region is used: `trim_samples` at each end are
context alone, because there a network knows too little of what comes before or after. The first
kept region starts with the signal's first sample; context outside of the signal is zeros.
Neighbouring kept regions share `overlap_samples`, over which the earlier fades into the later.

Cutting and joining stream: memory is one window and one overlap, whatever the signal's length,
and how the signal was divided into pushes changes no bit of the result.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from stemlight.errors import ConfigError, UsageError
from stemlight.shapes import Float32

__all__ = ["ChunkCutter", "ChunkPlan", "OverlapAdder", "fade_in_weights"]


@dataclass(frozen=True, kw_only=True)
class ChunkPlan:
    """How a signal is cut into windows; all lengths are samples at the network's rate.

    `overlap_samples` is at most half of the kept region, so that no sample ever belongs to more
    than two windows and two weights always share each sample.

    Raises:
        ConfigError: a length is no integer or does not fit into the others.
    """

    chunk_samples: int
    """Length of a window: what the network is given."""
    trim_samples: int = 0
    """Context at each end of a window that is thrown away; below half a window."""
    overlap_samples: int = 0
    """What neighbouring kept regions share and cross-fade over; at most half of one."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or isinstance(value, bool):
                raise ConfigError(f"{field.name} must be a whole number of samples, not {value!r}")
        if self.chunk_samples < 1:
            raise ConfigError(f"chunk_samples must be at least 1, not {self.chunk_samples}")
        most_trim = (self.chunk_samples - 1) // 2
        if not 0 <= self.trim_samples <= most_trim:
            raise ConfigError(
                f"trim_samples must lie in 0..{most_trim} for chunk_samples {self.chunk_samples}, "
                f"not {self.trim_samples}; trim less or lengthen the chunk"
            )
        most_overlap = self.kept_samples // 2
        if not 0 <= self.overlap_samples <= most_overlap:
            raise ConfigError(
                f"overlap_samples must lie in 0..{most_overlap}, half of the {self.kept_samples} "
                f"samples that a window keeps, not {self.overlap_samples}; overlap or trim less"
            )

    @property
    def kept_samples(self) -> int:
        """Length of the part of a window that reaches the result."""
        return self.chunk_samples - 2 * self.trim_samples

    @property
    def hop_samples(self) -> int:
        """Distance from one window to the next; at least `overlap_samples`."""
        return self.kept_samples - self.overlap_samples

    @property
    def latency_samples(self) -> int:
        """What a stream holds is fewer samples than that: a window's kept part and its context."""
        return self.kept_samples + self.trim_samples

    def n_chunks(self, n_samples: int) -> int:
        """Return the fewest windows whose kept regions cover `n_samples`; 0 for an empty signal.

        The fewest, so without any one of them a part of the signal would be missing or unfaded.
        """
        if n_samples < 0:
            raise UsageError(f"n_samples must be at least 0, not {n_samples}")
        if n_samples == 0:
            return 0
        return 1 + max(0, -(-(n_samples - self.kept_samples) // self.hop_samples))

    def window_starts(self, n_samples: int) -> range:
        """Return where each window starts in the signal; the first starts `trim_samples` early."""
        first = -self.trim_samples
        stop = first + self.n_chunks(n_samples) * self.hop_samples
        return range(first, stop, self.hop_samples)

    def total_samples(self, n_samples: int) -> int:
        """Return the length that all windows span together, their context of zeros included."""
        n_chunks = self.n_chunks(n_samples)
        return (n_chunks - 1) * self.hop_samples + self.chunk_samples if n_chunks else 0


def fade_in_weights(overlap_samples: int) -> Float32[np.ndarray, " samples"]:
    """Return a rising squared sine whose sum with its own reverse is exactly one, in float32.

    Sampled at the middle of each step: `sin(pi/2 * (i + 1/2) / overlap_samples) ** 2`.
    """
    steps = (np.arange(overlap_samples) + 0.5) / max(overlap_samples, 1)
    weights = (np.sin(0.5 * np.pi * steps) ** 2).astype(np.float32)
    # The lower half is one minus the upper half: for 1/2 <= w <= 1 the difference 1 - w has no
    # rounding error (Sterbenz), so neither has the sum. The middle of an odd number is 1/2.
    n_upper = overlap_samples // 2
    if n_upper:
        weights[:n_upper] = np.float32(1.0) - weights[: -n_upper - 1 : -1]
    return weights


class ChunkCutter:
    """Takes a signal in blocks of any length and gives windows as soon as they are complete.

    Holds at most `chunk_samples` per channel.
    """

    def __init__(self, plan: ChunkPlan, n_channels: int) -> None:
        self._plan = plan
        self._window = np.zeros((n_channels, plan.chunk_samples), np.float32)
        self._n_filled = plan.trim_samples  # the context before the signal: zeros
        self._n_windows = 0
        self._n_samples = 0
        self._flushed = False

    @property
    def n_samples(self) -> int:
        """How many samples were pushed so far."""
        return self._n_samples

    @property
    def n_windows(self) -> int:
        """How many windows were given so far."""
        return self._n_windows

    def push(
        self, block: Float32[np.ndarray, "channels samples"]
    ) -> list[Float32[np.ndarray, "channels chunk_samples"]]:
        """Return the windows that `block` completes; each is an array of its own.

        Raises:
            UsageError: the cutter was flushed, or the block has another number of channels.
        """
        if self._flushed:
            raise UsageError("this ChunkCutter was flushed; make a new one for another signal")
        n_channels, chunk_samples = self._window.shape
        if block.ndim != 2 or block.shape[0] != n_channels:
            raise UsageError(
                f"the block has the shape {block.shape} but this ChunkCutter takes "
                f"({n_channels}, samples)"
            )
        windows = []
        n_samples, n_taken = block.shape[1], 0
        while n_taken < n_samples:
            n_next = min(chunk_samples - self._n_filled, n_samples - n_taken)
            filled = self._n_filled + n_next
            self._window[:, self._n_filled : filled] = block[:, n_taken : n_taken + n_next]
            self._n_filled = filled
            n_taken += n_next
            if filled == chunk_samples:
                windows.append(self._take())
        self._n_samples += n_samples
        return windows

    def flush(self) -> list[Float32[np.ndarray, "channels chunk_samples"]]:
        """Return the windows that the end of the signal still needs, padded with zeros.

        Raises:
            UsageError: the cutter was flushed already.
        """
        if self._flushed:
            raise UsageError("this ChunkCutter was flushed; make a new one for another signal")
        self._flushed = True
        self._window[:, self._n_filled :] = 0
        n_missing = self._plan.n_chunks(self._n_samples) - self._n_windows
        windows = []
        for _ in range(n_missing):
            windows.append(self._take())
            self._window[:, self._n_filled :] = 0
        return windows

    def _take(self) -> Float32[np.ndarray, "channels chunk_samples"]:
        """Copy the full window out and move what the next one shares to the front."""
        window = self._window.copy()
        hop_samples = self._plan.hop_samples
        self._n_filled = self._plan.chunk_samples - hop_samples
        self._window[:, : self._n_filled] = window[:, hop_samples:]
        self._n_windows += 1
        return window


class OverlapAdder:
    """Takes processed windows in order and gives the signal that their kept regions make.

    Leading axes (sources, channels) pass through. Where two kept regions overlap, the earlier fades
    into the later; at the signal's two ends nothing fades. Holds at most `overlap_samples`.
    """

    def __init__(self, plan: ChunkPlan) -> None:
        self._plan = plan
        self._fade_in = fade_in_weights(plan.overlap_samples)
        self._tail: Float32[np.ndarray, "*leading overlap_samples"] | None = None
        self._n_given = 0
        self._end: int | None = None
        self._flushed = False

    def end_at(self, n_samples: int) -> None:
        """Tell the signal's length, once known; nothing beyond it will be given.

        Call it after the cutter's last full window and before the first that was padded: until
        then every finished sample is known to lie inside of the signal.

        Raises:
            UsageError: more samples than that were given already.
        """
        if n_samples < self._n_given:
            raise UsageError(
                f"the signal cannot end at {n_samples}: {self._n_given} samples were given already"
            )
        self._end = n_samples

    def push(
        self, window: Float32[np.ndarray, "*leading chunk_samples"]
    ) -> Float32[np.ndarray, "*leading samples"]:
        """Return the `hop_samples` that this window finishes, or fewer at the signal's end.

        Raises:
            UsageError: the adder was flushed, or the window has another length.
        """
        plan = self._plan
        if self._flushed:
            raise UsageError("this OverlapAdder was flushed; make a new one for another signal")
        if window.shape[-1] != plan.chunk_samples:
            raise UsageError(
                f"the window has {window.shape[-1]} samples but this OverlapAdder takes windows "
                f"of {plan.chunk_samples}"
            )
        kept = window[..., plan.trim_samples : plan.chunk_samples - plan.trim_samples]
        # Copies, because the caller may reuse the window's memory and owns what is returned.
        finished = kept[..., : plan.hop_samples].copy()
        if self._tail is not None:
            # tail + w * (head - tail) is (1 - w) * tail + w * head, and leaves a signal on which
            # both windows agree untouched to the last bit.
            head = finished[..., : plan.overlap_samples]
            head -= self._tail
            head *= self._fade_in
            head += self._tail
        self._tail = kept[..., plan.hop_samples :].copy()
        return self._give(finished)

    def flush(self) -> Float32[np.ndarray, "*leading samples"]:
        """Return what is left of the signal: the end of the last kept region, which does not fade.

        Without `end_at` the signal ends where the last kept region ends. An adder that never saw
        a window does not know the leading axes and returns an array of shape (0,).

        Raises:
            UsageError: the adder was flushed already, or windows are missing.
        """
        if self._flushed:
            raise UsageError("this OverlapAdder was flushed; make a new one for another signal")
        self._flushed = True
        tail, self._tail = self._tail, None
        rest = self._give(np.zeros(0, np.float32) if tail is None else tail)
        if self._end is not None and self._n_given < self._end:
            raise UsageError(
                f"the signal has {self._end} samples but the windows pushed hold only "
                f"{self._n_given}; push all that the ChunkCutter gives"
            )
        return rest

    def _give(
        self, finished: Float32[np.ndarray, "*leading samples"]
    ) -> Float32[np.ndarray, "*leading given_samples"]:
        """Cut at the signal's end, where it is known, and count."""
        if self._end is not None:
            finished = finished[..., : self._end - self._n_given]
        self._n_given += finished.shape[-1]
        return finished
