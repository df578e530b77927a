"""Each effect moves what it is named after, and leaves time, length and the truth as they are."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import signal
from torch.utils.data import DataLoader

from stemlight.configs import from_mapping
from stemlight.errors import ConfigError, MissingExtraError
from stemlight.training.coding import BIT_RATES_KBPS, code_mp3
from stemlight.training.effects import equalise, reverberate
from stemlight.training.facts import measure_facts
from stemlight.training.material import ArrayStem, TrainingTrack
from stemlight.training.mixing import MixingConfig, RandomMixtures
from stemlight.training.mixing_config import (
    CodingConfig,
    EqConfig,
    ReverbConfig,
    StretchConfig,
)
from stemlight.training.stretching import Stretch, stretch

RATE = 44_100
SOURCES = ("vocals", "drums")
PLAIN = MixingConfig(same_song_share=0, gain_db=(0, 0), channel_swap_share=0, polarity_share=0)
ONE_SONG = replace(PLAIN, same_song_share=1)


def noise(seconds, seed=0):
    samples = np.random.default_rng(seed).normal(0, 0.1, (2, int(seconds * RATE)))
    return samples.astype(np.float32)


def tone(frequency_hz, seconds=3.0):
    mono = 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * RATE)) / RATE)
    return np.stack([mono, mono]).astype(np.float32)


def clicks(seconds, period_seconds=0.25):
    """Make short bursts whose places can be told to a sample."""
    samples = np.zeros((2, int(seconds * RATE)), np.float32)
    burst = np.hanning(64).astype(np.float32)
    for start in range(0, samples.shape[1] - 64, int(period_seconds * RATE)):
        samples[:, start : start + 64] = burst
    return samples


def pitch_hz(samples):
    middle = samples[0, len(samples[0]) // 4 : -len(samples[0]) // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 19))
    return spectrum.argmax() * RATE / (1 << 19)


def lag_samples(delayed, original):
    products = signal.correlate(delayed.mean(axis=0), original.mean(axis=0), method="fft")
    return int(products.argmax()) - original.shape[1] + 1


def level_db(samples):
    return 10 * np.log10(np.mean(np.square(samples, dtype=np.float64)))


def mixtures(config, songs, *, n_samples=RATE, seed=0, sources=SOURCES):
    tracks = [TrainingTrack(name=str(n), **song) for n, song in enumerate(songs)]
    return RandomMixtures(
        tracks, sources, n_samples=n_samples, sample_rate_hz=RATE, config=config, seed=seed
    )


def one_song(**stems):
    return [{"stems": {name: ArrayStem(samples) for name, samples in stems.items()}}]


@pytest.mark.parametrize("semitones", [-2.0, 0.5, 2.0])
def test_a_pitch_shift_moves_a_tone_and_keeps_its_length(semitones):
    shifted = stretch(tone(440), RATE, Stretch(semitones=semitones))
    assert shifted.shape == (2, 3 * RATE)
    assert pitch_hz(shifted) == pytest.approx(440 * 2 ** (semitones / 12), rel=0.003)


@pytest.mark.parametrize("tempo", [0.8, 1.2])
def test_a_stretch_changes_the_length_and_keeps_the_pitch(tempo):
    stretched = stretch(tone(440), RATE, Stretch(tempo=tempo))
    assert stretched.shape[1] == pytest.approx(3 * RATE / tempo, abs=1)
    assert pitch_hz(stretched) == pytest.approx(440, rel=0.003)


def test_stretching_does_not_depend_on_the_layout_in_memory():
    samples = noise(0.5)
    change = Stretch(semitones=1, tempo=0.9)
    expected = stretch(samples, RATE, change)
    for other in (np.asfortranarray(samples), samples[::-1][::-1], samples.astype(np.float64)):
        np.testing.assert_array_equal(stretch(other, RATE, change), expected)


@pytest.mark.parametrize("tempo", [0.8, 0.95, 1.0, 1.2])
def test_stems_of_one_song_stay_together_when_they_are_stretched(tempo):
    # The pitch of the vocals moves and that of the drums does not: two different ways.
    config = replace(
        ONE_SONG,
        stretch=StretchConfig(
            pitch_share=1, tempo_share=1, semitones=(1.5, 2), tempo=(tempo, tempo)
        ),
    )
    song = one_song(vocals=clicks(5), drums=clicks(5))
    vocals, drums = mixtures(config, song, n_samples=2 * RATE)[0].stems.numpy()
    peaks = [
        signal.find_peaks(np.abs(stem[0]), height=0.2, distance=RATE // 10)[0]
        for stem in (vocals, drums)
    ]
    assert len(peaks[1]) == pytest.approx(2 * tempo / 0.25, abs=1)
    for peak in peaks[1][1:-1]:
        assert np.min(np.abs(peaks[0] - peak)) < 0.005 * RATE


def test_stems_of_one_song_get_one_pitch_shift_and_drums_none():
    config = replace(ONE_SONG, stretch=StretchConfig(pitch_share=1))
    song = one_song(vocals=tone(440, 5), drums=tone(440, 5), bass=tone(220, 5))
    sources = ("vocals", "drums", "bass")
    for index in range(3):
        vocals, drums, bass = mixtures(config, song, sources=sources)[index].stems.numpy()
        assert pitch_hz(drums) == pytest.approx(440, rel=0.001)
        assert abs(pitch_hz(vocals) - 440) > 1
        assert pitch_hz(vocals) / 440 == pytest.approx(pitch_hz(bass) / 220, rel=0.005)


def test_what_is_not_stretched_is_as_it_was_in_a_song_that_is():
    config = replace(ONE_SONG, stretch=StretchConfig(pitch_share=1))
    drums = noise(3)
    found = mixtures(config, one_song(vocals=noise(3, 1), drums=drums))[0].stems[1].numpy()
    windows = np.lib.stride_tricks.sliding_window_view(drums[0], RATE)
    assert any(np.array_equal(window, found[0]) for window in windows)


def test_a_recipe_that_stretches_says_at_once_that_the_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "python_stretch", None)
    config = replace(ONE_SONG, stretch=StretchConfig(tempo_share=0.1))
    with pytest.raises(MissingExtraError, match=r"python_stretch, which is not installed.*train"):
        mixtures(config, one_song(vocals=noise(3), drums=noise(3)))


@pytest.mark.parametrize("seed", range(8))
def test_eq_colours_within_its_limit_and_keeps_length_lag_and_loudness(seed):
    samples = noise(1)
    filtered = equalise(samples, RATE, 6.0, np.random.default_rng(seed))
    assert (filtered.shape, filtered.dtype) == (samples.shape, np.float32)
    assert lag_samples(filtered, samples) == 0
    assert level_db(filtered) == pytest.approx(level_db(samples), abs=0.01)
    _, before = signal.welch(samples[0], RATE, nperseg=2048)
    _, after = signal.welch(filtered[0], RATE, nperseg=2048)
    change_db = 10 * np.log10(after[1:-1] / before[1:-1])
    assert np.std(change_db) > 0.2
    assert np.ptp(change_db) < 3 * 2 * 6  # three bands, each by up to 6 dB up or down


def test_eq_of_0_db_changes_nothing():
    samples = noise(0.2)
    np.testing.assert_allclose(
        equalise(samples, RATE, 0.0, np.random.default_rng(0)), samples, atol=1e-6
    )


@pytest.mark.parametrize("wet_db", [-20.0, -6.0])
def test_a_room_is_as_loud_as_it_should_be_and_follows_the_sound(wet_db):
    samples = noise(2)
    samples[:, RATE:] = 0
    room = reverberate(samples, RATE, 0.5, wet_db, np.random.default_rng(0)) - samples
    assert level_db(room) == pytest.approx(level_db(samples) + wet_db, abs=0.7)
    assert lag_samples(room + samples, samples) == 0
    # It falls by 60 dB in half a second, so by 30 dB in a quarter.
    starts = [int(RATE * (1.02 + 0.25 * step)) for step in range(2)]
    tail_db = [level_db(room[:, start : start + RATE // 20]) for start in starts]
    assert tail_db[0] - tail_db[1] == pytest.approx(30, abs=4)
    assert np.abs(np.corrcoef(room)[0, 1]) < 0.2  # another one on each side


@pytest.mark.parametrize("bit_rate_kbps", [32, 128, 320])
@pytest.mark.parametrize("n_samples", [1000, RATE + 7])
def test_a_coded_mixture_is_no_later_and_no_longer(bit_rate_kbps, n_samples):
    samples = signal.sosfilt(signal.butter(2, 4000, fs=RATE, output="sos"), noise(2))
    samples = samples[:, :n_samples].astype(np.float32)
    coded = code_mp3(samples, RATE, bit_rate_kbps)
    assert (coded.shape, coded.dtype) == (samples.shape, np.float32)
    assert lag_samples(coded, samples) == 0
    assert 1e-4 < np.linalg.norm(coded - samples) / np.linalg.norm(samples) < 0.8


def test_more_bits_are_closer_to_the_truth():
    samples = noise(0.3)
    errors = [np.linalg.norm(code_mp3(samples, RATE, rate) - samples) for rate in BIT_RATES_KBPS]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.5 * errors[0]


@pytest.mark.parametrize(
    "effect",
    [
        {"stretch": StretchConfig(pitch_share=1, tempo_share=1)},
        {"eq": EqConfig(share=1)},
        {"reverb": ReverbConfig(share=1)},
        {"full_scale": True, "gain_db": (30, 30)},
    ],
)
def test_the_stems_add_up_to_the_mixture_whatever_is_done_to_them(effect):
    song = one_song(vocals=noise(3), drums=noise(3, 1))
    plain = mixtures(ONE_SONG, song)[1]
    example = mixtures(replace(ONE_SONG, **effect), song)[1]
    assert not torch.allclose(example.stems, plain.stems, atol=1e-3)
    torch.testing.assert_close(example.stems.sum(dim=0), example.mixture)
    assert example.known.all()


def test_the_mixture_is_coded_and_the_stems_are_not():
    song = one_song(vocals=noise(3), drums=noise(3, 1))
    config = replace(ONE_SONG, coding=CodingConfig(share=1, bit_rates_kbps=(128,)))
    plain, coded = mixtures(ONE_SONG, song)[0], mixtures(config, song)[0]
    torch.testing.assert_close(coded.stems, plain.stems, atol=0, rtol=0)
    expected = code_mp3(plain.mixture.numpy(), RATE, 128)
    torch.testing.assert_close(coded.mixture, torch.from_numpy(expected), atol=0, rtol=0)


@pytest.mark.parametrize(
    ("effect", "changed"),
    [
        ({"eq": EqConfig(share=0.25)}, 0.25),
        ({"reverb": ReverbConfig(share=0.5)}, 0.5),
    ],
)
def test_an_effect_comes_as_often_as_it_should_and_leaves_the_rest_alone(effect, changed):
    song = one_song(vocals=noise(1), drums=noise(1, 1))
    plain = mixtures(PLAIN, song, n_samples=2000)
    others = mixtures(replace(PLAIN, **effect), song, n_samples=2000)
    same = [
        torch.equal(one, other)
        for index in range(100)
        for one, other in zip(plain[index].stems, others[index].stems, strict=True)
    ]
    assert 1 - np.mean(same) == pytest.approx(changed, abs=0.1)


EVERYTHING = from_mapping(
    MixingConfig,
    {
        "same_song_share": 0.3,
        "matched_share": 0.3,
        "balanced_share": 0.5,
        "speed_share": 0.3,
        "stretch": {"pitch_share": 0.5, "tempo_share": 0.5},
        "eq": {"share": 0.5},
        "reverb": {"share": 0.5},
        "silenced_share": 0.2,
        "full_scale": True,
        "coding": {"share": 0.5},
    },
)


def measured(number):
    stems = {"vocals": tone(220 * (1 + number / 7), 2), "drums": clicks(2, 0.5)}
    facts = measure_facts(sum(stems.values()), stems, RATE)
    facts = replace(facts, tempo_bpm=120.0 + number, key=number)
    return {"stems": {name: ArrayStem(stem) for name, stem in stems.items()}, "facts": facts}


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # on machines with one core
def test_any_number_of_workers_makes_the_same_batches():
    songs = [measured(number) for number in range(4)]
    dataset = mixtures(EVERYTHING, songs, n_samples=RATE // 4)
    runs = [
        list(DataLoader(dataset, batch_size=4, sampler=range(8, 20), num_workers=workers))
        for workers in (0, 1, 2)
    ]
    for run in runs[1:]:
        for batch, expected in zip(run, runs[0], strict=True):
            for part, expected_part in zip(batch, expected, strict=True):
                torch.testing.assert_close(part, expected_part, atol=0, rtol=0)
    assert len(runs[0]) == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"eq": {"share": 1.5}}, r"mixing\.eq\.share must lie in 0\.\.1, not 1\.5"),
        ({"silenced_share": -0.1}, r"mixing\.silenced_share must lie in 0\.\.1, not -0\.1"),
        ({"partial_share": float("nan")}, r"mixing\.partial_share must lie in 0\.\.1, not nan"),
        ({"partial_share": 0.8}, r"must not exceed 1 together, not 0\.3 \+ 0\.8"),
        ({"gain_db": [3, -3]}, r"mixing\.gain_db needs .* not 3\.0 and -3\.0"),
        ({"mixture_gain_db": [0, 90]}, r"mixing\.mixture_gain_db needs .* not 0\.0 and 90"),
        ({"stretch": {"tempo": [0.2, 1]}}, r"mixing\.stretch\.tempo needs .* in 0\.5\.\.2, not 0"),
        ({"stretch": {"semitones": [-20, 0]}}, r"in -12\.\.12, not -20\.0 and 0\.0"),
        ({"eq": {"max_gain_db": 30}}, r"mixing\.eq\.max_gain_db must lie in 0\.\.24, not 30"),
        ({"reverb": {"decay_seconds": [0, 1]}}, r"mixing\.reverb\.decay_seconds needs .* 0\.05"),
        ({"reverb": {"wet_db": [0, 90]}}, r"mixing\.reverb\.wet_db needs .* -60\.\.20"),
        ({"coding": {"bit_rates_kbps": [100]}}, r"some of 32, 40, .*, 320, not \[100\]"),
        ({"coding": {"bit_rates_kbps": []}}, r"some of 32, 40, .*, 320, not \[\]"),
        ({"coding": {"sharE": 1}}, r"CodingConfig has no field 'sharE'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        from_mapping(MixingConfig, fields)


def test_coding_at_a_rate_that_mp3_has_not_is_refused():
    tracks = [TrainingTrack(name="t", stems={name: ArrayStem(noise(1)) for name in SOURCES})]
    config = replace(PLAIN, coding=CodingConfig(share=0.1))
    with pytest.raises(ConfigError, match="32000, 44100, 48000 Hz, not 16000"):
        RandomMixtures(tracks, SOURCES, n_samples=100, sample_rate_hz=16_000, config=config, seed=0)
