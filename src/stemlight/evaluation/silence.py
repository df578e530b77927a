"""What is heard of an estimate where its source is silent; SDR has nothing to say there.

Source: Schulze-Forster, Doire, Richard, Badeau, "Weakly Informed Audio Source Separation"
(WASPAA 2019): the predicted energy at silence. Differs: seconds in place of frames of the
transform, silence with a threshold, and one ratio of summed energies in place of a mean of levels,
so that the loudest leak counts most.
"""

from __future__ import annotations

import numpy as np

from stemlight.evaluation.signals import Samples, energy

__all__ = ["SILENCE_DBFS", "leakage_dbfs", "relative_leakage_db"]

SILENCE_DBFS = -60.0
"""A second is silent if its RMS over all channels is at most this."""

_QUIETEST_DB = -120.0


def leakage_dbfs(reference: Samples, estimate: Samples, sample_rate_hz: int) -> float:
    """Return the RMS level of the estimate in the reference's silent seconds; -120 at least.

    NaN where the reference has no silent second.
    """
    seconds = _silent_seconds(reference, sample_rate_hz)
    n_samples = sum(second.stop - second.start for second in seconds) * len(reference)
    leaked = sum(energy(estimate[:, second]) for second in seconds)
    return _level_db(leaked, n_samples)


def relative_leakage_db(
    reference: Samples, estimate: Samples, mixture: Samples, sample_rate_hz: int
) -> float:
    """Return the energy of the estimate over the mixture's in the reference's silent seconds.

    -120 dB at least; NaN where there is no such second, or the mixture is silent in all of them.
    """
    seconds = _silent_seconds(reference, sample_rate_hz)
    leaked = sum(energy(estimate[:, second]) for second in seconds)
    return _level_db(leaked, sum(energy(mixture[:, second]) for second in seconds))


def _silent_seconds(reference: Samples, sample_rate_hz: int) -> list[slice]:
    """Return the silent ones among the whole seconds; what is shorter than one is one."""
    n_samples = min(sample_rate_hz, reference.shape[1])
    loudest = 10 ** (SILENCE_DBFS / 10) * n_samples * len(reference)
    seconds = [
        slice(first, first + n_samples)
        for first in range(0, reference.shape[1] - n_samples + 1, n_samples)
    ]
    return [second for second in seconds if energy(reference[:, second]) <= loudest]


def _level_db(leaked: float, against: float) -> float:
    if against == 0:
        return float("nan")
    return float(10 * np.log10(max(leaked / against, 10 ** (_QUIETEST_DB / 10))))
