"""Float samples as whole numbers: rounded to the nearest, saturated, never wrapped."""

from __future__ import annotations

import numpy as np

from stemlight.shapes import Float32, Int

__all__ = ["n_outside_full_scale", "to_pcm"]


def to_pcm(
    samples: Float32[np.ndarray, "channels samples"], n_bits: int
) -> Int[np.ndarray, "channels samples"]:
    """Return int32 in -2^(n_bits - 1) .. 2^(n_bits - 1) - 1, for at most 24 bits.

    Full scale is 2^(n_bits - 1), as readers divide by it: a file that was read from `n_bits` PCM is
    written back bit for bit, and the error of any sample in [-1, 1) is at most half a step (a whole
    one just below 1, which has no neighbour above).
    """
    full_scale = np.float32(2 ** (n_bits - 1))
    # Exact in float32: a power of two only moves the exponent, and 24 bits fit the mantissa.
    steps = np.rint(samples * full_scale)
    return np.clip(steps, -full_scale, full_scale - 1).astype(np.int32)


def n_outside_full_scale(samples: Float32[np.ndarray, "channels samples"]) -> int:
    """Count the samples outside [-1, 1), which whole numbers cannot hold."""
    return int(np.count_nonzero((samples < -1) | (samples >= 1)))
