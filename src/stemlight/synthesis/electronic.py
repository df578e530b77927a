"""Drum machines: kicks, snares, hats and the rest from oscillators and noise."""

from __future__ import annotations

import numpy as np
import scipy.signal

from stemlight.synthesis.effects import passing, peaking, saturate
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, Random

__all__ = ["electronic_kit"]

Row = np.ndarray


def _time(seconds: float) -> Row:
    return np.arange(int(seconds * SAMPLE_RATE_HZ), dtype=np.float64) / SAMPLE_RATE_HZ


def _sweep(time: Row, first_hz: float, last_hz: float, fall_seconds: float) -> Row:
    """Return a sine that falls from one frequency to another."""
    cycles = last_hz * time
    cycles += (first_hz - last_hz) * fall_seconds * (1 - np.exp(-time / fall_seconds))
    return np.sin(2 * np.pi * cycles)


def _noise(random: Random, n_samples: int, lowest_hz: float, highest_hz: float) -> Row:
    noise = random.standard_normal(n_samples)
    noise = scipy.signal.sosfilt(passing(lowest_hz, "highpass"), noise)
    return scipy.signal.sosfilt(passing(highest_hz, "lowpass"), noise)


def _log_uniform(random: Random, low: float, high: float) -> float:
    return float(np.exp(random.uniform(np.log(low), np.log(high))))


def _kick(random: Random) -> Row:
    decay = _log_uniform(random, 0.06, 0.5)
    time = _time(min(1.6, 5 * decay))
    end_hz = _log_uniform(random, 38, 75)
    body = _sweep(
        time, end_hz * _log_uniform(random, 2, 9), end_hz, _log_uniform(random, 0.008, 0.06)
    )
    body *= np.exp(-time / decay)
    click = _noise(random, len(time), 800, _log_uniform(random, 2500, 12000))
    click *= np.exp(-time / _log_uniform(random, 0.001, 0.008)) * _log_uniform(random, 0.02, 0.6)
    drive = _log_uniform(random, 0.5, 9)
    return saturate((body + click).astype(np.float32), drive)


def _snare(random: Random) -> Row:
    decay = _log_uniform(random, 0.05, 0.25)
    time = _time(min(1.0, 6 * decay))
    tone_hz = _log_uniform(random, 140, 280)
    tone = _sweep(time, tone_hz * 1.6, tone_hz, 0.01) + 0.6 * np.sin(
        2 * np.pi * 1.83 * tone_hz * time
    )
    tone *= np.exp(-time / (decay * random.uniform(0.3, 0.8)))
    noise = _noise(
        random, len(time), _log_uniform(random, 300, 2000), _log_uniform(random, 5e3, 16e3)
    )
    noise *= np.exp(-time / decay)
    mixed = random.uniform(0.2, 1) * tone + random.uniform(0.3, 1.2) * noise
    return saturate(mixed.astype(np.float32), _log_uniform(random, 0.5, 5))


def _clap(random: Random) -> Row:
    time = _time(0.5)
    envelope = np.exp(-time / _log_uniform(random, 0.04, 0.15)) * 0.7
    gap = random.uniform(0.007, 0.014)
    for burst in range(int(random.integers(2, 5))):
        since = time - burst * gap
        envelope += (since >= 0) * np.exp(-np.maximum(since, 0) / 0.004)
    noise = _noise(
        random, len(time), _log_uniform(random, 600, 1200), _log_uniform(random, 4e3, 12e3)
    )
    noise = scipy.signal.sosfilt(peaking(_log_uniform(random, 900, 2200), 9, 2), noise)
    return noise * envelope


def _metal(random: Random, seconds: float, decay: float) -> Row:
    """Return six square waves that do not fit each other, and noise, above some frequency."""
    time = _time(seconds)
    base = _log_uniform(random, 180, 600)
    ratios = np.array([1, 1.34, 1.52, 1.81, 2.23, 2.66]) * (1 + 0.05 * random.standard_normal(6))
    squares = sum(np.sign(np.sin(2 * np.pi * base * ratio * time)) for ratio in ratios)
    share = random.uniform(0, 1)
    source = share * squares / 3 + (1 - share) * random.standard_normal(len(time))
    source = scipy.signal.sosfilt(passing(_log_uniform(random, 4500, 9000), "highpass", 4), source)
    return source * np.exp(-time / decay)


def _tom(random: Random, pitch_hz: float) -> Row:
    decay = _log_uniform(random, 0.08, 0.3)
    time = _time(5 * decay)
    body = _sweep(time, 1.8 * pitch_hz, pitch_hz, 0.03) * np.exp(-time / decay)
    return body + 0.1 * _noise(random, len(time), 300, 5000) * np.exp(-time / 0.02)


def _tone_burst(random: Random, pitch_hz: float, decay: float) -> Row:
    time = _time(6 * decay)
    waves = np.sign(np.sin(2 * np.pi * pitch_hz * time))
    waves += np.sign(np.sin(2 * np.pi * 1.48 * pitch_hz * time))
    waves = scipy.signal.sosfilt(peaking(pitch_hz * 1.5, 12, 3), waves)
    return waves * np.exp(-time / decay)


def electronic_kit(random: Random) -> dict[str, list[np.ndarray]]:
    """Draw a drum machine: each piece as one stereo sample of peak 1."""
    tom_hz = _log_uniform(random, 70, 110)
    shaker = _metal(random, 0.12, 0.03)
    shaker *= np.minimum(1, np.arange(len(shaker)) / 1500)
    rows = {
        "kick": _kick(random),
        "snare": _snare(random),
        "clap": _clap(random),
        "rim": _tone_burst(random, _log_uniform(random, 400, 1700), 0.012),
        "hat_closed": _metal(random, 0.3, _log_uniform(random, 0.012, 0.06)),
        "hat_pedal": _metal(random, 0.3, 0.03),
        "hat_open": _metal(random, 1.0, _log_uniform(random, 0.1, 0.35)),
        "tom_low": _tom(random, tom_hz),
        "tom_mid": _tom(random, 1.35 * tom_hz),
        "tom_high": _tom(random, 1.8 * tom_hz),
        "crash": _metal(random, 2.5, _log_uniform(random, 0.4, 1.0)),
        "ride": _metal(random, 1.5, _log_uniform(random, 0.2, 0.5)),
        "bell": _tone_burst(random, _log_uniform(random, 700, 1200), 0.2),
        "cowbell": _tone_burst(random, _log_uniform(random, 480, 620), 0.06),
        "tambourine": _metal(random, 0.4, 0.08),
        "shaker": shaker,
        "conga_low": _tom(random, 2.2 * tom_hz),
        "conga_high": _tom(random, 3.0 * tom_hz),
    }
    kit = {}
    for piece, row in rows.items():
        faded = row * np.minimum(1, np.arange(len(row), 0, -1) / 400)
        peak = np.abs(faded).max()
        kit[piece] = [np.stack([faded, faded]).astype(np.float32) / np.float32(peak)]
    return kit
