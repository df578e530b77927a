"""Loudness: the test signals of EBU Tech 3341, and what a difference is."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stemlight.errors import UsageError
from stemlight.evaluation.loudness import integrated_loudness_lufs, loudness_difference_lu

from .signals import noise


def tone(sample_rate_hz, *parts, channels=2):
    """Sines of 1 kHz in all channels, one behind the other: `(level_dbfs, seconds)`."""
    pieces = [
        10 ** (level / 20)
        * np.sin(2 * np.pi * 1000 / sample_rate_hz * np.arange(int(seconds * sample_rate_hz)))
        for level, seconds in parts
    ]
    return np.tile(np.concatenate(pieces).astype(np.float32), (channels, 1))


@pytest.mark.parametrize("sample_rate_hz", [44_100, 48_000, 96_000])
@pytest.mark.parametrize(
    ("parts", "wanted_lufs"),
    [
        ([(-23, 20)], -23),
        ([(-33, 20)], -33),
        ([(-36, 10), (-23, 60), (-36, 10)], -23),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23),
    ],
)
def test_the_signals_of_ebu_tech_3341_have_their_loudness(sample_rate_hz, parts, wanted_lufs):
    found = integrated_loudness_lufs(tone(sample_rate_hz, *parts), sample_rate_hz)
    assert found == pytest.approx(wanted_lufs, abs=0.1)


def test_one_channel_is_3_lu_quieter_than_two():
    one, two = (
        integrated_loudness_lufs(tone(48_000, (-20, 5), channels=n), 48_000) for n in (1, 2)
    )
    assert two - one == pytest.approx(3.01, abs=0.01)


def test_the_coefficients_at_48_khz_are_those_of_the_recommendation():
    from stemlight.evaluation import loudness

    shelf = [1.53512485958697, -2.69169618940638, 1.19839281085285, 1]
    np.testing.assert_allclose(
        loudness._shelf(48_000), [*shelf, -1.69065929318241, 0.73248077421585], atol=1e-8
    )
    np.testing.assert_allclose(
        loudness._high_pass(48_000), [1, -2, 1, 1, -1.99004745483398, 0.99007225036621], atol=1e-8
    )


@pytest.mark.parametrize("gain_db", [-12, -0.5, 6])
def test_the_difference_is_the_gain(gain_db):
    reference = 0.1 * noise(0, 2, 100_000)
    estimate = np.float32(10 ** (gain_db / 20)) * reference
    assert loudness_difference_lu(reference, estimate, 44_100) == pytest.approx(gain_db, abs=1e-3)


def test_silence_as_estimate_counts_as_the_gate_and_a_silent_reference_has_no_loudness():
    reference = tone(48_000, (-23, 5))
    silence = np.zeros_like(reference)
    assert loudness_difference_lu(reference, silence, 48_000) == pytest.approx(-47, abs=0.1)
    assert math.isnan(loudness_difference_lu(silence, reference, 48_000))


def test_sound_shorter_than_a_block_has_a_loudness():
    assert integrated_loudness_lufs(tone(48_000, (-23, 0.2)), 48_000) == pytest.approx(-23, abs=0.2)


def test_surround_is_refused():
    with pytest.raises(UsageError, match="has 6 channels; loudness is measured of 1 or 2"):
        integrated_loudness_lufs(np.ones((6, 100), np.float32), 48_000)
