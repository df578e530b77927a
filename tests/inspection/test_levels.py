"""Levels are those of the sound, and errors are where they were made."""

from __future__ import annotations

import numpy as np
import pytest

from stemlight.inspection import error_profile, levels_db
from stemlight.inspection.levels import RANGE_DB, power_of

from .material import RATE_HZ, noise, tone


def test_the_error_of_a_perfect_estimate_is_at_the_floor_everywhere():
    reference = noise(RATE_HZ)
    loudest = float(power_of(reference).max())
    assert (levels_db(reference - reference, loudest_power=loudest) == -RANGE_DB).all()
    profile = error_profile(reference, reference, RATE_HZ)
    assert (profile.error_of_bands_db == -120).all()
    assert (profile.error_of_seconds_db == -120).all()


def test_bins_sum_to_the_mean_square():
    for samples in (tone(1000), noise(RATE_HZ)):
        total = power_of(samples)[4:-4].sum(axis=1).mean()
        assert total == pytest.approx(np.square(samples).mean(), rel=0.03)


def test_the_loudest_bin_is_at_the_tone_and_at_zero():
    levels = levels_db(tone(3000))
    assert levels.max() == 0
    _, bin = np.unravel_index(levels.argmax(), levels.shape)
    assert bin * RATE_HZ / 4096 == pytest.approx(3000, abs=6)


def test_silence_has_the_lowest_level_and_so_has_a_sound_shorter_than_a_frame():
    assert (levels_db(np.zeros((2, 100), np.float32)) == -RANGE_DB).all()
    assert levels_db(tone(1000, 100)).max() == 0


def test_an_error_shows_in_its_band_and_in_its_second():
    reference = noise(3 * RATE_HZ)
    wrong = np.zeros_like(reference)
    wrong[:, RATE_HZ : 2 * RATE_HZ] = tone(3000)
    profile = error_profile(reference, reference + wrong, RATE_HZ)
    band = int(np.argmax(profile.error_of_bands_db))
    assert profile.band_edges_hz[band] <= 3000 < profile.band_edges_hz[band + 1]
    assert profile.error_of_seconds_db[1] == pytest.approx(10 * np.log10(0.125), abs=0.05)
    np.testing.assert_allclose(profile.error_of_seconds_db[[0, 2]], -120)


def test_the_error_of_silence_is_the_reference():
    reference = noise(RATE_HZ + 500)
    profile = error_profile(reference, np.zeros_like(reference), RATE_HZ)
    np.testing.assert_array_equal(profile.error_of_bands_db, profile.reference_of_bands_db)
    np.testing.assert_array_equal(profile.error_of_seconds_db, profile.reference_of_seconds_db)
    assert len(profile.error_of_seconds_db) == 2
    bands = 10 ** (profile.reference_of_bands_db / 10)
    assert bands.sum() == pytest.approx(np.square(reference).mean(), rel=0.05)
