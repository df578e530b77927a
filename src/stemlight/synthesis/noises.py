"""Sounds without a score: risers, falls, impacts, vinyl, and single sounds of Sonic Pi."""

from __future__ import annotations

import numpy as np
import scipy.signal

from stemlight.synthesis.arrangement import SongPlan
from stemlight.synthesis.effects import Samples, pan, passing
from stemlight.synthesis.kits import load_sample
from stemlight.synthesis.material import Material
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, Random, choose

__all__ = ["effects_part"]

_PATTERNS = ("ambi_*", "misc_cineboom", "vinyl_*", "glitch_*", "elec_*", "mehackit_*", "perc_sw*")


def _riser(random: Random, seconds: float) -> np.ndarray:
    """Return noise or a tone that rises, or falls."""
    n_samples = int(seconds * SAMPLE_RATE_HZ)
    time = np.arange(n_samples) / SAMPLE_RATE_HZ
    low, high = np.log(float(random.uniform(100, 400))), np.log(float(random.uniform(1500, 8000)))
    falls = random.random() < 0.3
    share = time[::-1] / seconds if falls else time / seconds
    if random.random() < 0.5:
        cycles = np.cumsum(np.exp(low + (high - low) * share)) / SAMPLE_RATE_HZ
        row = scipy.signal.sawtooth(2 * np.pi * cycles)
    else:
        noise = random.standard_normal(n_samples)
        dark = scipy.signal.sosfilt(passing(1200, "lowpass"), noise)
        bright = scipy.signal.sosfilt(passing(3000, "highpass"), noise)
        row = (1 - share) * dark + share * bright
    return (row * share**1.5).astype(np.float32)


def effects_part(random: Random, plan: SongPlan, material: Material, n_samples: int) -> Samples:
    """Place effects before and at the starts of sections."""
    out = np.zeros((2, n_samples), np.float32)
    paths = []
    if material.samples is not None:
        paths = sorted({p for name in _PATTERNS for p in material.samples.glob(f"{name}.flac")})
    own = [choose(random, paths) for _ in range(3)] if paths else []
    for section in plan.sections:
        if "other" not in section.sounding:
            continue
        start = plan.clock.seconds(section.first_beat)
        if random.random() < 0.5:
            seconds = choose(random, (1, 2, 4)) * 4 * 60 / plan.clock.tempo_bpm / 2
            row = _riser(random, seconds)
            _place(out, pan(row, float(random.uniform(-0.5, 0.5))), start - seconds)
        if own and random.random() < 0.7:
            sound = load_sample(choose(random, own)) * np.float32(random.uniform(0.3, 1))
            step = choose(random, (4, 8, 16, 64))
            for beat in np.arange(section.first_beat, section.end_beat, step):
                _place(out, sound, plan.clock.seconds(float(beat)))
    return out


def _place(out: Samples, sound: Samples, seconds: float) -> None:
    first = max(0, int(seconds * SAMPLE_RATE_HZ))
    last = min(out.shape[1], first + sound.shape[1])
    if last > first:
        out[:, first:last] += sound[:, : last - first]
