"""Weights that the authors trained really separate: what they measured comes out again."""

from __future__ import annotations

import numpy as np
import pytest

import stemlight
from stemlight.evaluation import evaluate_tracks
from stemlight.tracks import find_tracks

from .conftest import REPOSITORY

# SDR of the vocals in dB, with the authors' procedure, on 7-second excerpts of MUSDB18.
MEAN_DB = 5.96
SOME_TRACKS_DB = {
    "Fergessen - Nos Palpitants": 9.40,
    "Meaxic - Take A Step": 9.75,
    "Skelpolu - Human Mistakes": 1.71,
}


@pytest.fixture(scope="module")
def separator(shared):
    pytest.importorskip("torch", reason="reading a checkpoint needs PyTorch")
    return stemlight.load(shared("weights/cac_tdc_17_vocals_top3.pt"))


def test_the_tdc_vocals_of_2020_separate_as_well_as_the_authors_measured(separator, shared):
    names = (REPOSITORY / "recipes" / "musdb18-validation.txt").read_text().splitlines()
    tracks = find_tracks(shared("data/musdb18-7s/train"), sources=("vocals",))
    chosen = [track for track in tracks if track.name in names]
    assert len(chosen) == 14
    scores = evaluate_tracks(separator, ((t.name, *t.read(("vocals",), 44_100)) for t in chosen))
    assert scores.mean_sdr_db["vocals"] == pytest.approx(MEAN_DB, abs=0.05)
    found = {track.name: track.sdr_db["vocals"] for track in scores.tracks}
    for name, expected in SOME_TRACKS_DB.items():
        assert found[name] == pytest.approx(expected, abs=0.05)


def test_its_accompaniment_is_the_mixture_without_the_vocals(separator):
    mixture = stemlight.read_audio(REPOSITORY / "examples" / "feelings.flac").samples[:, :200_000]
    stems = separator(mixture, complement="accompaniment")
    np.testing.assert_array_equal(stems["accompaniment"], mixture - stems["vocals"])
    assert np.abs(stems["vocals"]).max() > 1e-3
