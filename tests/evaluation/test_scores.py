"""SDR: the challenge's definition and the properties that follow from it."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stemlight.evaluation import evaluate_tracks, sdr_db


def noise(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_silence_as_estimate_has_0_db():
    assert sdr_db(noise(0, 2, 1000), np.zeros((2, 1000), np.float32)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("level_db", [-20, 0, 7.5])
def test_sdr_is_the_level_of_the_reference_over_the_error(level_db):
    reference, error = noise(0, 2, 20_000), noise(1, 2, 20_000)
    error *= np.sqrt(np.square(reference).sum() / np.square(error).sum()) * 10 ** (-level_db / 20)
    assert sdr_db(reference, reference + error) == pytest.approx(level_db, abs=1e-3)


def test_sdr_runs_over_both_channels_at_once():
    reference = noise(0, 2, 1000)
    reference[1] *= 10
    only_right = np.stack([np.zeros(1000, np.float32), reference[1]])
    assert sdr_db(reference, only_right) == pytest.approx(20.04, abs=0.5)


def test_tracks_are_averaged_first_then_stems_and_silent_references_are_left_out():
    references = {"a": noise(0, 2, 100), "b": np.zeros((2, 100), np.float32)}
    louder = {"a": noise(0, 2, 100), "b": noise(1, 2, 100)}
    tracks = [("one", sum(references.values()), references), ("two", references["a"], louder)]

    def silence(mixture):
        return {name: np.zeros_like(mixture) for name in ("a", "b")}

    scores = evaluate_tracks(silence, tracks)
    assert list(scores.tracks[0].sdr_db) == ["a"]
    assert list(scores.mean_sdr_db) == ["a", "b"]
    assert scores.average_sdr_db == pytest.approx(0, abs=1e-6)
    assert math.isnan(evaluate_tracks(silence, []).average_sdr_db)
