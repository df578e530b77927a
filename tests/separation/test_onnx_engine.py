from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import stemlight
from stemlight.errors import WeightsError
from stemlight.separation.onnx_engine import OnnxEngine
from stemlight.separation.sessions import OnnxRuntime
from stemlight.stft import Stft
from stemlight.weights.catalogue import find_model

SOURCES = ("vocals", "drums", "bass", "other")
WINDOW_SAMPLES = 31 * 1024


class CountingRuntime:
    """ONNX Runtime, and a note of all that it opened and ran."""

    n_threads = 1

    def __init__(self):
        self.opened = []
        self.runs = []

    def __call__(self, graph):
        self.opened.append(graph)
        run = OnnxRuntime(n_threads=1)(graph)

        def noted(planes):
            estimates = run(planes)
            self.runs.append((len(planes), len(estimates)))
            return estimates

        return noted


def engine_of(graph=None, **options):
    graph = graph or find_model("stemlight") / "model.onnx"
    stft = Stft(4096, 1024, packing="complex-major", kept_bins=2048)
    facts = {"stft": stft, "sources": SOURCES, "sample_rate_hz": 44_100}
    return OnnxEngine(graph, **{**facts, "runtime": CountingRuntime(), **options})


@pytest.fixture
def engines():
    return [engine_of(keeps_silence=keeps) for keeps in (False, True)]


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


def test_silent_windows_do_not_reach_the_network(engines):
    _, engine = engines
    stems = engine.separate_chunks(windows(0.0, 0.0), ["bass"])
    assert stems.shape == (2, 1, 2, WINDOW_SAMPLES)
    assert not stems.any()
    assert engine.runtime.runs == []
    engine.separate_chunks(windows(0.0, 0.1, 0.0), ["bass"])
    assert engine.runtime.runs == [(1, 1)]


@pytest.mark.parametrize("sources", [["bass"], ["other", "vocals"], ["drums", "bass", "vocals"]])
def test_some_sources_are_those_of_all_bit_for_bit_and_no_others_are_computed(sources):
    engine = engine_of()
    mixture = windows(0.1, 0.2)
    every = engine.separate_chunks(mixture, SOURCES)
    some = engine.separate_chunks(mixture, sources)
    assert engine.runtime.runs == [(2, 4), (2, len(sources))]
    for index, name in enumerate(sources):
        np.testing.assert_array_equal(some[:, index], every[:, SOURCES.index(name)])


def test_a_network_is_opened_when_it_is_first_needed_and_kept():
    engine = engine_of()
    assert engine.runtime.opened == []
    for sources in (["bass", "drums"], ["drums", "bass"], SOURCES, ["bass", "drums"]):
        engine.separate_chunks(windows(0.1), sources)
    part, whole = engine.runtime.opened
    assert whole == engine.graph
    assert 0 < len(part) < engine.graph.stat().st_size


def test_threads_that_ask_at_once_open_one_network():
    engine = engine_of()
    mixture = windows(0.1)
    with ThreadPoolExecutor(4) as pool:
        stems = list(pool.map(lambda _: engine.separate_chunks(mixture, ["bass"]), range(4)))
    assert len(engine.runtime.opened) == 1
    assert all(np.array_equal(stems[0], others) for others in stems[1:])


def test_many_sets_of_sources_do_not_fill_the_memory():
    engine = engine_of()
    sets = [[name] for name in SOURCES] + [["vocals", name] for name in SOURCES[1:]]
    for sources in sets:
        engine._network(sources)
    assert len(engine._opened) == 4
    assert list(engine._opened) == [
        frozenset(f"estimate_{name}" for name in sources) for sources in sets[-4:]
    ]


def test_a_graph_of_other_sources_is_refused(tmp_path):
    with pytest.raises(WeightsError, match=r"gives estimate_vocals, .*, not estimate_piano; "):
        engine_of(sources=["piano"])
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match=r"model\.onnx is no ONNX graph; fetch or export"):
        engine_of(tmp_path / "model.onnx")
    with pytest.raises(WeightsError, match=r"cannot read .*missing\.onnx: No such file"):
        engine_of(tmp_path / "missing.onnx")


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
    assert stemlight.load("stemlight", n_threads=1).maker.backend.keeps_silence
    assert not stemlight.load(tmp_path / "mapping", n_threads=1).maker.backend.keeps_silence
