"""Filters of second order with a gain: bells and shelves.

Source: R. Bristow-Johnson, "Cookbook formulae for audio equalizer biquad filter coefficients".
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from stemlight.shapes import Float

__all__ = ["bell", "shelf"]

Section = Float[np.ndarray, " coefficients"]
"""One second-order section, as SciPy has them: three of the numerator, three of the denominator."""


def bell(cycles_per_sample: float, gain_db: float, quality: float) -> Section:
    """Design a bell that has `gain_db` in its middle."""
    amplitude = 10 ** (gain_db / 40)
    angle = 2 * math.pi * cycles_per_sample
    alpha = math.sin(angle) / (2 * quality)
    middle = -2 * math.cos(angle)
    return _section(
        (1 + alpha * amplitude, middle, 1 - alpha * amplitude),
        (1 + alpha / amplitude, middle, 1 - alpha / amplitude),
    )


def shelf(cycles_per_sample: float, gain_db: float, side: Literal["low", "high"]) -> Section:
    """Design a shelf of slope 1, whose gain lies below (low) or above (high) the frequency."""
    amplitude = 10 ** (gain_db / 40)
    angle = 2 * math.pi * cycles_per_sample
    # With -cos in the place of cos, formulas of the low shelf become those of the high one.
    sign = 1 if side == "low" else -1
    cosine = sign * math.cos(angle)
    slope = math.sqrt(2 * amplitude) * math.sin(angle)
    more, less = amplitude + 1, amplitude - 1
    return _section(
        (
            amplitude * (more - less * cosine + slope),
            amplitude * sign * 2 * (less - more * cosine),
            amplitude * (more - less * cosine - slope),
        ),
        (
            more + less * cosine + slope,
            sign * -2 * (less + more * cosine),
            more + less * cosine - slope,
        ),
    )


def _section(
    numerator: tuple[float, float, float], denominator: tuple[float, float, float]
) -> Section:
    return np.array([*numerator, *denominator]) / denominator[0]
