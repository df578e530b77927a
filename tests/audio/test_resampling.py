from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlight.audio import StreamResampler, output_samples, resample
from stemlight.errors import UsageError

RATES_HZ = [8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 192000]
rates_hz = st.sampled_from(RATES_HZ)


def white(n_channels: int, n_samples: int) -> np.ndarray:
    rng = np.random.default_rng(n_samples)
    return rng.standard_normal((n_channels, n_samples)).astype(np.float32)


def tone(frequency_hz: float, sample_rate_hz: int, seconds: float = 0.5) -> np.ndarray:
    times = np.arange(int(seconds * sample_rate_hz)) / sample_rate_hz
    return np.sin(2 * np.pi * frequency_hz * times + 0.7)[np.newaxis].astype(np.float32)


def middle(sound: np.ndarray) -> np.ndarray:
    """Without the ends, where a tone that begins and stops is no pure tone."""
    n = sound.shape[1]
    return sound[:, n // 4 : -n // 4]


@settings(deadline=None, max_examples=60)
@given(
    from_hz=rates_hz,
    to_hz=rates_hz,
    n_samples=st.integers(0, 4000),
    n_channels=st.integers(1, 3),
    cuts=st.lists(st.integers(0, 4000), max_size=8),
)
def test_any_division_into_pushes_gives_the_same_bits(from_hz, to_hz, n_samples, n_channels, cuts):
    signal = white(n_channels, n_samples)
    resampler = StreamResampler(n_channels, from_hz, to_hz)
    blocks = np.split(signal, sorted(min(cut, n_samples) for cut in cuts), axis=1)
    pieces = [resampler.push(block) for block in blocks] + [resampler.flush()]
    streamed = np.concatenate(pieces, axis=1)
    np.testing.assert_array_equal(streamed, resample(signal, from_hz, to_hz))


@settings(deadline=None, max_examples=80)
@given(
    from_hz=st.one_of(rates_hz, st.integers(8000, 192000)),
    to_hz=rates_hz,
    n_samples=st.integers(0, 3000),
)
def test_the_length_is_the_ratio_rounded_up(from_hz, to_hz, n_samples):
    assert output_samples(n_samples, from_hz, to_hz) == int(np.ceil(n_samples * to_hz / from_hz))
    resampled = resample(white(1, n_samples), from_hz, to_hz)
    assert resampled.shape == (1, output_samples(n_samples, from_hz, to_hz))
    assert resampled.dtype == np.float32
    assert resampled.flags.c_contiguous


@settings(deadline=None, max_examples=80)
@given(
    from_hz=rates_hz, to_hz=st.one_of(rates_hz, st.integers(8000, 192000)), n=st.integers(1, 2000)
)
def test_there_and_back_has_the_original_length(from_hz, to_hz, n):
    there = resample(white(2, n), from_hz, to_hz)
    assert resample(there, to_hz, from_hz, n_samples=n).shape == (2, n)
    back = StreamResampler(2, to_hz, from_hz)
    assert back.push(there).shape[1] + back.flush(n).shape[1] == n


@pytest.mark.parametrize("from_hz", [8000, 44100, 48000, 192000])
@pytest.mark.parametrize("to_hz", [11025, 44100, 48000, 96000])
def test_a_tone_keeps_its_frequency_amplitude_and_phase(from_hz, to_hz):
    frequency_hz = 0.25 * min(from_hz, to_hz)  # higher up soxr gives a thousandth of a decibel away
    resampled = resample(tone(frequency_hz, from_hz), from_hz, to_hz)
    expected = tone(frequency_hz, to_hz)
    error = middle(resampled[:, : expected.shape[1]] - expected)
    assert np.abs(error).max() < 1e-5


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44100, 16000), (48000, 44100), (192000, 44100)])
def test_a_tone_above_the_new_nyquist_frequency_is_removed(from_hz, to_hz):
    resampled = resample(tone(0.51 * to_hz + 0.5 * (from_hz - to_hz) / 2, from_hz), from_hz, to_hz)
    assert np.abs(middle(resampled)).max() < 1e-5


@pytest.mark.parametrize("to_hz", [22050, 48000])
def test_there_and_back_gives_the_signal_again(to_hz):
    source = tone(1000, 44100) + tone(5000, 44100)
    there_and_back = resample(resample(source, 44100, to_hz), to_hz, 44100, n_samples=22050)
    assert np.abs(middle(there_and_back - source)).max() < 1e-5


def test_the_end_is_sound_and_no_padding():
    constant = np.ones((1, 4410), np.float32)
    assert resample(constant, 44100, 48000)[0, -1] > 0.4  # half of it, as behind comes silence


def test_equal_rates_pass_the_very_block_through():
    resampler = StreamResampler(2, 44100, 44100)
    block = white(2, 10)
    assert resampler.push(block) is block
    assert resampler.flush().shape == (2, 0)
    assert resample(block, 8000, 8000) is block


def test_a_block_of_other_channels_is_refused():
    with pytest.raises(UsageError, match=r"shape \(1, 5\) but .* made for 2 channels"):
        StreamResampler(2, 44100, 48000).push(white(1, 5))


def test_a_rate_or_channel_count_below_one_is_refused():
    with pytest.raises(UsageError, match="not 1 channels from 44100 Hz to 0 Hz"):
        resample(white(1, 5), 44100, 0)
    with pytest.raises(UsageError, match="not 0 channels from 44100 Hz to 48000 Hz"):
        StreamResampler(0, 44100, 48000)


@pytest.mark.parametrize("n_samples", [-1, 201])
def test_no_more_can_be_asked_than_the_signal_lasts(n_samples):
    with pytest.raises(
        UsageError, match=rf"0\.\.200 .*100 samples at 8000 Hz last.*not {n_samples}"
    ):
        resample(white(1, 100), 8000, 16000, n_samples=n_samples)


def test_a_flushed_resampler_takes_no_more():
    resampler = StreamResampler(1, 8000, 16000)
    resampler.flush()
    with pytest.raises(UsageError, match="was flushed and takes no more"):
        resampler.push(white(1, 1))
    with pytest.raises(UsageError, match="was flushed already"):
        resampler.flush()
