"""What is composed: harmony, lines, grooves and time, checked as notes."""

from __future__ import annotations

import numpy as np
import pytest

from stemlight.synthesis.arrangement import STEMS, draw_plan
from stemlight.synthesis.drumming import drum_hits
from stemlight.synthesis.grooves import FAMILIES, PIECES, drum_fill
from stemlight.synthesis.harmony import MODES, Chord, ChordSpan, Key, parse_chord, progression
from stemlight.synthesis.lines import BASS_STYLES, CHORD_STYLES, bass_line, chord_part
from stemlight.synthesis.melody import harmony_voice, vocal_line
from stemlight.synthesis.notes import Clock, Note, random_of

C_MAJOR = Key(0, "major")


def four_bars(random, key):
    chords = progression(random, key, colour=0.5)
    return [ChordSpan(4.0 * bar, 4.0, chords[bar % len(chords)]) for bar in range(4)]


@pytest.mark.parametrize(
    ("numeral", "expected"),
    [
        ("I", Chord(0, (0, 4, 7))),
        ("bVII", Chord(10, (0, 4, 7))),
        ("vi", Chord(9, (0, 3, 7))),
        ("V7", Chord(7, (0, 4, 7, 10))),
        ("iv", Chord(5, (0, 3, 7))),
    ],
)
def test_a_numeral_is_the_chord_that_theory_says(numeral, expected):
    assert parse_chord(numeral, tonic=0) == expected
    assert parse_chord(numeral, tonic=3).root == (expected.root + 3) % 12


@pytest.mark.parametrize("mode", MODES)
def test_progressions_can_be_read_and_move_with_the_key(mode):
    for index in range(20):
        low = progression(random_of(index), Key(0, mode), colour=0.4)
        high = progression(random_of(index), Key(5, mode), colour=0.4)
        assert [(c.root + 5) % 12 for c in low] == [c.root for c in high]


@pytest.mark.parametrize("style", CHORD_STYLES)
def test_chord_parts_play_nothing_but_the_chords(style):
    random = random_of(1, style)
    spans = four_bars(random, C_MAJOR)
    notes = chord_part(random, spans, style, 48, 4)
    assert notes
    for note in notes:
        chord = max((s for s in spans if s.beat <= note.beat + 1e-6), key=lambda s: s.beat).chord
        allowed = {*chord.pitch_classes, (chord.root + 7) % 12 if style == "power" else chord.root}
        assert note.pitch % 12 in allowed
        assert 0 <= note.beat < 16.2


@pytest.mark.parametrize("style", BASS_STYLES)
def test_basses_start_each_chord_on_its_root_or_near_it_and_stay_low(style):
    spans = four_bars(random_of(2, style), C_MAJOR)
    notes = bass_line(random_of(3, style), spans, C_MAJOR, style, 28)
    assert min(note.pitch for note in notes) >= 28
    assert max(note.pitch for note in notes) <= 28 + 12 + 14
    roots = sum(
        any(
            note.pitch % 12 == span.chord.root
            for note in notes
            if span.beat <= note.beat < span.beat + 4
        )
        for span in spans
    )
    assert roots == len(spans)


def test_melodies_keep_to_scale_or_chord_and_harmonies_to_the_scale():
    for index in range(8):
        random = random_of(index, "tune")
        key = Key(int(random.integers(12)), "minor")
        spans = four_bars(random, key)
        tones = {*key.scale, *(tone for span in spans for tone in span.chord.pitch_classes)}
        sung = vocal_line(random, spans, key, 50, energy=0.7)
        assert {item.note.pitch % 12 for item in sung} <= tones
        assert all(50 <= item.note.pitch < 50 + 17 for item in sung)
        above = harmony_voice(sung, key, 2)
        assert {item.note.pitch % 12 for item in above} <= set(key.scale)


def test_grooves_are_bars_of_sixteen_or_twelve_steps():
    for patterns in FAMILIES.values():
        for kick, snare in patterns:
            assert len(kick) == len(snare)
            assert len(kick) in (12, 16)
            assert set(kick + snare) <= set("Xxo-.")


def test_fills_end_where_the_bar_ends():
    for index in range(30):
        hits = drum_fill(random_of(index), 2.0, 2.0)
        assert all(2.0 <= hit.beat < 4.0 and hit.piece in PIECES for hit in hits)


def test_drums_play_on_the_grid_of_the_beats_only_where_they_should():
    plan = draw_plan(random_of(4), 40, 60)
    hits = drum_hits(random_of(5), plan)
    steps = np.array([hit.beat * 48 for hit in hits])  # sixteenths, triplets and rolls of both
    assert np.abs(steps - steps.round()).max() < 1e-6
    for hit in hits:
        section = next(s for s in plan.sections if s.first_beat <= hit.beat < s.end_beat)
        assert "drums" in section.sounding


def test_every_plan_lets_every_stem_sound_and_lasts_as_long_as_wanted():
    for index in range(40):
        plan = draw_plan(random_of(index, "plan"), 30, 40)
        assert all(any(section.chords_of(stem) for section in plan.sections) for stem in STEMS)
        assert 25 < plan.seconds < 46  # whole bars
        low, high = plan.genre.tempo_bpm
        assert low - 0.5 <= plan.clock.tempo_bpm <= high + 0.5


def test_a_straight_clock_keeps_its_tempo_and_a_swinging_one_delays_the_offbeats():
    straight, swinging = Clock(120), Clock(120, swing=1 / 3)
    assert straight.seconds(8) == pytest.approx(4)
    assert swinging.seconds(8) == pytest.approx(4)
    assert straight.seconds(0.5) == pytest.approx(0.25)
    assert swinging.seconds(0.5) == pytest.approx(0.5 * 2 / 3)


def test_players_are_late_by_their_lag_and_spread():
    notes = [Note(beat, 1, 60, 0.5) for beat in range(8, 400)]
    played = Clock(120).play(notes, random_of(6), spread_seconds=0.01, lag_seconds=0.02)
    late = np.array([p.start_seconds - n.beat / 2 for p, n in zip(played, notes, strict=True)])
    assert late.mean() == pytest.approx(0.02, abs=0.002)
    assert late.std() == pytest.approx(0.01, abs=0.002)
