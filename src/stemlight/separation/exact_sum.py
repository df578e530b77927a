"""Stems that add up to their mixture to the last bit of the output format.

Whole numbers (16 and 24 bits): every stem is rounded, and what the rounded stems lack of the
rounded mixture, a few steps, goes to the loudest stem of that sample, or to the one that was named.
A stem at full scale passes on what it cannot hold; all k of them together always can, because the
mixture lies within the range of one: k * low <= low <= mixture <= high <= k * high.

Floats: let u be a power of two such that the positive samples of all stems together, and the
negative ones, stay within 2^24 u. If the mixture is a multiple of u, the stems are rounded to
multiples of u. Every sum of some of them is then a multiple of u of at most 24 bits, a float32:
they add up without any rounding, in whatever order. A mixture out of 24-bit (or fewer) whole
numbers is such a multiple as long as those sums stay below 2, which is 6 dB over full scale.

Other mixtures, decoded from MP3 for example, have finer samples near zero. There the quietest stem
takes what is missing: the stems, added in double precision and rounded once to float32, are the
mixture. Where all stems are more than about twice as loud as the mixture no float32 numbers near
them have that sum: their finest digit is coarser than its. Those samples get the nearest sum, below
half of the last digit of the quietest stem, and are counted as `n_inexact`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stemlight.errors import UsageError, did_you_mean
from stemlight.shapes import Bool, Float32

__all__ = ["PROPORTIONAL", "SumRounder", "check_exact_sum", "exact_floats", "exact_integers"]

PROPORTIONAL = "proportional"
"""What the stems lack of the mixture is shared by level; any other word names the stem for it."""

_SLICE_SAMPLES = 16384  # as many go through the processor's cache at once
_MANTISSA_BITS = 24
_LEAST_EXPONENT = -149  # of the smallest float32 above zero
_MOST_EXPONENT = 127  # sums below 2^127 are far from infinite
_ROUNDING_SLACK = 1 + 2.0**-18  # rounding moves the sums of up to 32 stems by less


def check_exact_sum(mode: str, stems: Sequence[str], *, is_whole: bool) -> None:
    """Refuse a sum that cannot be asked of these stems.

    Raises:
        UsageError: `mode` is neither "proportional" nor one of `stems`; or they are not the whole
            mixture, or only one, which would be the mixture itself.
    """
    if mode != PROPORTIONAL and mode not in stems:
        known = (PROPORTIONAL, *stems)
        raise UsageError(
            f"the exact sum must be one of {', '.join(known)}, not {mode!r}"
            f"{did_you_mean(mode, known)}"
        )
    if not is_whole or len(stems) == 1:
        raise UsageError(
            f"an exact sum needs stems that make up the whole mixture, not {', '.join(stems)} "
            "alone; ask for all stems, or for the complement (accompaniment) too"
        )


def exact_integers(
    stems: Float32[np.ndarray, "stems channels samples"],
    mixture: Float32[np.ndarray, "channels samples"],
    n_bits: int,
    *,
    main_stem: int | None = None,
) -> Float32[np.ndarray, "stems channels samples"]:
    """Return stems that are whole steps of `n_bits` and add up to the mixture, rounded likewise.

    What is missing goes to `main_stem`, or else to the loudest stem of each sample. Stems and
    mixture outside full scale saturate.
    """
    full_scale = 2.0 ** (n_bits - 1)
    low, high = -full_scale, full_scale - 1
    # float64 holds sums of such whole numbers exactly.
    steps = np.clip(np.rint(stems.astype(np.float64) * full_scale), low, high)
    target = np.clip(np.rint(mixture.astype(np.float64) * full_scale), low, high)
    missing = target - steps.sum(axis=0)
    loudness = np.abs(steps)
    if main_stem is not None:
        loudness[main_stem] = np.inf
    for _ in range(len(steps)):
        if not missing.any():
            break
        loudest = loudness.argmax(axis=0)[np.newaxis]
        before = np.take_along_axis(steps, loudest, axis=0)
        after = np.clip(before + missing, low, high)
        np.put_along_axis(steps, loudest, after, axis=0)
        missing -= (after - before)[0]
        np.put_along_axis(loudness, loudest, -1.0, axis=0)  # it has had its turn
    assert not missing.any(), "all stems together can hold any sum that one can"
    return (steps / full_scale).astype(np.float32)


def exact_floats(
    stems: Float32[np.ndarray, "stems channels samples"],
    mixture: Float32[np.ndarray, "channels samples"],
    *,
    main_stem: int | None = None,
) -> tuple[Float32[np.ndarray, "stems channels samples"], Bool[np.ndarray, "channels samples"]]:
    """Return stems whose sum is the mixture, and where there are none: see this module's text.

    What is missing, if it is more than rounding, goes to `main_stem`, or else to the loudest.
    """
    shape = stems.shape
    flat = stems.reshape(shape[0], -1).astype(np.float64)
    target = mixture.reshape(-1).astype(np.float64)
    columns = np.arange(flat.shape[1])
    loudest = np.abs(flat).argmax(axis=0)
    main = loudest if main_stem is None else np.full_like(loudest, main_stem)
    # Of the others alone: beside a stem far too loud, a sum of all would lose its last digits.
    flat[main, columns] = 0.0
    flat[main, columns] = target - _sum_in_order(flat)

    on_grid, fits = _on_common_grid(flat, target, main, columns)
    with np.errstate(over="ignore"):  # beyond float32, where the stems stay as they were
        exact = np.where(fits, on_grid, flat).astype(np.float32)
    beyond = ~np.isfinite(exact).all(axis=0)
    exact[:, beyond] = stems.reshape(shape[0], -1)[:, beyond]
    rest = np.flatnonzero(~fits)
    if len(rest):
        exact[:, rest] = _with_fine_digits(exact[:, rest], target[rest])
    inexact = np.zeros(len(target), bool)
    inexact[rest] = ~_adds_up(exact[:, rest], target[rest])
    return exact.reshape(shape), inexact.reshape(mixture.shape)


def _on_common_grid(
    stems: np.ndarray, target: np.ndarray, main: np.ndarray, columns: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Round stems to multiples of u; return them, and where the mixture is such a multiple, too."""
    positive = np.maximum(stems, 0).sum(axis=0)
    most = np.maximum(positive, np.maximum(-stems, 0).sum(axis=0))
    _, exponent = np.frexp(most * _ROUNDING_SLACK)  # most < 2^exponent
    unit = np.ldexp(1.0, np.maximum(exponent - _MANTISSA_BITS, _LEAST_EXPONENT))
    steps = np.rint(stems / unit)
    wanted = target / unit
    fits = (exponent <= _MOST_EXPONENT) & (wanted == np.rint(wanted))
    steps[main, columns] += np.where(fits, wanted - steps.sum(axis=0), 0)
    return steps * unit, fits


