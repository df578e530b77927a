"""Ratios of energies beside BSS Eval: of a whole track up to its level, and of each second."""

from __future__ import annotations

import numpy as np

from stemlight.evaluation.signals import Samples, energy
from stemlight.shapes import Float

__all__ = ["chunk_sdr_db", "si_sdr_db"]

_MOST_DB = 100.0


def si_sdr_db(reference: Samples, estimate: Samples) -> float:
    """Scale-invariant SDR of a whole track, one gain for all channels; NaN for a silent reference.

    Kept within 100 dB of zero, so that one track does not make a mean infinite; silence as estimate
    has the least.

    Source: Le Roux, Wisdom, Erdogan, Hershey, "SDR - half-baked or well done?" (ICASSP 2019).
    Differs: means are not taken off, as in most toolboxes: music has none.
    """
    wanted = reference.astype(np.float64)
    found = estimate.astype(np.float64)
    reference_energy = energy(wanted)
    if reference_energy == 0:
        return float("nan")
    wanted *= float(np.vdot(wanted, found)) / reference_energy
    found -= wanted
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_db = 10 * np.log10(np.float64(energy(wanted)) / energy(found))
    # Neither energy: silence as estimate.
    return float(np.clip(np.nan_to_num(ratio_db, nan=-_MOST_DB), -_MOST_DB, _MOST_DB))


def chunk_sdr_db(
    reference: Samples, estimate: Samples, chunk_samples: int
) -> Float[np.ndarray, " chunks"]:
    """SDR of each whole chunk; NaN where reference or estimate is silent.

    A track that is shorter than a chunk is one chunk.

    Source: Luo, Yu, "Music Source Separation with Band-Split RNN" (TASLP 2023): cSDR.
    """
    chunk_samples = min(chunk_samples, reference.shape[1])
    ratios_db = []
    for first in range(0, reference.shape[1] - chunk_samples + 1, chunk_samples):
        chunk = slice(first, first + chunk_samples)
        wanted, found = reference[:, chunk], estimate[:, chunk]
        if not (np.any(wanted) and np.any(found)):
            ratios_db.append(np.nan)
            continue
        with np.errstate(divide="ignore"):
            error = energy(np.subtract(found, wanted, dtype=np.float64))
            ratios_db.append(10 * np.log10(np.float64(energy(wanted)) / error))
    return np.array(ratios_db)
