"""Correlations of long signals at short lags: of every frame alone, and of the whole.

A block of one signal meets the same block of the other and the few samples behind it. What blocks
add to a correlation are products of spectra, and all products of a frame are summed before one
inverse transform. The whole is the sum of the frames and of what crosses their borders.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy.fft

from stemlight.shapes import Complex, Float

__all__ = ["Correlations", "in_threads", "lagged_correlations"]

# Small enough that spectra stay in the caches: half the time of what does not.
_BLOCK_SAMPLES = 2000
_BLOCKS_AT_ONCE = 8

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


@dataclass(frozen=True, kw_only=True)
class Correlations:
    """Sums over n of `left[n] * right[n + lag]`, for lags from 0."""

    whole: Float[np.ndarray, "left right lags"]
    frames: Float[np.ndarray, "frames left right lags"]


def lagged_correlations(
    left: Sequence[Float[np.ndarray, " samples"]],
    right: Sequence[Float[np.ndarray, " samples"]],
    n_lags: int,
    frame_samples: int,
    n_threads: int = 0,
) -> Correlations:
    """Correlate all pairs in float64; each frame as if there were silence around it.

    What is left behind the last whole frame counts for the whole alone.
    """
    n_samples = len(left[0])
    spans = [
        slice(first, min(first + frame_samples, n_samples))
        for first in range(0, n_samples, frame_samples)
    ]
    n_frames = n_samples // frame_samples
    frames = np.empty((n_frames, len(left), len(right), n_lags))
    whole = np.zeros((len(left), len(right), n_lags))

    def correlate(span: slice) -> tuple[np.ndarray, np.ndarray]:
        inside = _within(left, right, span, n_lags)
        tail = slice(max(span.start, span.stop - n_lags + 1), span.stop)
        head = slice(span.stop, min(span.stop + n_lags - 1, n_samples))
        return inside, _across(left, right, tail, head, n_lags)

    for index, (inside, across) in enumerate(in_threads(correlate, spans, n_threads)):
        if index < n_frames:
            frames[index] = inside
        whole += inside
        whole += across
    return Correlations(whole=whole, frames=frames)


def _within(
    left: Sequence[np.ndarray], right: Sequence[np.ndarray], span: slice, n_lags: int
) -> Float[np.ndarray, "left right lags"]:
    """Correlate what is inside a span."""
    n_blocks = max(1, round((span.stop - span.start) / _BLOCK_SAMPLES))
    block_samples = -(-(span.stop - span.start) // n_blocks)
    n_fft = scipy.fft.next_fast_len(block_samples + n_lags - 1, real=True)
    starts = range(span.start, span.stop, block_samples)
    total = np.zeros((n_fft // 2 + 1, len(left), len(right)), np.complex128)
    for first in range(0, len(starts), _BLOCKS_AT_ONCE):
        group = starts[first : first + _BLOCKS_AT_ONCE]
        short = [slice(start, min(start + block_samples, span.stop)) for start in group]
        long = [slice(block.start, min(block.stop + n_lags - 1, span.stop)) for block in short]
        total += _products(_spectra(left, short, n_fft), _spectra(right, long, n_fft))
    return _lags(total, n_fft, n_lags)


def _across(
    left: Sequence[np.ndarray],
    right: Sequence[np.ndarray],
    tail: slice,
    head: slice,
    n_lags: int,
) -> Float[np.ndarray, "left right lags"]:
    """Correlate the tail of a span with the head of what follows."""
    n_fft = scipy.fft.next_fast_len(2 * n_lags - 1, real=True)
    before = _spectra(left, [tail], n_fft)
    after = _spectra(right, [head], n_fft, n_before=tail.stop - tail.start)
    return _lags(_products(before, after), n_fft, n_lags)


def _spectra(
    signals: Sequence[np.ndarray], blocks: Sequence[slice], n_fft: int, n_before: int = 0
) -> Complex[np.ndarray, "bins signals blocks"]:
    """Return spectra of blocks of all signals, with `n_before` zeros before and some behind."""
    padded = np.zeros((len(signals), len(blocks), n_fft))
    for signal, rows in zip(signals, padded, strict=True):
        for block, row in zip(blocks, rows, strict=True):
            row[n_before : n_before + block.stop - block.start] = signal[block]
    # Bins first: each bin then is a small matrix, as products want it.
    return np.ascontiguousarray(np.moveaxis(scipy.fft.rfft(padded, axis=2), 2, 0))


def _products(
    left: Complex[np.ndarray, "bins left blocks"], right: Complex[np.ndarray, "bins right blocks"]
) -> Complex[np.ndarray, "bins left right"]:
    return np.matmul(np.conjugate(left, out=left), right.transpose(0, 2, 1))


def _lags(
    products: Complex[np.ndarray, "bins left right"], n_fft: int, n_lags: int
) -> Float[np.ndarray, "left right lags"]:
    rows = np.ascontiguousarray(np.moveaxis(products, 0, 2))
    return scipy.fft.irfft(rows, n_fft, axis=2)[:, :, :n_lags]


def in_threads(
    function: Callable[[_Task], _Result], tasks: Sequence[_Task], n_threads: int
) -> Iterator[_Result]:
    """Call a function with each task and yield results in order; `n_threads` 0 takes all cores."""
    n_workers = min(n_threads or _n_cores(), len(tasks))
    if n_workers <= 1:
        yield from map(function, tasks)
        return
    with ThreadPoolExecutor(n_workers) as pool:
        yield from pool.map(function, tasks)


def _n_cores() -> int:
    """Return how many cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
