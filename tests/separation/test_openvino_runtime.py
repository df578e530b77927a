"""OpenVINO: what it gives, from several threads, and what it refuses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from stemlight.errors import UsageError, WeightsError
from stemlight.separation.graph_parts import graph_part
from stemlight.separation.sessions import OnnxRuntime
from stemlight.weights.catalogue import find_model

openvino = pytest.importorskip("openvino")
runtime = pytest.importorskip("stemlight.separation.openvino_runtime")


@pytest.fixture(scope="module")
def graph():
    return find_model("stemlight") / "model.onnx"


def planes(n_batch, n_frames, seed=0):
    random = np.random.default_rng(seed)
    return random.standard_normal((n_batch, 4, n_frames, 2048)).astype(np.float32)


def test_it_gives_what_onnx_runtime_gives_for_any_batch_and_length(graph):
    one, other = OnnxRuntime(n_threads=1)(graph), runtime.OpenVino(n_threads=1)(graph)
    for given in (planes(1, 32), planes(2, 16), planes(1, 32, seed=1)):
        for expected, found in zip(one(given), other(given), strict=True):
            assert np.abs(found - expected).max() < 2e-4 * np.sqrt(np.mean(expected**2))


def test_results_stay_what_they_are_when_more_is_run(graph):
    run = runtime.OpenVino(n_threads=1)(graph_part(graph, ["estimate_drums"]))
    (first,) = run(planes(1, 16))
    copy = first.copy()
    run(planes(1, 16, seed=1))
    np.testing.assert_array_equal(first, copy)


def test_threads_do_not_disturb_each_other(graph):
    run = runtime.OpenVino(n_threads=1)(graph_part(graph, ["estimate_bass"]))
    alone = [run(planes(1, 16, seed))[0] for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda seed: run(planes(1, 16, seed))[0], range(6)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_no_graph_is_refused(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(WeightsError, match=r"model\.onnx cannot be run by OpenVINO: "):
        runtime.OpenVino()(tmp_path / "model.onnx")
    with pytest.raises(WeightsError, match=r"cannot read .*missing\.onnx: No such file"):
        runtime.OpenVino()(tmp_path / "missing.onnx")


def test_bfloat16_is_refused_where_it_would_be_no_faster(monkeypatch):
    class OldProcessor:
        def get_property(self, device, name):
            return ["FP32", "INT8"]

    monkeypatch.setattr(runtime.openvino, "Core", OldProcessor)
    runtime.OpenVino()
    with pytest.raises(UsageError, match="does not compute in bfloat16, so nothing would be"):
        runtime.OpenVino(precision="bfloat16")