def _with_fine_digits(stems: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Give the quietest stem of each sample what the sum lacks."""
    columns = np.arange(stems.shape[1])
    quietest = np.abs(stems).argmin(axis=0)
    others = stems.astype(np.float64)
    others[quietest, columns] = 0
    with np.errstate(over="ignore"):
        fine = (target - _sum_in_order(others)).astype(np.float32)
    stems[quietest, columns] = np.where(np.isfinite(fine), fine, stems[quietest, columns])
    return stems


def _adds_up(stems: np.ndarray, target: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        total = _sum_in_order(stems.astype(np.float64)).astype(np.float32)
    adds_up: np.ndarray = total == target
    return adds_up


def _sum_in_order(stems: np.ndarray) -> np.ndarray:
    total = stems[0].copy()
    for stem in stems[1:]:
        total += stem
    return total


class SumRounder:
    """The last stage before the files: sample by sample, so blocks of any length give the same.

    `bit_depth` is that of `AudioWriter`; `main_stem` takes what is missing, else the loudest.
    """

    def __init__(self, bit_depth: str, *, main_stem: int | None = None) -> None:
        self._bit_depth = bit_depth
        self._main_stem = main_stem
        self.n_inexact = 0
        """Samples of float stems whose sum is not the mixture, because no floats near have it."""

    def round(
        self,
        stems: Float32[np.ndarray, "stems channels samples"],
        mixture: Float32[np.ndarray, "channels samples"],
    ) -> Float32[np.ndarray, "stems channels samples"]:
        """Return the stems that are to be written."""
        rounded = np.empty_like(stems)
        for first in range(0, mixture.shape[1], _SLICE_SAMPLES):
            part = np.s_[..., first : first + _SLICE_SAMPLES]
            rounded[part] = self._round_slice(stems[part], mixture[part])
        return rounded

    def _round_slice(self, stems: np.ndarray, mixture: np.ndarray) -> np.ndarray:
        if self._bit_depth == "float":
            exact, inexact = exact_floats(stems, mixture, main_stem=self._main_stem)
            self.n_inexact += int(np.count_nonzero(inexact))
            return exact
        return exact_integers(stems, mixture, int(self._bit_depth), main_stem=self._main_stem)
