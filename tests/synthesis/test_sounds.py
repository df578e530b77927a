"""What sounds: effects against what they promise, and the pitch and time of rendered notes."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import scipy.signal

from stemlight.synthesis import effects
from stemlight.synthesis.chains import active_level
from stemlight.synthesis.drumming import DrawnKit, play_drums
from stemlight.synthesis.electronic import electronic_kit
from stemlight.synthesis.melody import Sung
from stemlight.synthesis.mixing import CEILING, mix_song
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, Clock, Hit, Note, TimedNote, random_of
from stemlight.synthesis.synths import draw_patch, play_patch
from stemlight.synthesis.voices import Syllable, draw_voice, sing


def noise(n_samples=SAMPLE_RATE_HZ, seed=0, gain=0.1):
    shape = (2, n_samples)
    return gain * random_of(seed).standard_normal(shape, dtype=np.float32)


def pitch_of(row):
    """Return the MIDI pitch whose period the signal has."""
    spectrum = np.abs(np.fft.rfft(row * np.hanning(len(row)), 2 * len(row)))
    likeness = np.fft.irfft(spectrum**2)[: len(row)]
    likeness /= likeness[0]
    first = int(np.argmax(likeness < 0.3))
    best = likeness[first : len(row) // 2].max()
    lag = first + int(np.argmax(likeness[first:] > 0.9 * best))
    lag += int(np.argmax(likeness[lag : lag + 20]))
    return 69 + 12 * np.log2(SAMPLE_RATE_HZ / lag / 440)


@pytest.mark.parametrize("n_response", [1, 300, 9000])
def test_convolution_equals_scipy(n_response):
    signal, response = noise(30000), noise(n_response, seed=1)
    expected = scipy.signal.fftconvolve(signal, response, axes=-1)[:, :30000]
    np.testing.assert_allclose(effects.convolve(signal, response), expected, atol=2e-5)


def test_filters_keep_or_take_what_they_should():
    low = effects.filter_response(effects.passing(200, "lowpass"))
    time = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    for frequency_hz, expected_db in ((20, 0), (200, -3), (2000, -40)):
        tone = np.sin(2 * np.pi * frequency_hz * time, dtype=np.float32)[None]
        out = effects.convolve(tone, low)[:, 10000:]
        gain_db = 20 * np.log10(out.std() / tone.std())
        assert gain_db == pytest.approx(expected_db, abs=0.6)


def test_a_bell_and_a_shelf_have_their_gain():
    _, bell = scipy.signal.sosfreqz(effects.peaking(1000, 6, 1), [1000], fs=SAMPLE_RATE_HZ)
    assert 20 * np.log10(abs(bell[0])) == pytest.approx(6, abs=0.01)
    for kind, inside_hz, outside_hz in (("low", 10, 15000), ("high", 20000, 50)):
        sections = effects.shelf(800, -5, kind)
        _, gains = scipy.signal.sosfreqz(sections, [inside_hz, outside_hz], fs=SAMPLE_RATE_HZ)
        assert 20 * np.log10(abs(gains)) == pytest.approx([-5, 0], abs=0.15)


def test_the_limiter_holds_the_ceiling_whatever_comes():
    signal = noise(50077, gain=1.0) * np.repeat([0.01, 3, 0.1, 9, 0.3], 10016)[:50077]
    gain = effects.limiter_gain(signal.astype(np.float32), 0.9)
    assert np.abs(signal * gain).max() <= 0.9 + 1e-6
    assert np.all(effects.limiter_gain(noise(gain=0.01), 0.9) == 1)


def test_the_compressor_reduces_by_its_ratio():
    time = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    tone = np.sin(2 * np.pi * 500 * time, dtype=np.float32)[None]  # peaks at 0 dB
    gain = effects.compressor_gain(
        tone, threshold_db=-12, ratio=4, attack_seconds=0.001, release_seconds=0.05
    )
    assert 20 * np.log10(gain[-5000:].mean()) == pytest.approx(-9, abs=0.2)


def test_echoes_come_after_the_delay_and_fade():
    click = np.zeros((2, 30000), np.float32)
    click[:, 100] = 1
    late = effects.delay(click, seconds=0.2, feedback=0.5, ping_pong=False)
    assert np.abs(late[:, : 100 + 8820]).max() < 1e-6
    peaks = [np.abs(late[0, 8820 * i + 100 :][:4000]).max() for i in (1, 2, 3)]
    assert peaks[1] / peaks[0] == pytest.approx(0.5, abs=0.01)


def test_width_zero_is_mono_and_constant_power_pans():
    narrow = effects.widen(noise(), 0.0)
    np.testing.assert_array_equal(narrow[0], narrow[1])
    for place in (-1, -0.3, 0, 0.8):
        placed = effects.pan(noise()[0], place)
        assert (placed**2).sum() == pytest.approx((noise()[0] ** 2).sum(), rel=1e-4)


def test_saturation_keeps_what_is_soft_and_bends_what_is_loud():
    soft, loud = noise(gain=1e-3), noise(gain=1.0)
    np.testing.assert_allclose(effects.saturate(soft, 2.0), soft, rtol=1e-4, atol=1e-8)
    assert np.abs(effects.saturate(loud, 2.0)).max() <= 0.5


@pytest.mark.parametrize("role", ["bass", "lead", "pluck", "pad", "string", "organ"])
def test_patches_play_the_pitch_for_as_long_as_the_note(role):
    for index in range(4):
        random = random_of(index, role)
        patch = draw_patch(random, role)
        if patch.wave in ("fm", "organ"):  # these may start an octave below
            continue
        sound = play_patch(patch, [TimedNote(0.1, 0.6, 57, 0.8)], SAMPLE_RATE_HZ * 3, random)
        assert not sound[:, :4000].any()
        assert not sound[:, int((0.75 + patch.release_seconds) * SAMPLE_RATE_HZ) :].any()
        assert pitch_of(sound[0, 8000:16000]) == pytest.approx(57, abs=0.35)


def test_a_voice_sings_the_pitch_on_the_beat():
    for index, pitch in enumerate((48, 55, 62)):
        random = random_of(index, "voice")
        voice = draw_voice(random, tract=1.0)
        note = Syllable(0.7, 0.5, pitch, 0.8, "m", "a")
        row = sing(voice, [note], 2 * SAMPLE_RATE_HZ, random)
        middle = row[int(0.85 * SAMPLE_RATE_HZ) :][:6000]
        assert pitch_of(middle) == pytest.approx(pitch, abs=0.8)  # with vibrato
        assert not row[int(1.8 * SAMPLE_RATE_HZ) :].any()


def test_a_voice_is_silent_between_phrases():
    random = random_of(8)
    voice = draw_voice(random, tract=1.1)
    line = [Syllable(start, 0.4, 60, 0.8, "s", "i", "t") for start in (0.6, 4.0)]
    row = sing(voice, line, 6 * SAMPLE_RATE_HZ, random)
    assert not row[int(1.6 * SAMPLE_RATE_HZ) : int(3.2 * SAMPLE_RATE_HZ)].any()


def test_drum_strokes_sound_when_the_clock_says():
    random = random_of(9)
    clock = Clock(100)
    hits = [Hit(beat, "kick", 0.9) for beat in range(8)]
    drawn = DrawnKit(electronic_kit(random))
    sound, kicks = play_drums(random, drawn, hits, clock, 6 * SAMPLE_RATE_HZ)
    assert kicks == pytest.approx([0.6 * beat for beat in range(8)], abs=0.02)
    for seconds in kicks[1:]:
        at = int(seconds * SAMPLE_RATE_HZ)
        assert np.abs(sound[:, at : at + 900]).max() > 2 * np.abs(sound[:, at - 900 : at]).max()


def test_a_mix_keeps_every_sample_below_the_ceiling_and_orders_nothing_else():
    stems = {name: noise(gain=5.0, seed=i) for i, name in enumerate(("vocals", "drums", "bass"))}
    mixed = mix_song(random_of(3), stems)
    total = sum(mixed.values())
    assert np.abs(total).max() <= CEILING + 1e-5
    assert all(np.abs(samples).max() <= CEILING + 1e-5 for samples in mixed.values())
    assert list(mixed) == list(stems)


def test_the_level_is_that_of_what_sounds():
    signal = np.concatenate([noise(88200), np.zeros((2, 441000), np.float32)], axis=1)
    assert active_level(signal) == pytest.approx(0.1, rel=0.02)
    assert active_level(np.zeros((2, 50000), np.float32)) == 0


def test_sinsy_sings_the_same_line_twice_alike():
    if importlib.util.find_spec("pysinsy") is None:
        pytest.skip("pysinsy is not installed")
    from stemlight.synthesis import sinsy

    line = [Sung(Note(8.0 + i, 1.0, 64 + 2 * i, 0.8), "", "a") for i in range(3)]
    rows = [sinsy.sing_with_sinsy(random_of(1), line, 120, 8.0, lower=2.0) for _ in range(2)]
    np.testing.assert_array_equal(*rows)
    assert len(rows[0]) / SAMPLE_RATE_HZ == pytest.approx(1.5, abs=1.5)
    assert np.abs(rows[0][:40000]).max() > 0.1
