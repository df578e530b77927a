"""The models inside the package: their cards tell the truth, and they separate."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

import stemlight
from stemlight.evaluation import evaluate_tracks
from stemlight.tracks import find_tracks

from .conftest import REPOSITORY

EXAMPLE = REPOSITORY / "examples" / "feelings.flac"
PACKAGE = Path(stemlight.__file__).parent
MAX_WHEEL_BYTES = 25e6
MODELS = ("stemlight", "stemlight-open")


@pytest.fixture(scope="module")
def separator():
    return stemlight.load(n_threads=1)


@pytest.fixture(scope="module")
def held_out(separator, shared):
    """The validation tracks: nothing was trained on them."""
    names = (REPOSITORY / "recipes" / "musdb18-validation.txt").read_text().splitlines()
    tracks = find_tracks(shared("data/musdb18-7s/train"), sources=separator.sources)
    tracks = [track for track in tracks if track.name in names]
    assert len(tracks) == len(names) == 14
    return tracks


def scores_of(separator, tracks):
    return evaluate_tracks(
        separator, ((t.name, *t.read(separator.sources, 44_100)) for t in tracks)
    )


@pytest.mark.parametrize("model", MODELS)
def test_the_card_states_the_score_that_the_validation_tracks_give(model, held_out):
    scores = scores_of(stemlight.load(model, n_threads=1), held_out)
    (stated,) = stemlight.model_card(model).scores
    assert scores.average_sdr_db == pytest.approx(stated.average_db, abs=0.005)
    assert scores.mean_sdr_db == pytest.approx(stated.stems_db, abs=0.005)
    assert scores.average_sdr_db >= 3.0
    assert all(value > 1.0 for value in scores.mean_sdr_db.values())


def test_weights_for_any_use_saw_nothing_that_asks_for_more_than_a_notice():
    card = stemlight.model_card("stemlight-open")
    assert card.licence.startswith("Weights: MIT")
    for data in card.training_data:
        assert data.terms.removeprefix("compositions ") in ("CC0 1.0", "MIT"), data.name
    assert any("MUSDB18" in data.name for data in stemlight.model_card().training_data)


@pytest.mark.parametrize("model", MODELS)
def test_eight_bits_cost_less_than_a_twentieth_of_a_decibel(model, held_out):
    scores = scores_of(stemlight.load(model, precision="int8", n_threads=1), held_out)
    (stated,) = stemlight.model_card(model).scores
    for stem, stated_db in stated.stems_db.items():
        assert scores.mean_sdr_db[stem] > stated_db - 0.05


def test_some_stems_in_eight_bits_are_those_of_all():
    separator = stemlight.load(precision="int8", n_threads=1)
    mixture = stemlight.read_audio(EXAMPLE).samples[:, : 4 * 44_100]
    every = separator(mixture)
    for name, stem in separator(mixture, sources=["bass", "vocals"]).items():
        np.testing.assert_array_equal(stem, every[name])


@pytest.mark.parametrize("recipe", ["stemlight-small", "stemlight", "stemlight-open"])
def test_no_validation_track_is_trained_on(recipe):
    """The recipe leaves out by name what it validates with."""
    from stemlight.training.recipe import read_recipe

    data = read_recipe(REPOSITORY / "recipes" / f"{recipe}.yaml").data
    (validation,) = data.validation
    assert validation.only is not None
    assert len(validation.only) == 14
    same_folder = [folder for folder in data.train if folder.path == validation.path]
    assert len(same_folder) == (0 if recipe == "stemlight-open" else 1)
    for folder in same_folder:
        assert set(folder.exclude) == set(validation.only)


def test_the_example_has_stems_of_its_length_that_differ(separator):
    mixture = stemlight.read_audio(EXAMPLE)
    stems = separator(mixture)
    assert set(stems) == {"vocals", "drums", "bass", "other"}
    for stem in stems.values():
        assert stem.samples.shape == mixture.samples.shape
        assert stem.sample_rate_hz == mixture.sample_rate_hz
    drums, bass = stems["drums"].samples.ravel(), stems["bass"].samples.ravel()
    assert abs(np.corrcoef(drums, bass)[0, 1]) < 0.5


def test_a_stem_asked_alone_has_the_samples_it_has_in_company(separator):
    mixture = stemlight.read_audio(EXAMPLE).samples[:, : 8 * 44_100]
    alone = separator(mixture, sources=["bass"])["bass"]
    np.testing.assert_allclose(alone, separator(mixture)["bass"], atol=1e-6)


@pytest.mark.parametrize("choices", [{"n_threads": 2}, {"n_threads": 1, "batch_size": 3}])
def test_threads_and_batches_change_no_sample_by_more_than_a_millionth(separator, choices):
    mixture = stemlight.read_audio(EXAMPLE).samples[:, : 14 * 44_100]  # three windows
    other = stemlight.load(**choices)(mixture)
    for name, stem in separator(mixture).items():
        np.testing.assert_allclose(other[name], stem, rtol=0, atol=1e-6)


def test_the_error_at_the_borders_of_windows_is_not_above_the_mean_error(held_out):
    """The same music is heard near borders and far from them, so that only borders matter.

    A border is where two windows cross-fade, and half a frame of the transform at both sides. The
    windows are shifted by a seventh of their hop, seven times: then every sample of the music was
    near a border equally often. Short windows have many borders.
    """
    config = stemlight.model_card().model_config()
    plan, half_frame = config.low_latency_chunk(), config.stft.n_fft // 2
    separator = stemlight.load(n_threads=1, low_latency=True)
    ratios = []
    for track in held_out[::2]:
        mixture, references = track.read(separator.sources, separator.sample_rate_hz)
        errors, are_near = [], []
        for n_shift in range(0, plan.hop_samples, plan.hop_samples // 7):
            shifted = np.pad(mixture, ((0, 0), (n_shift, 0)))
            stems = separator(shifted)
            errors.append(
                sum(
                    np.square(stems[name][:, n_shift:] - reference).sum(axis=0, dtype=np.float64)
                    for name, reference in references.items()
                )
            )
            place = np.arange(n_shift, shifted.shape[1]) + half_frame
            are_near.append(place % plan.hop_samples < plan.overlap_samples + 2 * half_frame)
        # The first window and the last have a border at one side only.
        n_hops = mixture.shape[1] // plan.hop_samples
        inner = slice(plan.hop_samples, (n_hops - 1) * plan.hop_samples)
        error, is_near = np.stack(errors)[:, inner], np.stack(are_near)[:, inner]
        assert np.unique(is_near.sum(axis=0)).tolist() == [2]
        ratios.append(error[is_near].mean() / error.mean())
    # 0.992, because a cross-fade is the mean of two estimates. Windows of this length that neither
    # overlap nor are trimmed have 1.09; cross-fades that lose a fifth of the earlier window, 1.002.
    assert np.mean(ratios) <= 1, ratios


def test_silence_stays_silent(separator):
    stems = separator(np.zeros((2, 100_000), np.float32))
    assert all(not stem.any() for stem in stems.values())


def test_the_package_stays_small_enough_to_ship():
    files = [path.read_bytes() for path in PACKAGE.rglob("*") if path.is_file()]
    assert sum(len(zlib.compress(file)) for file in files) < MAX_WHEEL_BYTES
    assert EXAMPLE.stat().st_size < 3e6


def test_low_latency_is_low_and_streams_what_it_gives_at_once():
    separator = stemlight.load(n_threads=1, low_latency=True)
    mixture = stemlight.read_audio(EXAMPLE).samples[:, : 3 * 44_100]
    late_samples, pieces = 0, []
    with separator.stream(channels=2, sources=["drums"]) as stream:
        for first in range(0, mixture.shape[1], 1024):
            pieces.append(stream.push(mixture[:, first : first + 1024])["drums"])
            late_samples = max(late_samples, stream.lag_samples)
        pieces.append(stream.flush()["drums"])
    latency_samples = stemlight.model_card().model_config().low_latency_chunk().latency_samples
    assert latency_samples - 1024 <= late_samples < latency_samples < 0.65 * 44_100
    whole = separator(mixture, sources=["drums"])["drums"]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)
