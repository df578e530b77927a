"""Keys, chords and chord progressions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

from stemlight.synthesis.notes import Random, choose

__all__ = ["MODES", "Chord", "ChordSpan", "Key", "parse_chord", "progression", "voicing"]

MODES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "harmonic-minor": (0, 2, 3, 5, 7, 8, 11),
}

_MAJOR_DEGREES = {"I": 0, "II": 2, "III": 4, "IV": 5, "V": 7, "VI": 9, "VII": 11}
_QUALITIES = {
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "7": (0, 4, 7, 10),
    "m7": (0, 3, 7, 10),
    "maj7": (0, 4, 7, 11),
    "sus4": (0, 5, 7),
    "sus2": (0, 2, 7),
    "add9": (0, 4, 7, 14),
    "madd9": (0, 3, 7, 14),
    "9": (0, 4, 7, 10, 14),
    "m9": (0, 3, 7, 10, 14),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "5": (0, 7),
}
_ROMAN = re.compile(r"(b|#)?(VII|VI|IV|V|III|II|I|vii|vi|iv|v|iii|ii|i)(.*)")

# Degrees are counted from the major scale: the sixth step of minor is bVI.
_PROGRESSIONS = {
    "major": (
        "I V vi IV|vi IV I V|I vi IV V|I IV V IV|I IV vi V|IV I V vi|I iii IV V|I V IV IV|"
        "I I IV V|ii V I vi|IV V iii vi|I iii IV iv|I III IV iv|I bVII IV I|I V ii IV|vi V IV V|"
        "I IV I V|I II IV I|IV iv I I|I vi ii V|bVI bVII I I|I Vsus4 vi IV|I I7 IV iv"
    ),
    "minor": (
        "i bVI bIII bVII|i bVII bVI V|i iv bVII bIII|i bVI bVII i|i v bVI bVII|i iv v i|"
        "i bIII bVII iv|bVI bVII i i|i i bVI bVII|i bVII bVI bVII|i iv i V|i bVI iv V|i i i i|"
        "i bIII iv bVI|bVI i bVII iv|i bVII iv bVI|i ii bVI V"
    ),
    "dorian": "i IV i IV|i bVII IV i|i ii bIII IV|i IV bVII i|i v IV i|i i IV IV",
    "mixolydian": "I bVII IV I|I bVII I bVII|I v IV I|I IV bVII IV|I7 IV7 I7 V7|I7 I7 IV7 I7",
    "phrygian": "i bII i bII|i bII bIII bII|i i bII bvii|i bVI bII i",
    "harmonic-minor": "i iv V i|i bVI iv V|i V i V|i bVI V V|i iv bVI V",
}


class Key(NamedTuple):
    """A tonic (pitch class, 0 is C) and a mode."""

    tonic: int
    mode: str

    @property
    def scale(self) -> tuple[int, ...]:
        """Pitch classes of the scale, from the tonic on."""
        return tuple((self.tonic + step) % 12 for step in MODES[self.mode])

    @property
    def is_minor(self) -> bool:
        """Whether the third is minor."""
        return 3 in MODES[self.mode]


class Chord(NamedTuple):
    """A root (pitch class) and the intervals above it in semitones."""

    root: int
    intervals: tuple[int, ...]

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """What it consists of."""
        return tuple((self.root + interval) % 12 for interval in self.intervals)


@dataclass(frozen=True)
class ChordSpan:
    """A chord and when it sounds, in beats."""

    beat: float
    beats: float
    chord: Chord


def parse_chord(numeral: str, tonic: int) -> Chord:
    """Read a Roman numeral such as `bVII`, `iv` or `V7`; small letters are minor."""
    match = _ROMAN.fullmatch(numeral)
    assert match, numeral
    accidental, roman, quality = match.groups()
    shift = {"b": -1, "#": 1, None: 0}[accidental]
    root = (tonic + _MAJOR_DEGREES[roman.upper()] + shift) % 12
    if roman.islower() and quality not in ("dim",):
        quality = f"m{quality}"
    return Chord(root, _QUALITIES[quality])


def progression(random: Random, key: Key, *, colour: float) -> list[Chord]:
    """Draw a progression of the mode; `colour` is the chance of a seventh or ninth for a chord."""
    numerals = choose(random, _PROGRESSIONS[key.mode].split("|")).split()
    if random.random() < 0.25:  # twice as long, the second half with another end
        other = choose(random, _PROGRESSIONS[key.mode].split("|")).split()
        numerals = [*numerals, *numerals[:2], *other[2:]]
    return [_coloured(random, parse_chord(numeral, key.tonic), colour) for numeral in numerals]


def _coloured(random: Random, chord: Chord, colour: float) -> Chord:
    if random.random() > colour or len(chord.intervals) != 3:
        return chord
    minor = 3 in chord.intervals
    names = ("m7", "m9", "madd9") if minor else ("maj7", "add9", "sus2", "sus4", "maj7")
    return Chord(chord.root, _QUALITIES[choose(random, names)])


def voicing(chord: Chord, lowest: int, n_notes: int, *, spread: bool = False) -> list[int]:
    """Stack the chord's pitches from `lowest` on; `spread` leaves out every second one."""
    classes = set(chord.pitch_classes)
    above = [pitch for pitch in range(lowest, lowest + 60) if pitch % 12 in classes]
    if spread:
        above = above[:1] + above[2::2]
    return above[:n_notes]
