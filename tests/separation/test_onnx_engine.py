from __future__ import annotations

import numpy as np
import pytest

import stemlight
from stemlight.separation.onnx_engine import OnnxEngine
from stemlight.stft import Stft
from stemlight.weights.catalogue import find_model

SOURCES = ("vocals", "drums", "bass", "other")
WINDOW_SAMPLES = 31 * 1024


@pytest.fixture
def engines():
    graph = find_model("stemlight") / "model.onnx"
    stft = Stft(4096, 1024, packing="complex-major", kept_bins=2048)
    facts = {"stft": stft, "sources": SOURCES, "sample_rate_hz": 44_100, "n_threads": 1}
    return [OnnxEngine(graph, keeps_silence=keeps, **facts) for keeps in (False, True)]


def windows(*levels):
    noise = np.random.default_rng(0).standard_normal((len(levels), 2, WINDOW_SAMPLES))
    return (noise * np.array(levels)[:, None, None]).astype(np.float32)


@pytest.mark.parametrize("levels", [(0.1,), (0.0,), (0.1, 0.0, 0.2), (0.0, 0.0)])
def test_leaving_silent_windows_out_changes_no_sample(engines, levels):
    every, sounding = (
        engine.separate_chunks(windows(*levels), ["drums", "vocals"]) for engine in engines
    )
    assert sounding.dtype == np.float32
    np.testing.assert_allclose(sounding, every, atol=1e-7)


def test_a_silent_window_does_not_reach_the_network(engines, monkeypatch):
    _, engine = engines
    monkeypatch.setattr(engine, "session", None)
    stems = engine.separate_chunks(windows(0.0, 0.0), ["bass"])
    assert stems.shape == (2, 1, 2, WINDOW_SAMPLES)
    assert not stems.any()


def test_a_window_that_sounds_in_one_channel_alone_is_separated(engines):
    every, sounding = engines
    mixture = windows(0.1)
    mixture[:, 0] = 0
    stems = sounding.separate_chunks(mixture, SOURCES)
    np.testing.assert_array_equal(stems, every.separate_chunks(mixture, SOURCES))
    assert stems[:, :, 1].any()


def test_only_models_whose_estimates_are_shares_of_the_mixture_skip_silence(tmp_path):
    weights = pytest.importorskip("stemlight.weights.untrained")
    arguments = {"network": {"n_blocks": 3, "features": [4]}}
    weights.save_untrained_model("tfc-small", tmp_path / "mapping", arguments=arguments)
    assert stemlight.load("stemlight", n_threads=1).maker._backend.keeps_silence
    assert not stemlight.load(tmp_path / "mapping", n_threads=1).maker._backend.keeps_silence
