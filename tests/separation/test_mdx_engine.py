"""MDX-Net graphs as they are: the authors' outputs, planes in their places, clear refusals."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from stemlight.chunking import ChunkPlan
from stemlight.errors import UsageError, WeightsError
from stemlight.separation import Backend, Separator, mdx_engine
from stemlight.separation.mdx_engine import (
    MdxOnnxEngine,
    MdxShape,
    known_n_fft,
    read_mdx_shape,
)
from stemlight.separation.official_routines import separate_officially
from stemlight.separation.sessions import OnnxRuntime

from .fakes import noise

ONE_THREAD = OnnxRuntime(n_threads=1)
N_FFT, HOP, DIM_T = 128, 32, 16
DIM_F = N_FFT // 2 + 1
WINDOW = HOP * (DIM_T - 1)


def write_graph(path, factor, *, shape=("batch", 4, DIM_F, DIM_T), output=None, kind=None):
    """Write a graph that multiplies its input by `factor`, which may be any broadcast shape."""
    kind = kind or TensorProto.FLOAT
    given = helper.make_tensor_value_info("planes in", kind, shape)
    result = helper.make_tensor_value_info("planes out", kind, output or shape)
    constant = numpy_helper.from_array(
        np.asarray(factor, helper.tensor_dtype_to_np_dtype(kind)), "factor"
    )
    node = helper.make_node("Mul", ["planes in", "factor"], ["planes out"])
    graph = helper.make_graph([node], "net", [given], [result], [constant])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def engine_of(path, **options):
    facts = {"source": "vocals", "n_fft": N_FFT, "hop_samples": HOP, "runtime": ONE_THREAD}
    return MdxOnnxEngine(path, **{**facts, **options})


@pytest.fixture
def identity(tmp_path):
    return write_graph(tmp_path / "identity.onnx", 1.0)


# ---------------------------------------------------------------- the authors' graph


@pytest.fixture
def official(shared):
    graph = shared("fixtures/official/mdx_v2_vocals.onnx")
    tensors = load_file(shared("fixtures/official/mdx_v2.safetensors"))
    mixture = tensors["in.wave"].astype(np.float32) / 32768
    engine = MdxOnnxEngine(graph, source="vocals", n_fft=384, hop_samples=64, runtime=ONE_THREAD)
    return engine, mixture, tensors["out.sources_before_mixer"][3]  # bass, drums, other, vocals


def test_the_authors_graph_gives_the_authors_planes(official, shared):
    engine, _, _ = official
    tensors = load_file(shared("fixtures/official/mdx_v2_vocals.onnx.io.safetensors"))
    (planes,) = engine.runtime(engine.graph)(tensors["input"])
    np.testing.assert_allclose(planes, tensors["output"], atol=1e-4)


@pytest.mark.parametrize("routine", ["mdx-net", "mdx-net-validation"])
def test_the_authors_graph_and_routine_give_the_authors_samples(official, routine):
    engine, mixture, expected = official
    stems = separate_officially(
        lambda windows: engine.separate_chunks(windows, engine.sources),
        mixture,
        routine=routine,
        chunk_samples=engine.chunk_plan.chunk_samples,
        trim_samples=engine.chunk_plan.trim_samples,
    )
    np.testing.assert_allclose(stems[0], expected, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_separator_gives_the_authors_samples_as_well(official, batch_size):
    engine, mixture, expected = official
    assert engine.chunk_plan == ChunkPlan(chunk_samples=4032, trim_samples=192)
    stems = Separator(engine, engine.chunk_plan, batch_size=batch_size)(mixture)
    assert list(stems) == ["vocals"]
    np.testing.assert_allclose(stems["vocals"], expected, atol=1e-4)


def test_the_authors_graph_tells_its_shape(official):
    engine, _, _ = official
    assert engine.shape == read_mdx_shape(engine.graph) == MdxShape(dim_f=128, dim_t=64)


# ---------------------------------------------------------------- planes, bins, batch, gain


def test_it_is_a_backend(identity):
    engine = engine_of(identity)
    assert isinstance(engine, Backend)
    assert (engine.sources, engine.sample_rate_hz, engine.n_channels) == (("vocals",), 44_100, 2)


def test_an_identity_graph_of_all_bins_gives_the_mixture_back(identity):
    engine = engine_of(identity)
    mixture = noise(2, 3 * WINDOW + 7)
    stems = Separator(engine, engine.chunk_plan)(mixture)
    np.testing.assert_allclose(stems["vocals"], mixture, atol=2e-6)


@pytest.mark.parametrize(("planes", "heard"), [((0, 1), 0), ((2, 3), 1)])
def test_the_first_two_planes_are_the_left_channel(tmp_path, planes, heard):
    factor = np.zeros((1, 4, 1, 1))
    factor[:, list(planes)] = 1
    engine = engine_of(write_graph(tmp_path / "side.onnx", factor))
    mixture = noise(2, WINDOW)[np.newaxis]
    stem = engine.separate_chunks(mixture, ["vocals"])[0, 0]
    np.testing.assert_allclose(stem[heard], mixture[0, heard], atol=2e-6)
    assert (stem[1 - heard] == 0).all()


@pytest.mark.parametrize(("first_bin", "is_heard"), [(0, True), (30, False)])
def test_the_third_axis_is_bins_from_the_lowest(tmp_path, first_bin, is_heard):
    factor = np.zeros((1, 1, DIM_F, 1))
    factor[:, :, first_bin : first_bin + 30] = 1
    engine = engine_of(write_graph(tmp_path / "band.onnx", factor))
    tone = np.sin(2 * np.pi * 10 / N_FFT * np.arange(WINDOW)).astype(np.float32)
    mixture = np.stack([tone, tone])[np.newaxis]
    stem = engine.separate_chunks(mixture, ["vocals"])[0, 0]
    inside = slice(N_FFT, -N_FFT)  # away from the reflected ends
    expected = tone if is_heard else 0 * tone
    np.testing.assert_allclose(stem[0, inside], expected[inside], atol=1e-3)


def test_bins_beyond_those_of_the_graph_are_silent(tmp_path):
    graph = write_graph(tmp_path / "low.onnx", 1.0, shape=("batch", 4, 20, DIM_T))
    engine = engine_of(graph)
    for tone_bin, is_heard in ((8, True), (30, False)):
        tone = np.sin(2 * np.pi * tone_bin / N_FFT * np.arange(WINDOW)).astype(np.float32)
        stem = engine.separate_chunks(np.stack([tone, tone])[np.newaxis], ["vocals"])[0, 0, 0]
        level = np.abs(stem[N_FFT:-N_FFT]).max()
        assert level == pytest.approx(1, abs=0.01) if is_heard else level < 1e-3


def test_a_batch_fixed_to_one_gives_the_same_samples(tmp_path, identity):
    fixed = write_graph(tmp_path / "fixed.onnx", 1.0, shape=(1, 4, DIM_F, DIM_T))
    assert read_mdx_shape(fixed) == MdxShape(DIM_F, DIM_T, one_at_a_time=True)
    mixture = noise(6, WINDOW).reshape(3, 2, WINDOW)
    alone, together = (
        engine_of(graph).separate_chunks(mixture, ["vocals"]) for graph in (fixed, identity)
    )
    assert together.shape == (3, 1, 2, WINDOW)
    np.testing.assert_array_equal(alone, together)


def test_the_gain_multiplies_the_estimate(identity):
    mixture = noise(2, WINDOW)[np.newaxis]
    plain, louder = (
        engine_of(identity, gain=gain).separate_chunks(mixture, ["vocals"]) for gain in (1.0, 1.035)
    )
    assert louder.dtype == np.float32
    np.testing.assert_array_equal(louder, plain * np.float32(1.035))


# ---------------------------------------------------------------- n_fft


def test_the_n_fft_of_a_known_graph_may_be_left_out(identity, monkeypatch):
    digest = hashlib.sha256(identity.read_bytes()).hexdigest()
    assert known_n_fft(identity) is None
    monkeypatch.setitem(mdx_engine._N_FFT_OF_KNOWN_GRAPHS, digest, N_FFT)
    assert known_n_fft(identity) == N_FFT
    assert engine_of(identity, n_fft=None).stft.n_fft == N_FFT


def test_the_table_of_known_graphs_holds_four_of_each_leaderboard():
    table = mdx_engine._N_FFT_OF_KNOWN_GRAPHS
    assert sorted(table.values()) == [4096] * 2 + [6144] * 2 + [8192] * 2 + [16384] * 2
    assert all(len(digest) == 64 and int(digest, 16) for digest in table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_fft": None}, r"pass n_fft \(an even n_fft in 128\.\.478 fits the 65 bins and 16 fr"),
        ({"n_fft": 126}, r"n_fft 126 does not fit: an even n_fft in 128\.\.478 fits the 65 bins"),
        ({"n_fft": 129}, r"n_fft 129 does not fit: an even n_fft in 128\.\.478 fits .* at hop 32"),
        ({"n_fft": 480}, r"n_fft 480 does not fit: an even n_fft in 128\.\.478"),
        ({"hop_samples": 4}, "hop_samples 4 does not fit the 16 frames"),
        ({"hop_samples": 0}, "hop_samples 0 does not fit the 16 frames"),
        ({"gain": 0.0}, r"gain must be a factor above 0, not 0\.0"),
        ({"gain": float("nan")}, "gain must be a factor above 0, not nan"),
    ],
)
def test_settings_that_do_not_fit_the_graph_are_refused_with_what_does(identity, options, message):
    with pytest.raises(UsageError, match=message):
        engine_of(identity, **options)


def test_windows_of_another_length_are_refused_with_the_graphs_own(identity):
    with pytest.raises(UsageError, match=r"of 96 samples .* 16 frames of hop 32 are 480 samples"):
        engine_of(identity).separate_chunks(noise(2, 96)[np.newaxis], ["vocals"])


# ---------------------------------------------------------------- what is no such graph


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"shape": ("batch", 2, 65, 16)}, r"its input is \[free, 2, 65, 16\], but one input and"),
        ({"shape": ("batch", 4, 65, "frames")}, r"its input is \[free, 4, 65, free\]"),
        ({"shape": (4, 65, 16)}, r"its input is \[4, 65, 16\]"),
        ({"shape": (3, 4, 65, 16)}, "its batch axis is fixed to 3, not free or 1"),
        ({"shape": (1, 4, 65, 16), "kind": TensorProto.DOUBLE}, r"takes tensor\(double\) and"),
    ],
)
def test_graphs_of_another_form_are_refused_with_their_shape(tmp_path, shapes, message):
    path = write_graph(tmp_path / "odd.onnx", 1.0, **shapes)
    with pytest.raises(WeightsError, match=message):
        read_mdx_shape(path)
    with pytest.raises(WeightsError, match=message):
        engine_of(path)


def test_a_graph_whose_output_differs_from_its_input_is_refused(tmp_path):
    path = tmp_path / "narrow.onnx"
    write_graph(path, np.ones((1, 4, 65, 16)), shape=("batch", 4, 1, 16), output=(1, 4, 65, 16))
    with pytest.raises(WeightsError, match=r"\[free, 4, 1, 16\] and its output \[1, 4, 65, 16\]"):
        read_mdx_shape(path)


def four_sources(path, *, declared):
    shape = ["batch", 4, DIM_F, DIM_T]
    given = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    planes = 16 if declared else "planes"
    result = helper.make_tensor_value_info(
        "output", TensorProto.FLOAT, ["batch", planes, DIM_F, DIM_T]
    )
    node = helper.make_node("Concat", ["input"] * 4, ["output"], axis=1)
    graph = helper.make_graph([node], "net", [given], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path


def test_a_graph_of_four_sources_at_once_is_refused(tmp_path):
    path = four_sources(tmp_path / "all.onnx", declared=True)
    with pytest.raises(WeightsError, match=r"4 sources at once \(16 planes\) .* for each source"):
        engine_of(path)


def test_four_sources_are_refused_even_if_the_file_does_not_declare_them(tmp_path):
    path = four_sources(tmp_path / "all.onnx", declared=False)
    with pytest.raises(WeightsError, match="16"):
        engine_of(path).separate_chunks(noise(2, WINDOW)[np.newaxis], ["vocals"])


def test_two_outputs_are_refused_with_their_names(tmp_path):
    info = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 4, DIM_F, DIM_T])
        for name in ("input", "vocals", "rest")
    ]
    nodes = [helper.make_node("Identity", ["input"], [name]) for name in ("vocals", "rest")]
    graph = helper.make_graph(nodes, "net", info[:1], info[1:])
    path = tmp_path / "two.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    with pytest.raises(WeightsError, match=r"1 inputs and 2 outputs \(input, vocals, rest\)"):
        read_mdx_shape(path)


@pytest.mark.parametrize("content", [None, b"", b"no graph"])
def test_what_is_no_graph_is_refused(tmp_path, content):
    path = tmp_path / "net.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"net\.onnx cannot be run by ONNX Runtime"):
        read_mdx_shape(path)
