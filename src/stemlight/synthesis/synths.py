"""Synthesisers: notes whose harmonics are known at each moment, read from tables of one cycle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.fft

from stemlight.synthesis.effects import Samples
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, Random, TimedNote, choose

__all__ = ["Patch", "SynthRole", "draw_patch", "play_patch"]

SynthRole = Literal["bass", "sub", "lead", "pluck", "pad", "string", "organ", "bell"]

Wave = Literal["saw", "pulse", "triangle", "sine", "string", "organ", "fm"]

_TABLE = 2048
_N_MOMENTS = 20


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A voice: a wave, what dims its harmonics over time, and how loud it is over time."""

    wave: Wave
    duty: float = 0.5  # of a pulse; where a string is plucked
    drawbars: tuple[float, ...] = ()
    cutoff_octaves: float = 2.0  # above the note, when the filter has come to rest
    sweep_octaves: float = 3.0  # how far above that the filter starts
    sweep_seconds: float = 0.2
    resonance: float = 0.5  # height of the peak at the cut-off
    damping: float = 0.0  # of harmonic h: amplitudes fall by exp(-damping * h^1.2 * seconds)
    attack_seconds: float = 0.005
    decay_seconds: float = 0.5
    sustain: float = 0.7
    release_seconds: float = 0.08
    detune_cents: float = 0.0  # between the voice on the left and the one on the right
    glide_seconds: float = 0.0
    vibrato_cents: float = 0.0
    fm_ratio: float = 2.0
    fm_depth: float = 2.0


def draw_patch(random: Random, role: SynthRole) -> Patch:
    """Draw a sound that can play the role."""

    def between(low: float, high: float) -> float:
        return float(random.uniform(low, high))

    def scaled(low: float, high: float) -> float:
        return float(np.exp(random.uniform(np.log(low), np.log(high))))

    duty = between(0.1, 0.5)
    match role:
        case "bass":
            waves: tuple[Wave, ...] = ("saw", "pulse", "pulse", "triangle", "fm", "saw")
            return Patch(
                wave=choose(random, waves), duty=duty, cutoff_octaves=between(0.5, 4),
                sweep_octaves=between(0, 4), sweep_seconds=scaled(0.03, 0.5),
                resonance=between(0, 4), decay_seconds=scaled(0.15, 2), sustain=between(0.3, 1),
                release_seconds=scaled(0.02, 0.1), detune_cents=choose(random, (0, 0, 6, 12)),
                glide_seconds=choose(random, (0, 0, 0, 0.03, 0.08)),
                fm_ratio=choose(random, (0.5, 1, 2, 3)), fm_depth=between(0.3, 4),
            )  # fmt: skip
        case "sub":
            return Patch(
                wave=choose(random, ("sine", "sine", "triangle")), cutoff_octaves=3,
                sweep_octaves=1, decay_seconds=scaled(0.3, 3), sustain=between(0, 0.8),
                release_seconds=scaled(0.03, 0.4), glide_seconds=choose(random, (0, 0.06, 0.15)),
            )  # fmt: skip
        case "lead":
            return Patch(
                wave=choose(random, ("saw", "saw", "pulse", "triangle", "fm")), duty=duty,
                cutoff_octaves=between(1.5, 6), sweep_octaves=between(0, 3),
                sweep_seconds=scaled(0.05, 1), resonance=between(0, 3),
                attack_seconds=scaled(0.002, 0.06), sustain=between(0.5, 1),
                release_seconds=scaled(0.05, 0.3), detune_cents=between(0, 25),
                glide_seconds=choose(random, (0, 0, 0.04, 0.1)), vibrato_cents=between(0, 30),
                fm_ratio=choose(random, (1, 2, 3, 0.5)), fm_depth=between(0.5, 5),
            )  # fmt: skip
        case "pluck":
            return Patch(
                wave=choose(random, ("saw", "pulse", "string", "triangle")), duty=duty,
                cutoff_octaves=between(0, 3), sweep_octaves=between(1.5, 5),
                sweep_seconds=scaled(0.03, 0.3), resonance=between(0, 4), damping=0.05,
                decay_seconds=scaled(0.1, 0.7), sustain=0, release_seconds=scaled(0.05, 0.4),
                detune_cents=between(0, 20),
            )  # fmt: skip
        case "pad":
            return Patch(
                wave=choose(random, ("saw", "saw", "pulse", "triangle")), duty=duty,
                cutoff_octaves=between(0.8, 5), sweep_octaves=between(-1.5, 1.5),
                sweep_seconds=scaled(0.5, 3), resonance=between(0, 1.5),
                attack_seconds=scaled(0.02, 0.7), sustain=between(0.7, 1),
                release_seconds=scaled(0.1, 0.8), detune_cents=between(6, 30),
            )  # fmt: skip
        case "string":
            return Patch(
                wave="string", duty=between(0.06, 0.35), cutoff_octaves=between(3.5, 6),
                sweep_octaves=0.5, resonance=0, damping=scaled(0.08, 0.6),
                attack_seconds=0.001, decay_seconds=scaled(1.5, 6), sustain=0,
                release_seconds=scaled(0.02, 0.12),
            )  # fmt: skip
        case "organ":
            bars = tuple(float(x) for x in random.uniform(0, 1, 9) * (random.random(9) < 0.6))
            return Patch(
                wave="organ", drawbars=(bars[0], 0.8, *bars[2:]), cutoff_octaves=7,
                sweep_octaves=0, attack_seconds=0.006, sustain=1, release_seconds=0.04,
                vibrato_cents=between(0, 12), detune_cents=between(0, 5),
            )  # fmt: skip
        case "bell":
            return Patch(
                wave="fm", fm_ratio=choose(random, (1.4, 2, 3.5, 3, 7, 1, 14)),
                fm_depth=scaled(0.4, 4), sweep_seconds=scaled(0.2, 2),
                decay_seconds=scaled(0.4, 3), sustain=0, release_seconds=scaled(0.1, 1),
            )  # fmt: skip


