"""Our BSS Eval is that of museval, frame by frame."""

from __future__ import annotations

import shutil
import warnings

import numpy as np
import pytest
import scipy.linalg
import scipy.signal

from stemlight.evaluation import bss_eval

from .signals import STEMS, leaky, masked, noises

RATIOS = ("sdr_db", "isr_db", "sir_db", "sar_db")
TOLERANCE_DB = 0.001


@pytest.fixture(scope="module")
def museval():
    if not (shutil.which("ffmpeg") and shutil.which("ffprobe")):
        pytest.skip("museval does not import without the programs ffmpeg and ffprobe")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("museval")


@pytest.fixture(autouse=True)
def _one_factor_for_all_estimates(monkeypatch):
    """Factor a matrix once, by the same routines of LAPACK; museval does so for each stem."""
    last = {}

    def solve(matrix, wanted):
        if "matrix" not in last or not np.array_equal(last["matrix"], matrix):
            last.update(matrix=matrix, factor=scipy.linalg.lu_factor(matrix))
        return scipy.linalg.lu_solve(last["factor"], wanted)

    monkeypatch.setattr(np.linalg, "solve", solve)


def theirs(museval, references, estimates, **options):
    def stacked(signals):
        return np.stack([signals[name].T for name in references]).astype(np.float64)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return museval.evaluate(stacked(references), stacked(estimates), **options)


def assert_equal_db(ours, values):
    # Beyond 100 dB nothing is left but rounding, in either.
    ours, values = np.minimum(ours, 100), np.minimum(values, 100)
    np.testing.assert_allclose(ours, values, rtol=0, atol=TOLERANCE_DB)


def assert_same(museval, references, estimates, frame_samples=44_100):
    options = {"win": frame_samples, "hop": frame_samples}
    wanted = theirs(museval, references, estimates, **options)
    found = bss_eval(references, estimates, frame_samples=frame_samples, n_threads=2)
    for ratio, values in zip(RATIOS, wanted, strict=True):
        ours = np.stack([getattr(found[name], ratio) for name in references])
        assert_equal_db(ours, values)
    return found


def test_four_stereo_stems_of_real_music(museval, excerpt):
    mixture, references = excerpt(0, seconds=3.5)  # the last half second is no frame
    found = assert_same(museval, references, masked(mixture, references))
    assert all(len(found[name].sdr_db) == 3 for name in STEMS)
    assert all(np.isfinite(found[name].sar_db).any() for name in STEMS)


@pytest.mark.parametrize("number", [3, 7, 11])
def test_four_mono_stems_of_real_music(museval, excerpt, number):
    mixture, references = excerpt(number, seconds=4)
    references = {name: signal[:1] for name, signal in references.items()}
    assert_same(museval, references, masked(mixture[:1], references))


def test_vocals_and_accompaniment_of_real_music_with_the_mixture_as_estimate(museval, excerpt):
    mixture, references = excerpt(5, seconds=3)
    accompaniment = sum(references[name] for name in ("drums", "bass", "other"))
    references = {"vocals": references["vocals"], "accompaniment": accompaniment}
    assert_same(museval, references, {"vocals": mixture / 3, "accompaniment": mixture * 0.7})


def test_clipped_estimates_of_real_music(museval, excerpt):
    _, references = excerpt(9, seconds=3)
    references = {name: references[name][:1] for name in ("vocals", "drums")}
    limit = 0.1 * max(np.abs(signal).max() for signal in references.values())
    clipped = {name: np.clip(signal, -limit, limit) for name, signal in leaky(references).items()}
    assert_same(museval, references, clipped)


@pytest.mark.parametrize("n_samples", [10, 400, 4999, 5000, 5001, 9999, 10_000, 12_345])
def test_frames_of_any_length_of_track(museval, n_samples):
    references = noises(n_samples=n_samples)
    assert_same(museval, references, leaky(references), frame_samples=5000)


@pytest.mark.parametrize("silent", ["reference", "estimate"])
def test_frames_in_which_one_stem_is_silent(museval, silent):
    references = noises(channels=2, n_samples=15_000)
    estimates = leaky(references)
    chosen = references if silent == "reference" else estimates
    chosen["b"][:, 5000:10_000] = 0
    found = assert_same(museval, references, estimates, frame_samples=5000)
    assert np.isnan(found["a"].sdr_db).tolist() == [False, True, False]


def test_a_source_in_one_channel_alone(museval):
    references = noises(channels=2, n_samples=10_000)
    references["b"][0] = 0
    assert_same(museval, references, leaky(references), frame_samples=5000)


def test_sources_that_are_equal_in_both_channels(museval):
    references = {name: np.repeat(s, 2, axis=0) for name, s in noises(n_samples=10_000).items()}
    assert_same(museval, references, leaky(references), frame_samples=5000)


def test_sources_of_very_different_levels(museval):
    references = noises(channels=2, n_samples=10_000)
    references["b"] *= np.float32(1e-3)
    assert_same(museval, references, leaky(references), frame_samples=5000)


def test_a_single_source(museval):
    references = noises(names=("a",), n_samples=10_000)
    estimates = leaky(references)
    sdr, isr, _, sar = theirs(museval, references, estimates, win=5000, hop=5000)
    found = bss_eval(references, estimates, frame_samples=5000)["a"]
    for ours, values in ((found.sdr_db, sdr), (found.isr_db, isr), (found.sar_db, sar)):
        assert_equal_db(ours, values[0])
    assert (found.sir_db > 100).all()  # there is nobody else
