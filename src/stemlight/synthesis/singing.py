"""The singers of a song: who sings, what, with how many voices, and where they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stemlight.synthesis.arrangement import Section, SongPlan
from stemlight.synthesis.chains import active_level
from stemlight.synthesis.effects import Samples, pan
from stemlight.synthesis.melody import Sung, harmony_voice, hum_line, rap_line, vocal_line
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, Clock, Random, choose
from stemlight.synthesis.sinsy import COMFORTABLE_PITCH, sing_with_sinsy
from stemlight.synthesis.voices import Syllable, Voice, draw_voice, sing

__all__ = ["Singers", "draw_singers", "sing_song"]

_SINSY_SHARE = 0.25  # of the songs that are sung; it takes longer than the formant singer


@dataclass(frozen=True, kw_only=True)
class Singers:
    """Who sings in a song, and how."""

    style: str  # sung, rap, shout, hum
    lead: Voice
    backing: tuple[Voice, ...]
    lowest: int
    doubles: bool
    harmony_steps: tuple[int, ...]
    oohs: bool
    answers: bool  # ad-libs between the phrases
    sinsy_lower: float | None = None  # Sinsy sings the lead, made larger by so many semitones


def draw_singers(random: Random, plan: SongPlan, *, has_sinsy: bool) -> Singers:
    """Draw singers that suit the kind of music; Sinsy is one of them if it is there."""
    styles = plan.genre.vocals
    style = choose(random, list(styles), list(styles.values()))
    is_high = random.random() < 0.45
    tract = float(random.uniform(1.1, 1.26) if is_high else random.uniform(0.92, 1.07))
    roughness = float(random.uniform(0.35, 1.0)) if style == "shout" else 0.0
    if style == "sung" and random.random() < 0.15:
        roughness = float(random.uniform(0.05, 0.25))
    tonic = plan.key.tonic
    base = int(random.integers(53, 60) if is_high else random.integers(43, 52))
    lowest = base if style in ("rap", "shout") else base + (tonic - base) % 12 % 5
    backing = tuple(
        draw_voice(random, tract=tract * float(random.uniform(0.92, 1.1))) for _ in range(3)
    )
    sinsy_lower = None
    if random.random() < _SINSY_SHARE and style == "sung" and has_sinsy:
        sinsy_lower = float(random.uniform(-3, 5))
        lowest = COMFORTABLE_PITCH - 7 - round(sinsy_lower)
    return Singers(
        sinsy_lower=sinsy_lower,
        style=style,
        lead=draw_voice(random, tract=tract, roughness=roughness),
        backing=backing,
        lowest=lowest,
        doubles=bool(random.random() < 0.4),
        harmony_steps=choose(random, ((), (), (2,), (-3,), (2, 4), (2, -3))),
        oohs=bool(random.random() < 0.2),
        answers=bool(random.random() < 0.15),
    )


def _lines(random: Random, plan: SongPlan, singers: Singers) -> list[tuple[Section, list[Sung]]]:
    """Write the lead: sections of a kind share their tune, choruses their words too."""
    written: dict[tuple[str, int], list[Sung]] = {}
    lines = []
    for section in plan.sections:
        spans = section.chords_of("vocals")
        if not spans:
            continue
        style = singers.style
        if style == "rap" and section.kind == "chorus" and random.random() < 0.5:
            style = "sung"
        key = (section.kind, len(spans))
        if section.kind == "chorus" and key in written:
            shift = section.first_beat - written[key][0].note.beat // 4 * 4 if written[key] else 0
            line = [
                item._replace(note=item.note._replace(beat=item.note.beat + shift))
                for item in written[key]
            ]
            line = [item for item in line if item.note.beat < section.end_beat]
        elif style in ("rap", "shout"):
            line = rap_line(random, spans, singers.lowest + 5, energy=section.energy)
        elif style == "hum":
            line = hum_line(random, spans, singers.lowest + 3)
        else:
            line = vocal_line(random, spans, plan.key, singers.lowest, energy=section.energy)
        written.setdefault(key, line)
        lines.append((section, line))
    return lines


def _timed(random: Random, clock: Clock, line: Sequence[Sung], spread: float) -> list[Syllable]:
    """Place syllables in time; each ends where the next begins, at the latest."""
    starts = [
        clock.seconds(item.note.beat) + spread * float(random.standard_normal()) for item in line
    ]
    timed = []
    for index, (item, start) in enumerate(zip(line, starts, strict=True)):
        seconds = clock.seconds(item.note.beat + item.note.beats) - clock.seconds(item.note.beat)
        if index + 1 < len(line):
            seconds = min(seconds, starts[index + 1] - start)
        timed.append(
            Syllable(
                max(0.0, start), max(0.06, seconds), item.note.pitch, item.note.velocity,
                item.consonant, item.vowel, item.coda,
            )
        )  # fmt: skip
    return timed


def _sing_sections(
    random: Random,
    plan: SongPlan,
    lines: Sequence[tuple[Section, list[Sung]]],
    lower: float,
    n_samples: int,
) -> np.ndarray:
    """Sing each section with Sinsy; what comes back note for note is sung once."""
    out = np.zeros(n_samples, np.float32)
    made: dict[tuple[tuple[float, float, int], ...], np.ndarray] = {}
    for section, line in lines:
        notes = [item.note for item in line]
        key = tuple((note.beat - section.first_beat, note.beats, note.pitch) for note in notes)
        if key and key not in made:
            made[key] = sing_with_sinsy(
                random, line, plan.clock.tempo_bpm, section.first_beat, lower=lower
            )
        row = made.get(key, np.zeros(0, np.float32))
        first = int(plan.clock.seconds(section.first_beat) * SAMPLE_RATE_HZ)
        last = min(n_samples, first + len(row))
        out[first:last] += row[: max(0, last - first)] * np.float32(0.6 + 0.4 * section.energy)
    return out


def sing_song(random: Random, plan: SongPlan, singers: Singers, n_samples: int) -> Samples:
    """Return all voices of a song, dry."""
    clock = plan.clock
    lines = _lines(random, plan, singers)
    lead = [item for _, line in lines for item in line]
    if singers.sinsy_lower is None:
        row = sing(singers.lead, _timed(random, clock, lead, 0.012), n_samples, random)
    else:
        row = _sing_sections(random, plan, lines, singers.sinsy_lower, n_samples)
    out = pan(row, 0.0)
    level = active_level(out)

    def add(voice: Voice, line: Sequence[Sung], place: float, gain_db: float) -> None:
        if not line:
            return
        voiced = pan(sing(voice, _timed(random, clock, line, 0.02), n_samples, random), place)
        loud = active_level(voiced)
        if loud > 0:
            np.add(out, voiced * np.float32(level / loud * 10 ** (gain_db / 20)), out=out)

    loud_lines = [item for section, line in lines if section.energy > 0.7 for item in line]
    if singers.doubles:
        place = float(random.uniform(0, 0.9))
        for side in (-1, 1):
            add(singers.lead, loud_lines or lead, side * place, float(random.uniform(-14, -4)))
    if singers.style == "sung":
        for index, steps in enumerate(singers.harmony_steps):
            place = choose(random, (-1, 1)) * float(random.uniform(0.1, 0.9))
            line = harmony_voice(loud_lines, plan.key, steps)
            add(singers.backing[index], line, place, float(random.uniform(-14, -4)))
    if singers.oohs:
        spans = [s for section in plan.sections for s in section.chords_of("vocals")]
        for index in range(int(random.integers(1, 4))):
            line = hum_line(random, spans, singers.lowest + 3 + 3 * index) if spans else []
            place = (-0.8, 0.8, 0.0)[index]
            add(singers.backing[index], line, place, float(random.uniform(-18, -8)))
    if singers.answers:
        answers = [item for item in lead if random.random() < 0.12]
        answers = [i._replace(note=i.note._replace(pitch=i.note.pitch + 7)) for i in answers]
        add(singers.backing[0], answers, float(random.uniform(-1, 1)), -6)
    return out
