"""The plan of a song: its kind, key, tempo, sections, chords, and who plays where."""

from __future__ import annotations

from dataclasses import dataclass

from stemlight.synthesis.genres import GENRES, Genre
from stemlight.synthesis.harmony import Chord, ChordSpan, Key, progression
from stemlight.synthesis.notes import Clock, Random, choose

__all__ = ["BAR_BEATS", "STEMS", "Section", "SongPlan", "draw_plan"]

STEMS = ("vocals", "drums", "bass", "other")
BAR_BEATS = 4
_TAIL_SECONDS = 1.0

# Energy of each kind of section, and how often a stem sounds in it.
_KINDS = {
    "intro": (0.4, {"vocals": 0.15, "drums": 0.6, "bass": 0.5, "other": 0.97}),
    "verse": (0.5, {"vocals": 0.95, "drums": 0.93, "bass": 0.9, "other": 0.93}),
    "rise": (0.65, {"vocals": 0.93, "drums": 0.9, "bass": 0.85, "other": 0.96}),
    "chorus": (0.9, {"vocals": 0.97, "drums": 0.99, "bass": 0.99, "other": 0.98}),
    "bridge": (0.55, {"vocals": 0.85, "drums": 0.75, "bass": 0.8, "other": 0.93}),
    "break": (0.3, {"vocals": 0.5, "drums": 0.35, "bass": 0.4, "other": 0.85}),
    "solo": (0.8, {"vocals": 0.15, "drums": 0.97, "bass": 0.97, "other": 0.99}),
    "outro": (0.5, {"vocals": 0.4, "drums": 0.75, "bass": 0.7, "other": 0.95}),
}
_FORMS = (
    "intro verse chorus verse chorus bridge chorus outro",
    "intro verse rise chorus verse rise chorus break chorus",
    "chorus verse chorus solo chorus outro",
    "intro verse verse chorus verse chorus solo chorus",
    "verse rise chorus break chorus chorus",
    "intro chorus verse chorus break chorus outro",
    "verse chorus verse chorus bridge solo chorus",
    "break rise chorus verse rise chorus",
)


@dataclass(frozen=True, kw_only=True)
class Section:
    """Some bars that belong together."""

    kind: str
    first_bar: int
    n_bars: int
    energy: float
    chords: tuple[ChordSpan, ...]
    sounding: frozenset[str]  # stems
    stop: frozenset[str]  # stems that pause in the last bar

    @property
    def first_beat(self) -> float:
        """Where it starts."""
        return float(self.first_bar * BAR_BEATS)

    @property
    def end_beat(self) -> float:
        """Where the next one starts."""
        return float((self.first_bar + self.n_bars) * BAR_BEATS)

    def chords_of(self, stem: str) -> list[ChordSpan]:
        """Return the chords while a stem sounds; none where it is silent."""
        if stem not in self.sounding:
            return []
        end = self.end_beat - (BAR_BEATS if stem in self.stop else 0)
        return [span for span in self.chords if span.beat + span.beats <= end + 1e-6]


@dataclass(frozen=True, kw_only=True)
class SongPlan:
    """What is settled before the first note."""

    genre_name: str
    key: Key
    clock: Clock
    sections: tuple[Section, ...]

    @property
    def genre(self) -> Genre:
        """The settings of its kind."""
        return GENRES[self.genre_name]

    @property
    def seconds(self) -> float:
        """How long it lasts, with the last notes ringing."""
        return self.clock.seconds(self.sections[-1].end_beat) + _TAIL_SECONDS


def draw_plan(random: Random, shortest_seconds: float, longest_seconds: float) -> SongPlan:
    """Draw a song that lasts about as long as wanted: whole sections, the last one cut to bars."""
    name = choose(random, list(GENRES), [genre.weight for genre in GENRES.values()])
    genre = GENRES[name]
    tempo_bpm = round(float(random.uniform(*genre.tempo_bpm)), 2)
    if genre.looseness < 0.3:
        tempo_bpm = float(round(tempo_bpm))
    key = Key(
        int(random.integers(12)), choose(random, list(genre.modes), list(genre.modes.values()))
    )
    swings = random.random() < genre.swing_chance
    clock = Clock(
        tempo_bpm=tempo_bpm,
        swing=float(random.uniform(0.1, 0.36)) if swings else 0.0,
        swing_beats=0.25 if tempo_bpm < 110 else 0.5,
        drift=float(random.uniform(0, 0.012)) * genre.looseness,
    )
    seconds = float(random.uniform(shortest_seconds, longest_seconds)) - _TAIL_SECONDS
    n_bars = max(2, round(seconds / (BAR_BEATS * 60 / tempo_bpm)))
    return SongPlan(
        genre_name=name, key=key, clock=clock, sections=_draw_sections(random, genre, key, n_bars)
    )


def _draw_sections(random: Random, genre: Genre, key: Key, n_bars: int) -> tuple[Section, ...]:
    form = choose(random, _FORMS).split()
    skipped = int(random.integers(0, max(1, len(form) - 3)))
    form = form[skipped:] + form
    shared = [progression(random, key, colour=genre.colour) for _ in range(3)]
    chords_of = {kind: choose(random, shared) for kind in _KINDS}
    bars_per_chord = choose(random, (1, 1, 1, 2, 0.5))
    sections: list[Section] = []
    bar = 0
    while bar < n_bars:
        kind = form[len(sections) % len(form)]
        length = min(choose(random, (4, 4, 8, 8) if n_bars > 24 else (2, 4, 4)), n_bars - bar)
        energy, chances = _KINDS[kind]
        energy = min(1.0, max(0.1, energy + 0.12 * float(random.standard_normal())))
        sounding = {stem for stem in STEMS if random.random() < chances[stem]}
        stop = set()
        if random.random() < 0.12:
            stop = {stem for stem in STEMS if random.random() < 0.5}
        sections.append(
            Section(
                kind=kind,
                first_bar=bar,
                n_bars=length,
                energy=energy,
                chords=_spans(chords_of[kind], bar, length, bars_per_chord),
                sounding=frozenset(sounding or {"other"}),
                stop=frozenset(stop if length > 1 else ()),
            )
        )
        bar += length
    return _with_all_stems(sections)


def _with_all_stems(sections: list[Section]) -> tuple[Section, ...]:
    """Let every stem sound somewhere: in the section of most energy, if nowhere else."""
    peak = max(range(len(sections)), key=lambda i: (sections[i].energy, -i))
    heard = frozenset().union(*(section.sounding - section.stop for section in sections))
    missing = frozenset(STEMS) - heard
    if missing:
        section = sections[peak]
        sections[peak] = Section(
            kind=section.kind,
            first_bar=section.first_bar,
            n_bars=section.n_bars,
            energy=section.energy,
            chords=section.chords,
            sounding=section.sounding | missing,
            stop=section.stop - missing,
        )
    return tuple(sections)


def _spans(
    chords: list[Chord], first_bar: int, n_bars: int, bars_per_chord: float
) -> tuple[ChordSpan, ...]:
    """Lay a progression over bars; no chord goes over a bar line."""
    spans = []
    per_bar = 2 if bars_per_chord < 1 else 1
    beats = BAR_BEATS / per_bar
    for index in range(n_bars * per_bar):
        number = int(index / max(1, bars_per_chord)) % len(chords)
        beat = first_bar * BAR_BEATS + index * beats
        spans.append(ChordSpan(beat, beats, chords[number]))
    return tuple(spans)
