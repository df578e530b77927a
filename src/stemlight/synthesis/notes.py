"""What is played: notes and hits in beats, and the clock that gives them their place in time."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np

__all__ = [
    "SAMPLE_RATE_HZ",
    "Clock",
    "Hit",
    "Note",
    "Random",
    "TimedNote",
    "choose",
    "random_of",
]

SAMPLE_RATE_HZ = 44100
"""Rate of all that is made here."""

Random = np.random.Generator
_T = TypeVar("_T")


class Note(NamedTuple):
    """A pitch in a score; `beat` counts from the start of the song."""

    beat: float
    beats: float
    pitch: int  # MIDI number
    velocity: float  # 0 to 1


class Hit(NamedTuple):
    """A stroke on a piece of the drum kit."""

    beat: float
    piece: str
    velocity: float  # 0 to 1


class TimedNote(NamedTuple):
    """A note as it is played."""

    start_seconds: float
    seconds: float
    pitch: float
    velocity: float


def random_of(*key: int | str) -> Random:
    """Return the generator that belongs to this key alone, whatever else was drawn before."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def choose(random: Random, options: Sequence[_T], weights: Sequence[float] | None = None) -> _T:
    """Draw one of the options, of any type."""
    shares = None if weights is None else np.asarray(weights, float) / np.sum(weights)
    return options[int(random.choice(len(options), p=shares))]


@dataclass(frozen=True)
class Clock:
    """Turns beats into seconds: tempo, a slow drift around it, and swing."""

    tempo_bpm: float
    swing: float = 0.0  # 0 is straight, 1/3 puts the second eighth on the third triplet
    swing_beats: float = 0.5  # the value that swings: eighths or sixteenths
    drift: float = 0.0  # share of the tempo by which a band runs ahead and falls behind
    drift_beats: float = 64.0

    def seconds(self, beat: float) -> float:
        """Return when a beat comes."""
        pair = 2 * self.swing_beats
        whole, inside = divmod(beat + 1e-9, pair)
        middle = self.swing_beats * (1 + self.swing)
        if inside < self.swing_beats:
            inside *= middle / self.swing_beats
        else:
            inside = middle + (inside - self.swing_beats) * (pair - middle) / self.swing_beats
        straight = (whole * pair + inside) * 60 / self.tempo_bpm
        wave = self.drift_beats * 60 / self.tempo_bpm
        return float(
            straight + self.drift * wave / (2 * np.pi) * np.sin(2 * np.pi * straight / wave)
        )

    def play(
        self, notes: Sequence[Note], random: Random, *, spread_seconds: float, lag_seconds: float
    ) -> list[TimedNote]:
        """Place notes in time as a player would: a little late or early, each a little else."""
        late = lag_seconds + spread_seconds * random.standard_normal(len(notes))
        force = 1 + 0.08 * random.standard_normal(len(notes))
        played = []
        for note, offset, factor in zip(notes, late, force, strict=True):
            start = max(0.0, self.seconds(note.beat) + float(offset))
            end = self.seconds(note.beat + note.beats)
            velocity = min(1.0, max(0.05, note.velocity * float(factor)))
            played.append(TimedNote(start, max(0.03, end - start), note.pitch, velocity))
        return played
