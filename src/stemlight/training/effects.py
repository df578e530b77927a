"""Cheap studio effects with random settings: EQ, a room, another speed."""

from __future__ import annotations

from typing import Literal

import numpy as np
from scipy import signal

from stemlight.audio.biquads import bell, shelf
from stemlight.shapes import Float32

__all__ = ["change_speed", "equalise", "reverberate"]

_SHELF_HZ = {"low": (60.0, 300.0), "high": (2500.0, 9000.0)}
_BELLS_HZ = (100.0, 8000.0)
_BELL_QUALITY = (0.5, 2.0)
_HIGHEST = 0.45  # cycles per sample

_PREDELAY_SECONDS = (0.003, 0.03)
_EARLY_SECONDS = 0.06  # during which walls are heard one by one
_N_EARLY = 6
_LATE_LOW_PASS_HZ = (2000.0, 8000.0)  # air and walls take the heights first


def equalise(
    stem: Float32[np.ndarray, "2 samples"],
    sample_rate_hz: int,
    max_gain_db: float,
    generator: np.random.Generator,
) -> Float32[np.ndarray, "2 samples"]:
    """Filter with a low or high shelf and one or two bells, and keep the energy."""
    side: Literal["low", "high"] = "high" if generator.random() < 0.5 else "low"
    shelf_hz = _log_uniform(generator, *_SHELF_HZ[side])
    gain_db = generator.uniform(-max_gain_db, max_gain_db)
    sections = [shelf(min(shelf_hz / sample_rate_hz, _HIGHEST), gain_db, side)]
    for _ in range(generator.integers(1, 3)):
        bell_hz = _log_uniform(generator, *_BELLS_HZ)
        gain_db = generator.uniform(-max_gain_db, max_gain_db)
        quality = _log_uniform(generator, *_BELL_QUALITY)
        sections.append(bell(min(bell_hz / sample_rate_hz, _HIGHEST), gain_db, quality))
    # Slow filters need double precision.
    filtered = signal.sosfilt(np.array(sections), stem.astype(np.float64), axis=1)
    before, after = np.mean(np.square(stem, dtype=np.float64)), np.mean(np.square(filtered))
    factor = np.sqrt(before / after) if after > 0 else 1.0
    return (filtered * factor).astype(np.float32)


def reverberate(
    stem: Float32[np.ndarray, "2 samples"],
    sample_rate_hz: int,
    decay_seconds: float,
    wet_db: float,
    generator: np.random.Generator,
) -> Float32[np.ndarray, "2 samples"]:
    """Add a random room `wet_db` louder than the stem; it is silent before the first sample."""
    room = _room(sample_rate_hz, decay_seconds, generator)
    wet = signal.oaconvolve(stem, room, axes=1)[:, : stem.shape[1]]
    return stem + np.float32(10 ** (wet_db / 20)) * wet


def _room(
    sample_rate_hz: int, decay_seconds: float, generator: np.random.Generator
) -> Float32[np.ndarray, "2 samples"]:
    """Make an impulse response of energy 1 for each channel: a few echoes, then falling noise."""
    n_samples = round(decay_seconds * sample_rate_hz)
    time = np.arange(n_samples, dtype=np.float32) / sample_rate_hz
    fall = np.exp(-np.log(1000) * time / decay_seconds, dtype=np.float32)
    noise = generator.standard_normal((2, n_samples), dtype=np.float32)
    low_pass_hz = _log_uniform(generator, *_LATE_LOW_PASS_HZ)
    pole = np.exp(-2 * np.pi * low_pass_hz / sample_rate_hz)
    room = signal.lfilter([1 - pole], [1, -pole], noise, axis=1).astype(np.float32) * fall
    predelay_seconds = generator.uniform(*_PREDELAY_SECONDS)
    room[:, : round(predelay_seconds * sample_rate_hz)] = 0
    # The echoes of the first walls stand out of the noise, on each side by as much as they like.
    echoes = generator.uniform(predelay_seconds, _EARLY_SECONDS, _N_EARLY) * sample_rate_hz
    loudest = 6 * np.abs(room).mean()
    room[:, np.minimum(echoes.astype(int), n_samples - 1)] += generator.uniform(
        -loudest, loudest, (2, _N_EARLY)
    )
    energy = np.sum(np.square(room), axis=1, keepdims=True)
    return (room / np.sqrt(energy)).astype(np.float32)


def change_speed(
    stem: Float32[np.ndarray, "2 samples"], speed: float
) -> Float32[np.ndarray, "2 played"]:
    """Play faster (more than 1) or slower, which moves pitch and tempo together."""
    import soxr  # training alone needs it here

    # A quick filter is enough: the error is far below what the network could learn.
    played = soxr.resample(np.ascontiguousarray(stem.T), speed, 1.0, quality="MQ")
    return np.asarray(played, np.float32).T


def _log_uniform(generator: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(generator.uniform(np.log(low), np.log(high))))
