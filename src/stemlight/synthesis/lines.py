"""What basses, guitars, keyboards and the like play over chords."""

from __future__ import annotations

from collections.abc import Sequence

from stemlight.synthesis.harmony import ChordSpan, Key, voicing
from stemlight.synthesis.notes import Note, Random, choose

__all__ = ["BASS_STYLES", "CHORD_STYLES", "bass_line", "chord_part", "lead_line"]

_STRUM_BEATS = 0.015  # between strings

_BASS_RHYTHMS = {  # steps of a sixteenth: r root, f fifth, o octave, s step to the next root, a any
    "eighths": ("r.r.r.r.r.r.r.r.", "r.r.r.r.r.r.r.s.", "r.r.r.r.f.f.r.r."),
    "quarters": ("r...r...r...r...", "r...r...f...s...", "r...f...r...f..."),
    "root-fifth": ("r.....r.f.......", "r.......f.......", "r..r..f.r..r..f."),
    "octaves": ("r.o.r.o.r.o.r.o.", "r.oor.oor.oor.oo", "..o...o...o...o."),
    "sixteenths": ("rrrrrrrrrrrrrrrr", "r.rrr.rrr.rrr.rr", "rrr.rrr.rrr.rro."),
    "syncopated": ("r..r..r.....r.s.", "r.....ro..r...f.", "r..r....r..o..s.", "r.....r...r....."),
    "funk": ("r..o.r..f.r.o.ss", "rr.o..r.r..of.s.", "r...o.rr..a.r.o.", "r.r...oa..r.f.s."),
    "offbeat": ("..r...r...r...r.", "..rr..rr..rr..rr", ".rrr.rrr.rrr.rrr"),
    "dotted": ("r.....r...r.....", "r..r..r..r..r.r.", "r.....r.r.....r."),
    "reggae": ("r...r.f.....r.o.", "....r.r.f...r...", "r.....f.r.r....."),
}
BASS_STYLES = (*_BASS_RHYTHMS, "sustained", "walking", "riff")

_STRUMS = (
    "D...D.U...U.D.U.", "D...D...D...D...", "D.U.D.U.D.U.D.U.", "D...D.U.D...D.U.",
    "D.DUD.DUD.DUD.DU", "D.....D...U.D...", "D.......D.......", "....D.......D...",
)  # fmt: skip
_CHUGS = (
    "m.m.m.m.m.m.m.m.", "P..mP..mP.mmP.mm", "P.mmmmP.mmmmP.mm", "P.......P.......",
    "P...P...P.P.P...", "mmmmmmmmmmmmmmmm", "P.mmP.mmP.mmP.mm", "P.P.P.P.P.P.P.P.",
    "P..P..P.P..P..P.", "P...............",
)  # fmt: skip
_STABS = (
    "..x...x...x...x.", "x..x..x...x.x...", "....x.......x...", "x.....x...x.....",
    "..x..x....x..x..", "x.x..x.x..x..x..", "x.......x.......", ".x.x..x..x.x..x.",
)  # fmt: skip
CHORD_STYLES = ("strum", "power", "stabs", "arpeggio", "sustained", "eighths", "broken")


def _at(spans: Sequence[ChordSpan], beat: float) -> ChordSpan:
    return next((s for s in reversed(spans) if s.beat <= beat + 1e-6), spans[0])


def _steps(spans: Sequence[ChordSpan], pattern: str) -> list[tuple[float, str, float]]:
    """Repeat a bar over the spans: (beat, mark, beats to the next mark)."""
    first, last = spans[0].beat, spans[-1].beat + spans[-1].beats
    marks = []
    n_steps = round((last - first) * 4)
    for step in range(n_steps):
        mark = pattern[step % 16]
        if mark != ".":
            marks.append((first + step / 4, mark))
    ends = [beat for beat, _ in marks[1:]] + [last]
    return [(beat, mark, end - beat) for (beat, mark), end in zip(marks, ends, strict=True)]


def _root(span: ChordSpan, lowest: int) -> int:
    return lowest + (span.chord.root - lowest) % 12


def bass_line(
    random: Random, spans: Sequence[ChordSpan], key: Key, style: str, lowest: int
) -> list[Note]:
    """Play a bass line over chords; `lowest` is the lowest string."""
    staccato = float(random.uniform(0.45, 1.0))
    if style == "sustained":
        return [Note(s.beat, s.beats * 0.97, _root(s, lowest), 0.85) for s in spans]
    if style == "walking":
        return _walking(random, spans, key, lowest)
    if style == "riff":
        pattern = choose(random, ("r.rs..r.a.r.s...", "rr.ra.rr.rs.aa..", "r..a..r.s.a.r..."))
    else:
        pattern = choose(random, _BASS_RHYTHMS[style])
    scale = set(key.scale)
    notes = []
    for beat, mark, gap in _steps(spans, pattern):
        span = _at(spans, beat)
        root = _root(span, lowest)
        following = _root(_at(spans, beat + 1), lowest)
        near = [p for p in range(root - 5, root + 13) if p % 12 in scale and p >= lowest]
        pitch = {
            "r": root,
            "f": root + (6 if 6 in span.chord.intervals else 7),
            "o": root + 12,
            "s": following + choose(random, (-2, -1, 2)) if following != root else root,
            "a": choose(random, near) if near else root,
        }[mark]
        accent = 0.9 if beat % 1 == 0 else 0.75
        notes.append(Note(beat, min(gap, 2.0) * staccato, max(lowest, pitch), accent))
    return notes


