"""Moves pitch and tempo, each without the other, with Signalsmith Stretch."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from stemlight.errors import MissingExtraError
from stemlight.shapes import Float32

__all__ = [
    "UNPITCHED",
    "Stretch",
    "load_stretcher",
    "stretch",
    "stretcher_margin_samples",
]

UNPITCHED = frozenset({"drums"})
"""Sources that keep their pitch: a shifted drum kit sounds like no drum kit."""

_TONALITY_LIMIT_HZ = 8000.0  # above, spectra keep their shape rather than their intervals
# Signalsmith's block: what lies further from the ends than this does not feel them.
_MARGIN_SECONDS = 0.12


class Stretch(NamedTuple):
    """A change of pitch, and how much faster it gets."""

    semitones: float = 0.0
    tempo: float = 1.0

    @property
    def is_identity(self) -> bool:
        """Whether nobody could hear it."""
        return abs(self.semitones) < 0.01 and abs(self.tempo - 1) < 1e-4

    def of_source(self, source: str) -> Stretch:
        """Return what it does to one source of a song."""
        return self._replace(semitones=0.0) if source in UNPITCHED else self

    def input_samples(self, n_samples: int) -> int:
        """Return how many samples become `n_samples`, margins not counted."""
        return math.ceil(n_samples * self.tempo) + 1


def stretcher_margin_samples(sample_rate_hz: int) -> int:
    """Return how much must be read before and after an excerpt that is to be stretched."""
    return round(_MARGIN_SECONDS * sample_rate_hz)


def stretch(
    samples: Float32[np.ndarray, "2 samples"], sample_rate_hz: int, change: Stretch
) -> Float32[np.ndarray, "2 stretched"]:
    """Return `samples` at another pitch and tempo; sample `n` comes to lie at `n / tempo`.

    The first and last tenth of a second come out wrong: give more than is needed, and cut.

    Raises:
        MissingExtraError: the package python-stretch is not installed.
    """
    stretcher = load_stretcher().Stretch(0)  # a seed, so that equal calls give equal samples
    stretcher.preset(2, sample_rate_hz)
    stretcher.setTimeFactor(change.tempo)
    stretcher.setTransposeSemitones(change.semitones, _TONALITY_LIMIT_HZ / sample_rate_hz)
    # It reads beyond the memory of arrays that are not in C order.
    return np.array(stretcher.process(np.ascontiguousarray(samples, np.float32)))


def load_stretcher() -> Any:
    """Return the module that stretches.

    Raises:
        MissingExtraError: the package python-stretch is not installed.
    """
    try:
        from python_stretch import Signalsmith
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"moving pitch or tempo needs {error.name}, which is not installed; "
            "run: pip install 'stemlight[train]'"
        ) from error
    return Signalsmith
