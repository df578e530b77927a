"""The model inside the package: its card tells the truth, and it separates."""

from __future__ import annotations

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


@pytest.fixture(scope="module")
def separator():
    return stemlight.load(n_threads=1)


def test_the_card_states_the_score_that_the_validation_tracks_give(separator, shared):
    names = (REPOSITORY / "recipes" / "musdb18-validation.txt").read_text().splitlines()
    tracks = find_tracks(shared("data/musdb18-7s/train"), sources=separator.sources)
    held_out = [track for track in tracks if track.name in names]
    assert len(held_out) == len(names) == 14
    scores = evaluate_tracks(
        separator, ((t.name, *t.read(separator.sources, 44_100)) for t in held_out)
    )
    (stated,) = stemlight.model_card().scores
    assert scores.average_sdr_db == pytest.approx(stated.average_db, abs=0.005)
    assert scores.mean_sdr_db == pytest.approx(stated.stems_db, abs=0.005)
    assert scores.average_sdr_db >= 3.0
    assert all(value > 1.0 for value in scores.mean_sdr_db.values())


def test_no_validation_track_was_trained_on():
    """The recipe leaves out by name what it validates with."""
    from stemlight.training.recipe import read_recipe

    data = read_recipe(REPOSITORY / "recipes" / "stemlight-small.yaml").data
    (validation,) = data.validation
    (same_folder,) = (folder for folder in data.train if folder.path == validation.path)
    assert validation.only is not None
    assert set(validation.only) == set(same_folder.exclude)
    assert len(validation.only) == 14


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


def test_silence_stays_silent(separator):
    stems = separator(np.zeros((2, 100_000), np.float32))
    assert all(not stem.any() for stem in stems.values())


def test_the_package_stays_small_enough_to_ship():
    n_bytes = sum(path.stat().st_size for path in PACKAGE.rglob("*") if path.is_file())
    assert n_bytes < MAX_WHEEL_BYTES
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
    assert late_samples < 0.65 * 44_100
    whole = separator(mixture, sources=["drums"])["drums"]
    np.testing.assert_array_equal(np.concatenate(pieces, axis=1), whole)
