from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from stemlight.audio import Audio, read_audio
from stemlight.errors import UsageError

from .material import TYPES_ARE_CHECKED, noise


def test_audio_knows_its_channels_samples_and_duration():
    audio = Audio(np.zeros((2, 22050), np.float32), 44100)
    assert (audio.n_channels, audio.n_samples, audio.duration_seconds) == (2, 22050, 0.5)
    assert repr(audio) == "Audio(2 x 22050 samples at 44100 Hz, 0.50 s)"


@pytest.mark.skipif(TYPES_ARE_CHECKED, reason="jaxtyping refuses the arguments first")
@pytest.mark.parametrize(
    ("samples", "came"),
    [
        (np.zeros((2, 5)), r"float64 of the shape \(2, 5\)"),
        (np.zeros(5, np.float32), r"float32 of the shape \(5,\)"),
        ([[0.0]], r"list of the shape \(1, 1\)"),
    ],
)
def test_samples_of_another_shape_or_dtype_are_refused_with_what_came(samples, came):
    with pytest.raises(UsageError, match=rf"float32 .*\(channels, samples\), not {came}"):
        Audio(samples, 44100)


def test_a_sample_rate_below_one_is_refused():
    with pytest.raises(UsageError, match="sample_rate_hz must be at least 1, not 0"):
        Audio(np.zeros((1, 1), np.float32), 0)


def test_audio_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Audio(np.zeros((1, 1), np.float32), 8000).sample_rate_hz = 1


def test_saving_as_float_keeps_every_bit(tmp_path):
    audio = Audio(noise(3, 1000) * 4, 11025)
    assert audio.save(tmp_path / "x.wav", bit_depth="float") == 0
    again = read_audio(tmp_path / "x.wav")
    np.testing.assert_array_equal(again.samples, audio.samples)
    assert again.sample_rate_hz == 11025


def test_saving_tells_how_many_samples_were_clipped(tmp_path):
    samples = np.array([[0.5, 1.5, -1.0, -1.1, 0.999]], np.float32)
    assert Audio(samples, 8000).save(tmp_path / "x.flac") == 2
    assert Audio(samples, 8000).save(tmp_path / "x.ogg") == 0
