"""What is measured of a track is what was put into it, and nothing is said where nothing is."""

from __future__ import annotations

import numpy as np
import pytest

from stemlight.training.facts import measure_facts

RATE = 22_050
MAJOR, MINOR = (0, 4, 7), (0, 3, 7)
CADENCES = {  # chords as (root, thirds) above the tonic
    "major": [(0, MAJOR), (5, MAJOR), (7, MAJOR), (0, MAJOR)],
    "minor": [(0, MINOR), (5, MINOR), (7, MINOR), (0, MINOR)],
}


def stereo(mono):
    return np.stack([mono, mono]).astype(np.float32)


def clicks(tempo_bpm, seconds=12.0):
    """Make bursts of noise, one each beat, the first of four louder."""
    noise = np.random.default_rng(0)
    samples = np.zeros(int(seconds * RATE))
    burst = int(0.05 * RATE)
    for beat in range(int(seconds * tempo_bpm / 60)):
        start = int(beat * 60 / tempo_bpm * RATE)
        piece = noise.normal(0, 0.1, burst) * np.exp(-np.arange(burst) / (0.01 * RATE))
        n_left = min(burst, len(samples) - start)
        samples[start : start + n_left] += (1.5 if beat % 4 == 0 else 1.0) * piece[:n_left]
    return stereo(samples)


def cadence(tonic, mode, tuning_cents=0.0):
    """Play four chords with a bass, each tone with a few overtones, for a second each."""
    time = np.arange(RATE) / RATE
    chords = []
    for root, intervals in CADENCES[mode]:
        pitches = [root - 12, *(root + interval for interval in intervals)]
        chord = np.zeros(RATE)
        for pitch in pitches:
            frequency = 261.63 * 2 ** ((pitch + tonic + tuning_cents / 100) / 12)
            for overtone in (1, 2, 3):
                chord += np.sin(2 * np.pi * overtone * frequency * time) / overtone**2
        chords.append(0.05 * chord)
    return stereo(np.concatenate(2 * chords))


@pytest.mark.parametrize("tempo_bpm", [72.0, 98.5, 120.0, 137.0, 171.0])
def test_the_tempo_of_clicks_is_found_to_half_a_percent(tempo_bpm):
    found = measure_facts(clicks(tempo_bpm), {}, RATE).tempo_bpm
    octave = round(np.log2(found / tempo_bpm))  # half and double are as good
    assert found == pytest.approx(tempo_bpm * 2.0**octave, rel=0.005)


def test_a_medium_tempo_is_not_taken_for_its_half_or_double():
    for tempo_bpm in (90.0, 120.0, 150.0):
        assert measure_facts(clicks(tempo_bpm), {}, RATE).tempo_bpm == pytest.approx(
            tempo_bpm, rel=0.005
        )


@pytest.mark.parametrize("mode", ["major", "minor"])
def test_the_key_of_a_cadence_is_found_and_transposing_moves_it(mode):
    for tonic in range(12):
        facts = measure_facts(cadence(tonic, mode), {}, RATE)
        assert facts.key == tonic + (12 if mode == "minor" else 0)


@pytest.mark.parametrize("cents", [-40, 30])
def test_the_key_does_not_depend_on_the_tuning(cents):
    assert measure_facts(cadence(2, "major", cents), {}, RATE).key == 2


def test_drums_have_no_say_in_the_key():
    song = cadence(4, "minor")
    time = np.arange(song.shape[1]) / RATE
    drums = stereo(0.5 * np.sin(2 * np.pi * 233.08 * time))  # a tuned tom, far from E minor
    assert measure_facts(song + drums, {}, RATE).key != 16
    assert measure_facts(song + drums, {"drums": drums}, RATE).key == 16


def test_noise_has_neither_tempo_nor_key():
    noise = np.random.default_rng(1).normal(0, 0.1, (2, 10 * RATE)).astype(np.float32)
    facts = measure_facts(noise, {}, RATE)
    assert (facts.tempo_bpm, facts.key) == (None, None)


@pytest.mark.parametrize("n_samples", [0, 100, 3 * RATE])
def test_silence_of_any_length_has_no_facts(n_samples):
    silence = np.zeros((2, n_samples), np.float32)
    facts = measure_facts(silence, {"bass": silence}, RATE)
    assert (facts.tempo_bpm, facts.key, facts.level_db) == (None, None, {})


def test_a_level_is_that_of_where_the_stem_sounds():
    tone = stereo(0.1 * np.sin(np.arange(10 * RATE) * 0.05))
    rare = tone.copy()
    rare[:, 2 * RATE :] = 0
    levels = measure_facts(tone, {"other": tone, "vocals": rare, "bass": 0 * tone}, RATE).level_db
    assert levels == {"other": pytest.approx(-23, abs=0.1), "vocals": pytest.approx(-23, abs=0.1)}
