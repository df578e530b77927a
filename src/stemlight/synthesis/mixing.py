"""Levels of the stems, and a master whose gains act on all stems alike, so that they add up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from stemlight.synthesis.chains import active_level
from stemlight.synthesis.effects import (
    Samples,
    compressor_gain,
    convolve,
    filter_response,
    limiter_gain,
    passing,
)
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, Random

__all__ = ["CEILING", "LEVELS_DB", "mix_song", "pumping"]

LEVELS_DB = {"vocals": (-1.0, 2.2), "drums": (-3.0, 3.2), "bass": (-3.2, 3.2), "other": (-1.8, 2.8)}
"""Level of each stem where it sounds, relative to the same anchor: mean and deviation."""

CEILING = 0.97
_LOUDNESS_DB = (-16.2, 1.7)  # RMS of the mixture where it sounds, re full scale


def pumping(random: Random, kicks_seconds: Sequence[float], n_samples: int) -> np.ndarray:
    """Return a gain that ducks at each kick and comes back, as in dance music."""
    depth = float(random.uniform(0.3, 0.95))
    length = int(random.uniform(0.1, 0.4) * SAMPLE_RATE_HZ)
    shape = 1 - depth * (1 - np.linspace(0, 1, length) ** float(random.uniform(0.6, 2)))
    shape[:200] = 1 - (1 - shape[200]) * np.linspace(0, 1, 200)
    gain = np.ones(n_samples, np.float32)
    for seconds in kicks_seconds:
        first = int(seconds * SAMPLE_RATE_HZ)
        last = min(n_samples, first + length)
        if last > first:
            gain[first:last] = np.minimum(gain[first:last], shape[: last - first])
    return gain


def mix_song(random: Random, stems: Mapping[str, Samples]) -> dict[str, Samples]:
    """Set levels, compress and limit the sum, and apply what this does to each stem."""
    mixed = {}
    for name, samples in stems.items():
        mean_db, deviation_db = LEVELS_DB[name]
        drawn = float(np.clip(random.standard_normal(), -2.3, 2.3))
        level = active_level(samples)
        wanted = 10 ** ((mean_db + deviation_db * drawn) / 20)
        mixed[name] = samples * np.float32(wanted * 0.1 / level if level > 1e-6 else 0)
    for response in _band_limits(random):
        mixed = {name: convolve(samples, response) for name, samples in mixed.items()}
    total = sum(mixed.values(), np.zeros_like(next(iter(mixed.values()))))
    if random.random() < 0.8:
        gain = compressor_gain(
            total,
            threshold_db=20 * np.log10(active_level(total) + 1e-9) + float(random.uniform(0, 9)),
            ratio=float(random.uniform(1.5, 4)),
            attack_seconds=float(random.uniform(0.003, 0.03)),
            release_seconds=float(random.uniform(0.06, 0.4)),
        )
        mixed = {name: samples * gain for name, samples in mixed.items()}
        total = total * gain
    wanted_db = _LOUDNESS_DB[0] + _LOUDNESS_DB[1] * float(random.standard_normal())
    loudness = np.float32(10 ** (wanted_db / 20) / max(active_level(total), 1e-6))
    # No stem may clip either, also where another one cancels it in the sum.
    loudest = np.abs(total)
    for samples in mixed.values():
        np.maximum(loudest, np.abs(samples), out=loudest)
    gain = limiter_gain(loudest * loudness, CEILING) * loudness
    return {name: samples * gain for name, samples in mixed.items()}


def _band_limits(random: Random) -> list[np.ndarray]:
    """Draw what an MP3, an old recording or a cheap converter leaves of the highs."""
    chance = random.random()
    if chance < 0.25:
        cutoff_hz = float(random.uniform(15000, 20000))
    elif chance < 0.31:
        cutoff_hz = float(random.uniform(8000, 14000))
    else:
        return []
    return [filter_response(passing(cutoff_hz, "lowpass", order=8), 2048)]