def _walking(random: Random, spans: Sequence[ChordSpan], key: Key, lowest: int) -> list[Note]:
    notes = []
    scale = set(key.scale)
    for index, span in enumerate(spans):
        root = _root(span, lowest)
        target = _root(spans[(index + 1) % len(spans)], lowest)
        for step in range(max(1, int(span.beats))):
            if step == 0:
                pitch = root
            elif step == int(span.beats) - 1:
                pitch = target + choose(random, (-1, 1, 2, -2))
            else:
                tones = [p for p in range(lowest, lowest + 17) if p % 12 in scale]
                pitch = choose(random, tones)
            notes.append(Note(span.beat + step, 0.92, max(lowest, pitch), 0.8))
    return notes


def chord_part(
    random: Random, spans: Sequence[ChordSpan], style: str, lowest: int, n_notes: int
) -> list[Note]:
    """Play chords in a style of `CHORD_STYLES`."""
    match style:
        case "strum":
            return _strums(random, spans, lowest, n_notes)
        case "power":
            return _power_chords(random, spans, lowest)
        case "stabs":
            hits = _steps(spans, choose(random, _STABS))
            length = float(random.uniform(0.15, 0.5))
            return [
                Note(beat, min(gap, length), pitch, 0.8)
                for beat, _, gap in hits
                for pitch in voicing(_at(spans, beat).chord, lowest, n_notes)
            ]
        case "arpeggio" | "broken":
            return _arpeggio(random, spans, lowest, n_notes, is_fast=style == "arpeggio")
        case "eighths":
            hits = _steps(spans, choose(random, ("x.x.x.x.x.x.x.x.", "x...x...x...x...")))
            return [
                Note(beat, gap * 0.9, pitch, 0.8 if beat % 1 == 0 else 0.65)
                for beat, _, gap in hits
                for pitch in voicing(_at(spans, beat).chord, lowest, n_notes)
            ]
    spread = random.random() < 0.4
    return [
        Note(span.beat, span.beats * 0.98, pitch, 0.75)
        for span in spans
        for pitch in voicing(span.chord, lowest, n_notes, spread=spread)
    ]


def _strums(random: Random, spans: Sequence[ChordSpan], lowest: int, n_notes: int) -> list[Note]:
    notes = []
    ring = float(random.uniform(0.6, 1.0))
    for beat, mark, gap in _steps(spans, choose(random, _STRUMS)):
        pitches = voicing(_at(spans, beat).chord, lowest, n_notes)
        pitches = pitches if mark == "D" else pitches[: -(len(pitches) // 2) - 1 : -1]
        force = (0.85 if mark == "D" else 0.6) * (1.0 if beat % 2 == 1 else 0.9)
        delay = _STRUM_BEATS * float(random.uniform(0.5, 2))
        for index, pitch in enumerate(pitches):
            notes.append(Note(beat + index * delay, gap * ring, pitch, force))
    return notes


def _power_chords(random: Random, spans: Sequence[ChordSpan], lowest: int) -> list[Note]:
    notes = []
    for beat, mark, gap in _steps(spans, choose(random, _CHUGS)):
        root = _root(_at(spans, beat), lowest)
        if mark == "m":  # palm-muted: short, the root and the fifth
            notes += [Note(beat, min(gap, 0.2), root + step, 0.6) for step in (0, 7)]
        else:
            notes += [Note(beat, gap * 0.95, root + step, 0.95) for step in (0, 7, 12)]
    return notes


def _arpeggio(
    random: Random, spans: Sequence[ChordSpan], lowest: int, n_notes: int, *, is_fast: bool
) -> list[Note]:
    order = choose(random, ("up", "down", "up-down", "any"))
    step_beats = choose(random, (0.25, 0.25, 0.5, 1 / 3) if is_fast else (0.5, 0.5, 1.0))
    ring = choose(random, (0.5, 0.95, 2.0))
    notes = []
    for span in spans:
        pitches = voicing(span.chord, lowest, n_notes)
        if order == "down":
            pitches = pitches[::-1]
        elif order == "up-down":
            pitches = pitches + pitches[-2:0:-1]
        for index in range(int(span.beats / step_beats)):
            pitch = choose(random, pitches) if order == "any" else pitches[index % len(pitches)]
            beat = span.beat + index * step_beats
            notes.append(Note(beat, step_beats * ring, pitch, 0.8 if beat % 1 == 0 else 0.65))
    return notes


def lead_line(
    random: Random, spans: Sequence[ChordSpan], key: Key, lowest: int, *, density: float
) -> list[Note]:
    """Improvise a line over the scale that lands on chord tones; `density` in notes a beat."""
    scale = [p for p in range(lowest, lowest + 22) if p % 12 in key.scale]
    place = len(scale) // 2
    motif = [choose(random, (0.25, 0.5, 0.5, 1.0, 1.5)) for _ in range(int(random.integers(3, 7)))]
    notes = []
    beat, end = spans[0].beat, spans[-1].beat + spans[-1].beats
    index = 0
    while beat < end - 0.25:
        length = motif[index % len(motif)] / max(0.4, density)
        length = max(0.25, round(length * 4) / 4)
        index += 1
        if random.random() < 0.15:
            beat += length
            continue
        place = min(len(scale) - 1, max(0, place + int(random.integers(-2, 3))))
        pitch = scale[place]
        tones = _at(spans, beat).chord.pitch_classes
        if beat % 1 == 0 and pitch % 12 not in tones and random.random() < 0.6:
            pitch = min(
                (p for p in scale if p % 12 in tones), key=lambda p: abs(p - pitch), default=pitch
            )
        notes.append(Note(beat, min(length, end - beat) * 0.95, pitch, 0.8))
        beat += length
    return notes
