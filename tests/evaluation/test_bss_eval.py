"""BSS Eval: what follows from its definition, and where museval gives up."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import scipy.signal

from stemlight.errors import UsageError
from stemlight.evaluation import BSS_TAPS, bss_eval, fit_length, rounded_to_16_bits

from .signals import leaky, noise, noises

FRAME = 4000


def ratios(references, estimates, **options):
    found = bss_eval(references, estimates, frame_samples=FRAME, **options)
    return {name: dataclasses.asdict(frames) for name, frames in found.items()}


def assert_close(found, wanted, atol=1e-6):
    assert found.keys() == wanted.keys()
    for name, frames in wanted.items():
        for ratio, values in frames.items():
            np.testing.assert_allclose(found[name][ratio], values, atol=atol, err_msg=ratio)


def test_the_truth_has_no_error():
    references = noises(channels=2)
    for frames in ratios(references, references).values():
        assert np.isinf(frames["sdr_db"]).all()
        assert all((values > 120).all() for values in frames.values())


def test_the_wrong_level_counts_as_wrong_image_alone():
    references = noises()
    for frames in ratios(references, {n: 0.5 * s for n, s in references.items()}).values():
        np.testing.assert_allclose(frames["sdr_db"], 20 * np.log10(2), atol=1e-6)
        np.testing.assert_allclose(frames["isr_db"], 20 * np.log10(2), atol=1e-6)
        assert (frames["sir_db"] > 100).all()
        assert (frames["sar_db"] > 100).all()


def test_a_short_filter_counts_as_wrong_image_alone():
    references = noises(n_samples=3 * FRAME)
    # Not to the last bit: frames are filtered alone, so their edges are artifacts.
    response = np.exp(-np.arange(10) / 2).astype(np.float32)
    filtered = {n: scipy.signal.lfilter(response, [1], s) for n, s in references.items()}
    for frames in ratios(references, filtered).values():
        assert (frames["isr_db"] < 10).all()
        assert (frames["sir_db"] > 50).all()
        assert (frames["sar_db"] > 25).all()


def test_a_delay_beyond_the_filters_is_an_artifact():
    references = noises(n_samples=3 * FRAME)
    for delay, is_explained in ((BSS_TAPS - 1, True), (BSS_TAPS + 200, False)):
        delayed = {
            n: np.pad(s, ((0, 0), (delay, 0)))[:, : 3 * FRAME] for n, s in references.items()
        }
        sar_db = ratios(references, delayed)["a"]["sar_db"]
        assert (sar_db > 5).all() == is_explained


@pytest.mark.parametrize("leak_db", [-30, -10, 0])
def test_sir_is_the_level_of_the_source_over_that_of_others(leak_db):
    references = noises(n_samples=10 * FRAME)
    leak = 10 ** (leak_db / 20)
    estimates = {"a": references["a"] + leak * references["b"]}
    sir_db = ratios(references, estimates)["a"]["sir_db"]
    assert np.median(sir_db) == pytest.approx(-leak_db, abs=1.0)


def test_sar_is_the_level_of_all_sources_over_noise():
    references = noises(n_samples=20 * FRAME)
    estimates = {"a": references["a"] + 0.1 * noise(9, *references["a"].shape)}
    assert np.median(ratios(references, estimates)["a"]["sar_db"]) == pytest.approx(20, abs=0.5)


def test_scaling_the_track_changes_nothing():
    references = noises(channels=2)
    estimates = leaky(references)
    louder = ratios(
        {n: 64 * s for n, s in references.items()}, {n: 64 * s for n, s in estimates.items()}
    )
    assert_close(louder, ratios(references, estimates))


def test_the_order_of_sources_and_channels_changes_nothing():
    references = noises(names=("a", "b", "c"), channels=2)
    estimates = leaky(references)
    wanted = ratios(references, estimates)
    assert_close(ratios(dict(reversed(references.items())), estimates), wanted)
    swapped = ratios(
        {n: s[::-1] for n, s in references.items()}, {n: s[::-1] for n, s in estimates.items()}
    )
    assert_close(swapped, wanted)


def test_swapped_names_are_other_estimates():
    references = noises()
    estimates = leaky(references)
    swapped = ratios(references, {"a": estimates["b"], "b": estimates["a"]})
    assert (swapped["a"]["sir_db"] < 0).all()


def test_threads_change_no_bit():
    references = noises(channels=2, n_samples=300_000)
    estimates = leaky(references)
    one, two = (bss_eval(references, estimates, n_threads=n) for n in (1, 2))
    for name, frames in dataclasses.asdict(one["a"]).items():
        np.testing.assert_array_equal(frames, getattr(two["a"], name))


def test_silence_behind_the_track_adds_frames_without_values_and_changes_no_other():
    # Of a whole number of frames, because what is left over would become a frame.
    references = noises(n_samples=2 * FRAME)
    estimates = leaky(references)
    wanted = ratios(references, estimates)
    padded = [
        {n: np.pad(s, ((0, 0), (0, 3 * FRAME))) for n, s in signals.items()}
        for signals in (references, estimates)
    ]
    for name, frames in ratios(*padded).items():
        for ratio, values in frames.items():
            np.testing.assert_allclose(values[:2], wanted[name][ratio], atol=1e-6)
            assert np.isnan(values[2:]).all()


def test_a_source_that_is_silent_throughout_has_no_values_and_is_no_source():
    references = noises(names=("a", "b"))
    with_silence = {**references, "bass": np.zeros_like(references["a"])}
    estimates = leaky(references)
    found = ratios(with_silence, {**estimates, "bass": references["a"]})
    assert all(np.isnan(values).all() for values in found.pop("bass").values())
    assert_close(found, ratios(references, estimates))


def test_an_estimate_that_is_silent_throughout_has_no_values_and_others_keep_theirs():
    references = noises(names=("a", "b"))
    estimates = leaky(references)
    found = ratios(references, {**estimates, "b": np.zeros_like(references["b"])})
    assert all(np.isnan(values).all() for values in found["b"].values())
    assert_close({"a": found["a"]}, {"a": ratios(references, estimates)["a"]})


def test_a_track_without_any_sound_has_no_values():
    silence = {"a": np.zeros((2, FRAME), np.float32)}
    assert np.isnan(bss_eval(silence, silence)["a"].sdr_db).tolist() == [True]


def test_sources_without_an_estimate_are_interference():
    references = noises()
    estimates = leaky(references)
    alone = ratios(references, {"a": estimates["a"]})
    assert_close(alone, {"a": ratios(references, estimates)["a"]})


def test_one_sample_is_a_track():
    one = {"a": np.ones((1, 1), np.float32)}
    assert bss_eval(one, {"a": 0.5 * one["a"]})["a"].sdr_db[0] == pytest.approx(6.0206, abs=1e-3)


def test_rounding_to_16_bits_is_exact_and_does_not_clip():
    signal = noise(0, 2, 100)
    rounded = rounded_to_16_bits(signal)
    assert np.abs(rounded - signal).max() <= 0.5 / 32768
    assert rounded.dtype == np.float32
    assert np.abs(rounded).max() > 1
    assert rounded_to_16_bits(rounded) is rounded


def test_lengths_are_fitted_as_museval_does():
    signal = noise(0, 2, 10)
    np.testing.assert_array_equal(fit_length(signal, 7), signal[:, :7])
    longer = fit_length(signal, 12)
    np.testing.assert_array_equal(longer[:, :10], signal)
    assert not longer[:, 10:].any()


@pytest.mark.parametrize(
    ("references", "estimates", "message"),
    [
        ({}, {}, "there are no references"),
        (noises(), {"c": noise(0, 1, 8000)}, r"estimate of 'c' but no reference.*are a, b"),
        (noises(), {"a": noise(0, 1, 7999)}, r"estimate of 'a' has shape \(1, 7999\) but.*fit_l"),
        (noises(), {"a": noise(0, 2, 8000)}, r"shape \(2, 8000\) but the first reference \(1, 80"),
        ({"a": noise(0, 8000)}, {}, r"reference of 'a' has shape \(8000,\); it must be"),
        ({"a": noise(0, 2, 0)}, {}, r"at least one of each"),
        (
            noises(),
            {"a": np.full((1, 8000), np.nan, np.float32)},
            "'a' has 8000 samples that are N",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(references, estimates, message):
    with pytest.raises(UsageError, match=message):
        bss_eval(references, estimates)


def test_frames_have_a_sensible_length():
    with pytest.raises(UsageError, match="1 sample or more, not 0"):
        bss_eval(noises(), {}, frame_samples=0)
