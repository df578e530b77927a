"""SI-SDR, SDR of seconds, distances of spectra, leakage and transients, by what they must do."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stemlight.evaluation import bss_eval, sdr_db
from stemlight.evaluation.ratios import chunk_sdr_db, si_sdr_db
from stemlight.evaluation.silence import leakage_dbfs, relative_leakage_db
from stemlight.evaluation.spectra import log_spectral_distance_db, spectral_convergence
from stemlight.evaluation.transients import onset_samples, steady_sdr_db, transient_sdr_db

from .signals import leaky, noise, noises

RATE_HZ = 44_100


def tones(*frequencies_hz, seconds=2.0):
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return 0.1 * sum(np.sin(2 * np.pi * f * time) for f in frequencies_hz)[None].astype(np.float32)


# SI-SDR


@pytest.mark.parametrize("gain", [0.01, 0.5, -1, 7])
def test_si_sdr_does_not_hear_level_or_polarity_and_sdr_does(gain):
    reference = noise(0, 2, 5000)
    estimate = reference + 0.3 * noise(1, 2, 5000)
    wanted_db = si_sdr_db(reference, estimate)
    assert si_sdr_db(reference, np.float32(gain) * estimate) == pytest.approx(wanted_db, abs=1e-4)
    assert sdr_db(reference, np.float32(gain) * estimate) < sdr_db(reference, estimate) - 3


def test_si_sdr_is_that_of_torchmetrics():
    torch = pytest.importorskip("torch")
    audio = pytest.importorskip("torchmetrics.functional.audio")
    reference, estimate = noise(0, 1, 5000), 0.7 * noise(0, 1, 5000) + noise(1, 1, 5000)
    theirs = audio.scale_invariant_signal_distortion_ratio(
        torch.from_numpy(estimate), torch.from_numpy(reference)
    )
    assert si_sdr_db(reference, estimate) == pytest.approx(float(theirs), abs=1e-3)


def test_si_sdr_is_kept_within_100_db():
    reference = noise(0, 2, 5000)
    assert si_sdr_db(reference, 2 * reference) == 100
    assert si_sdr_db(reference, np.zeros_like(reference)) == -100
    assert math.isnan(si_sdr_db(np.zeros_like(reference), reference))


# SDR of seconds


def test_chunks_have_the_sdr_of_bss_eval():
    references = noises(channels=2, n_samples=11_000)
    estimates = leaky(references)
    wanted = bss_eval(references, estimates, frame_samples=5000)
    for name, reference in references.items():
        found = chunk_sdr_db(reference, estimates[name], 5000)
        np.testing.assert_allclose(found, wanted[name].sdr_db, atol=1e-9)


def test_a_silent_chunk_has_no_value_whatever_other_stems_do():
    reference, estimate = noise(0, 1, 3000), noise(1, 1, 3000)
    reference[:, :1000] = 0
    estimate[:, 2000:] = 0
    assert np.isnan(chunk_sdr_db(reference, estimate, 1000)).tolist() == [True, False, True]


# Spectra


def test_the_truth_has_no_distance():
    reference = noise(0, 2, 20_000)
    assert spectral_convergence(reference, reference) == 0
    assert log_spectral_distance_db(reference, reference) == 0


def test_magnitudes_do_not_hear_polarity():
    reference = noise(0, 2, 20_000)
    assert spectral_convergence(reference, -reference) == 0
    assert log_spectral_distance_db(reference, -reference) == 0


@pytest.mark.parametrize("gain_db", [-6, 3])
def test_a_gain_is_its_distance_in_decibels(gain_db):
    reference = noise(0, 2, 20_000)
    gain = np.float32(10 ** (gain_db / 20))
    found = log_spectral_distance_db(reference, gain * reference)
    assert found == pytest.approx(abs(gain_db), rel=0.01)
    assert spectral_convergence(reference, gain * reference) == pytest.approx(
        abs(gain - 1), rel=1e-4
    )


def test_silence_as_estimate_has_convergence_1_and_the_distance_of_the_floor():
    reference = noise(0, 1, 40_000)
    silence = np.zeros_like(reference)
    assert spectral_convergence(reference, silence) == pytest.approx(1)
    # The mean level of noise is 2.5 dB below its power, and frames at the ends are half empty.
    assert log_spectral_distance_db(reference, silence) == pytest.approx(80 - 2.5, abs=1.5)


def test_distances_of_scaled_tracks_are_the_same():
    reference, estimate = tones(440, 5000), tones(440, 3000)
    for distance in (spectral_convergence, log_spectral_distance_db):
        wanted = distance(reference, estimate)
        assert wanted > 0.1
        assert distance(1e-3 * reference, 1e-3 * estimate) == pytest.approx(wanted, rel=1e-3)


# Leakage


def silent_in_the_middle():
    reference = 0.1 * noise(0, 2, 3 * RATE_HZ)
    reference[:, RATE_HZ : 2 * RATE_HZ] *= np.float32(1e-3)  # -80 dBFS
    return reference


@pytest.mark.parametrize("level_dbfs", [-20, -55, -90])
def test_leakage_is_the_level_in_silent_seconds(level_dbfs):
    reference, leak = silent_in_the_middle(), noise(1, 2, 3 * RATE_HZ)
    leak *= np.float32(10 ** (level_dbfs / 20))
    assert leakage_dbfs(reference, leak, RATE_HZ) == pytest.approx(level_dbfs, abs=0.1)
    mixture = noise(2, 2, 3 * RATE_HZ)
    found = relative_leakage_db(reference, leak, mixture, RATE_HZ)
    assert found == pytest.approx(level_dbfs, abs=0.1)


def test_leakage_is_not_heard_where_the_source_sounds():
    reference = silent_in_the_middle()
    estimate = reference.copy()
    estimate[:, RATE_HZ : 2 * RATE_HZ] = 0
    assert leakage_dbfs(reference, estimate, RATE_HZ) == -120


def test_a_source_that_never_rests_has_no_leakage():
    always = 0.1 * noise(0, 2, 2 * RATE_HZ)
    assert math.isnan(leakage_dbfs(always, always, RATE_HZ))
    assert math.isnan(relative_leakage_db(always, always, always, RATE_HZ))


def test_a_mixture_that_is_silent_has_no_relative_leakage():
    silence = np.zeros((2, RATE_HZ), np.float32)
    assert math.isnan(relative_leakage_db(silence, silence, silence, RATE_HZ))


# Transients


def clicks(at_seconds, seconds=2.0):
    """Short bursts of noise, decaying within 10 ms."""
    signal = np.zeros((1, int(seconds * RATE_HZ)), np.float32)
    burst = 0.5 * noise(5, 2000) * np.exp(-np.arange(2000, dtype=np.float32) / 400)
    for at in at_seconds:
        first = int(at * RATE_HZ)
        signal[0, first : first + 2000] += burst
    return signal


def test_every_click_over_a_steady_tone_is_an_onset_and_nothing_else_is():
    wanted_seconds = [0.4, 0.75, 1.1, 1.62]
    track = clicks(wanted_seconds) + tones(220, 1000)
    onsets = onset_samples(track, RATE_HZ) / RATE_HZ
    onsets = onsets[onsets > 0.02]  # the tone begins, too
    assert len(onsets) == len(wanted_seconds)
    np.testing.assert_allclose(onsets, wanted_seconds, atol=0.01)


def test_onsets_do_not_depend_on_the_level():
    track = clicks([0.4, 1.1]) + tones(220)
    wanted = onset_samples(track, RATE_HZ)
    np.testing.assert_array_equal(onset_samples(np.float32(1e-3) * track, RATE_HZ), wanted)


def test_smeared_attacks_are_told_from_errors_elsewhere():
    drums, tone = clicks([0.4, 0.75, 1.1, 1.62]), tones(220, 1000)
    no_attacks, no_tone = tone, drums
    track = drums + tone
    assert transient_sdr_db(track, no_attacks, RATE_HZ) < 10
    assert steady_sdr_db(track, no_attacks, RATE_HZ) > 20
    assert steady_sdr_db(track, no_tone, RATE_HZ) < 1
    assert transient_sdr_db(track, no_tone, RATE_HZ) > 3


def test_the_two_parts_make_the_whole():
    track = clicks([0.4, 1.1]) + tones(220)
    estimate = (track + 0.01 * noise(3, *track.shape)).astype(np.float32)
    parts = [measure(track, estimate, RATE_HZ) for measure in (transient_sdr_db, steady_sdr_db)]
    assert min(parts) < sdr_db(track, estimate) < max(parts)


def test_silence_has_no_onsets():
    silence = np.zeros((2, 5000), np.float32)
    assert not len(onset_samples(silence, RATE_HZ))
    assert math.isnan(transient_sdr_db(silence, silence, RATE_HZ))
    assert math.isnan(steady_sdr_db(silence, silence, RATE_HZ))
