"""What voices sing: phrases of syllables over chords, hooks, rhymes that are spoken, and oohs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stemlight.synthesis.harmony import ChordSpan, Key
from stemlight.synthesis.notes import Note, Random, choose

__all__ = ["CONSONANTS", "VOWELS", "Sung", "harmony_voice", "hum_line", "rap_line", "vocal_line"]

VOWELS = ("a", "e", "i", "o", "u", "ae", "uh", "er")
CONSONANTS = (
    "", "p", "b", "t", "d", "k", "g", "m", "n", "l", "r", "w", "j", "s", "z", "sh", "f", "v",
    "th", "h", "ch",
)  # fmt: skip
_OFTEN = (6, 2, 3, 5, 4, 4, 2, 4, 4, 4, 3, 3, 3, 6, 1, 2, 2, 2, 3, 4, 1)

_RHYTHMS = (  # one bar, in sixteenths
    (4, 4, 4, 4), (2, 2, 4, 2, 2, 4), (3, 3, 2, 4, 4), (2, 2, 2, 2, 2, 2, 4), (6, 2, 8),
    (4, 2, 2, 8), (2, 2, 2, 2, 8), (3, 3, 4, 6), (8, 8), (1, 1, 2, 4, 2, 2, 4), (2, 4, 2, 4, 4),
    (12, 4), (3, 1, 3, 1, 4, 4), (16,), (2, 6, 2, 6),
)  # fmt: skip


class Sung(NamedTuple):
    """A note with what is sung on it."""

    note: Note
    consonant: str
    vowel: str
    coda: str = ""


def _syllable(random: Random, note: Note) -> Sung:
    coda = choose(random, CONSONANTS[1:], _OFTEN[1:]) if random.random() < 0.3 else ""
    coda = "" if coda in ("h", "w", "j") else coda
    consonant = choose(random, CONSONANTS, _OFTEN)
    return Sung(note, consonant, choose(random, VOWELS), coda)


def _at(spans: Sequence[ChordSpan], beat: float) -> ChordSpan:
    return next((s for s in reversed(spans) if s.beat <= beat + 1e-6), spans[0])


def vocal_line(
    random: Random, spans: Sequence[ChordSpan], key: Key, lowest: int, *, energy: float
) -> list[Sung]:
    """Sing phrases of two bars; what comes in the third and fourth may repeat the first ones."""
    scale = [p for p in range(lowest, lowest + 17) if p % 12 in key.scale]
    first, end = spans[0].beat, spans[-1].beat + spans[-1].beats
    phrases = [_phrase(random, len(scale), energy) for _ in range(2)]
    order = choose(random, ((0, 1, 0, 1), (0, 0, 1, 0), (0, 0, 0, 1), (0, 1)))
    sung: list[Sung] = []
    for number in range(int((end - first) // 8) or 1):
        start = first + 8 * number
        for offset, beats, place, syllable in phrases[order[number % len(order)]]:
            beat = start + offset
            if beat >= end - 0.2:
                break
            tones = _at(spans, beat).chord.pitch_classes
            pitch = scale[min(len(scale) - 1, place)]
            if (beats >= 1 or beat % 2 == 0) and pitch % 12 not in tones:
                fitting = [p for p in scale if p % 12 in tones]
                pitch = min(fitting, key=lambda p: abs(p - pitch), default=pitch)
            note = Note(beat, min(beats, end - beat), pitch, 0.6 + 0.35 * energy)
            same = random.random() < 0.5 or number == 0  # the words change, the tune stays
            sung.append(syllable._replace(note=note) if same else _syllable(random, note))
    return sung


def _phrase(random: Random, n_places: int, energy: float) -> list[tuple[float, float, int, Sung]]:
    """Draw two bars: (offset, beats, place in the scale, syllable), with a rest to breathe."""
    place = int(n_places * (0.3 + 0.35 * energy))
    phrase = []
    pickup = choose(random, (0.0, 0.0, 0.5, 1.0, 0.25))
    beat = pickup
    limit = choose(random, (6.0, 6.5, 7.0, 7.5))
    rhythm = [length for _ in range(2) for length in choose(random, _RHYTHMS)]
    blank = Note(0, 0, 0, 0)
    for length in rhythm:
        if beat >= limit:
            break
        step = int(choose(random, (-3, -2, -1, 0, 0, 1, 2, 3, 4), (1, 2, 5, 3, 2, 5, 2, 1, 0.6)))
        place = min(n_places - 1, max(0, place + step))
        beats = min(length / 4, limit - beat)
        hold = choose(random, (0.8, 0.95, 1.0))
        phrase.append((beat, beats * hold, place, _syllable(random, blank)))
        beat += length / 4
    return phrase


def rap_line(
    random: Random, spans: Sequence[ChordSpan], pitch: int, *, energy: float
) -> list[Sung]:
    """Speak in sixteenths and triplets around one pitch, with rests at the ends of lines."""
    first, end = spans[0].beat, spans[-1].beat + spans[-1].beats
    sung = []
    for bar in range(int((end - first) // 4)):
        step = choose(random, (0.25, 0.25, 0.25, 1 / 3, 0.5))
        contour = float(random.uniform(-2, 3))
        limit = choose(random, (3.0, 3.5, 4.0))
        beat = choose(random, (0.0, 0.0, 0.25, 0.5))
        while beat < limit - 1e-6:
            length = step * choose(random, (1, 1, 1, 2))
            if random.random() > 0.12:
                accent = 2.0 if abs(beat - round(beat)) < 0.01 else 0.0
                height = pitch + accent + contour * (1 - beat / 2) + random.uniform(-1.5, 1.5)
                note = Note(
                    first + 4 * bar + beat, length * 0.92, round(height), 0.5 + 0.4 * energy
                )
                sung.append(_syllable(random, note))
            beat += length
    return sung


def hum_line(random: Random, spans: Sequence[ChordSpan], lowest: int) -> list[Sung]:
    """Hold a chord tone through each chord, on one vowel: oohs and aahs."""
    vowel = choose(random, ("u", "o", "a", "uh"))
    consonant = choose(random, ("", "h", "m", "w"))
    sung = []
    pitch = lowest + 7
    for span in spans:
        classes = span.chord.pitch_classes[:3]
        near = [p for p in range(lowest, lowest + 16) if p % 12 in classes]
        distances = [abs(p - pitch) + float(random.uniform(0, 2)) for p in near]
        pitch = near[distances.index(min(distances))]
        sung.append(Sung(Note(span.beat, span.beats * 0.95, pitch, 0.6), consonant, vowel))
    return sung


def harmony_voice(sung: Sequence[Sung], key: Key, steps: int) -> list[Sung]:
    """Follow a line some steps of the scale above or below."""
    ladder = [pitch for pitch in range(24, 100) if pitch % 12 in key.scale]
    moved = []
    for item in sung:
        nearest = min(range(len(ladder)), key=lambda i: abs(ladder[i] - item.note.pitch))
        moved.append(item._replace(note=item.note._replace(pitch=ladder[nearest + steps])))
    return moved