def _source(patch: Patch, n_harmonics: int) -> np.ndarray:
    """Return the amplitudes of the harmonics of the wave itself."""
    numbers = np.arange(1, n_harmonics + 1)
    match patch.wave:
        case "saw":
            return 1 / numbers
        case "pulse":
            return np.sin(np.pi * numbers * patch.duty) / numbers
        case "triangle":
            return (numbers % 2) * np.sin(np.pi * numbers / 2) / numbers**2
        case "string":
            return np.sin(np.pi * numbers * patch.duty) / numbers**1.1
        case "organ":
            levels = np.zeros(n_harmonics)
            for harmonic, level in zip((1, 2, 3, 4, 6, 8, 10, 12, 16), patch.drawbars, strict=True):
                if harmonic <= n_harmonics:
                    levels[harmonic - 1] = level
            return levels
    return (numbers == 1).astype(float)


def _cycles(patch: Patch, f0_hz: float, moments: np.ndarray) -> np.ndarray:
    """Return one cycle of the wave at each moment, as the filter leaves it: (moments, cycle)."""
    n_harmonics = int(np.clip(18000 / f0_hz, 1, _TABLE // 4))
    numbers = np.arange(1, n_harmonics + 1)
    sweep = np.exp(-moments / patch.sweep_seconds) * patch.sweep_octaves
    cutoff = 2 ** (patch.cutoff_octaves + sweep)  # in multiples of the note's frequency
    ratio = numbers / cutoff[:, None]
    gain = (1 + patch.resonance * np.exp(-(((ratio - 1) * 4) ** 2))) / np.sqrt(1 + ratio**6)
    fading = np.exp(-patch.damping * moments[:, None] * numbers**1.2)
    spectrum = np.zeros((len(moments), _TABLE // 2 + 1), np.complex64)
    spectrum[:, 1 : n_harmonics + 1] = -0.5j * _TABLE * _source(patch, n_harmonics) * gain * fading
    return scipy.fft.irfft(spectrum, _TABLE)


def _envelope(patch: Patch, seconds: float, time: np.ndarray) -> np.ndarray:
    held = patch.sustain + (1 - patch.sustain) * np.exp(-time / patch.decay_seconds)
    rising = np.minimum(1, time / patch.attack_seconds)
    falling = np.clip(1 - (time - seconds) / patch.release_seconds, 0, 1)
    return (held * rising * falling**2).astype(np.float32)


def _play(patch: Patch, note: TimedNote, from_pitch: float) -> Samples:
    """Return one note: one channel, or two if the patch is detuned."""
    n_samples = int((note.seconds + patch.release_seconds) * SAMPLE_RATE_HZ)
    time = np.arange(n_samples) / SAMPLE_RATE_HZ
    f0_hz = 440 * 2 ** ((note.pitch - 69) / 12)
    cycles = f0_hz * time
    if patch.glide_seconds and from_pitch != note.pitch:
        semitones = (from_pitch - note.pitch) * np.exp(-time / (patch.glide_seconds / 2))
        cycles = np.cumsum(f0_hz * 2 ** (semitones / 12)) / SAMPLE_RATE_HZ
    if patch.vibrato_cents:
        depth = patch.vibrato_cents / 1200 * np.log(2) * f0_hz / (2 * np.pi * 5.3)
        cycles = cycles + depth * np.minimum(1, time / 0.5) * np.sin(2 * np.pi * 5.3 * time)
    envelope = _envelope(patch, note.seconds, time) * np.float32(note.velocity)
    half = patch.detune_cents / 2400
    rates = (1.0,) if half == 0 else (2.0**half, 2.0**-half)
    if patch.wave == "fm":
        depth = patch.fm_depth * np.exp(-time / max(patch.sweep_seconds, 0.05)) * note.velocity
        depth = np.minimum(depth, 8000 / (patch.fm_ratio * f0_hz))
        bent = depth * np.sin((2 * np.pi * patch.fm_ratio) * cycles)
        rows = [np.sin(2 * np.pi * cycles * rate + bent) for rate in rates]
        return np.stack(rows).astype(np.float32) * envelope
    moments = note.seconds * np.linspace(0, 1, _N_MOMENTS) ** 2
    table = _cycles(patch, f0_hz, moments).astype(np.float32).ravel()
    row = np.sqrt(np.minimum(time / note.seconds, 1)) * (_N_MOMENTS - 1.001)
    first = row.astype(np.intp)
    part = (row - first).astype(np.float32)
    rows = []
    for rate in rates:
        phase = cycles * rate
        index = ((phase - np.floor(phase)) * _TABLE).astype(np.intp) + first * _TABLE
        rows.append(table.take(index) * (1 - part) + table.take(index + _TABLE) * part)
    return np.stack(rows) * envelope


def play_patch(patch: Patch, notes: Sequence[TimedNote], n_samples: int, random: Random) -> Samples:
    """Play notes; equal ones that follow each other sound alike but for their phase."""
    out = np.zeros((2, n_samples), np.float32)
    made: dict[tuple[float, ...], Samples] = {}
    before = notes[0].pitch if notes else 0.0
    for note in notes:
        key = (note.pitch, round(note.seconds, 2), round(note.velocity, 1), before)
        if not patch.glide_seconds:
            key = (*key[:3], 0)
        if key not in made:
            if len(made) > 64:
                made.clear()
            made[key] = _play(patch, TimedNote(0, key[1], key[0], max(0.1, key[2])), key[3])
            if not patch.glide_seconds:
                skip = int(random.integers(0, 40))  # so that chords do not start in phase
                made[key] = made[key][:, skip:]
        played = made[key]
        first = int(note.start_seconds * SAMPLE_RATE_HZ)
        last = min(n_samples, first + played.shape[1])
        if last > first:
            out[:, first:last] += played[:, : last - first]
        before = note.pitch
    return out
