"""Parts of graphs: what is left gives the same, and does nothing else."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlight.errors import WeightsError
from stemlight.separation.graph_parts import graph_part, output_names
from stemlight.separation.sessions import open_session
from stemlight.weights.catalogue import find_model

onnx = pytest.importorskip("onnx")
VOCALS, DRUMS, BASS, OTHER = OUTPUTS = (
    "estimate_vocals",
    "estimate_drums",
    "estimate_bass",
    "estimate_other",
)


@pytest.fixture(scope="module")
def embedded():
    return find_model("stemlight") / "model.onnx"


def test_outputs_are_named_in_order(embedded):
    assert output_names(embedded) == OUTPUTS


def test_a_part_of_everything_is_the_model_itself(embedded):
    assert onnx.load_from_string(graph_part(embedded, OUTPUTS)) == onnx.load(embedded)


@pytest.mark.parametrize("names", [[DRUMS], [OTHER, VOCALS]])
def test_a_part_is_a_valid_model_whose_every_node_is_needed(embedded, names):
    part = onnx.load_from_string(graph_part(embedded, names))
    onnx.checker.check_model(part)
    assert [value.name for value in part.graph.output] == [n for n in OUTPUTS if n in names]
    whole = onnx.load(embedded)
    assert len(part.graph.node) < len(whole.graph.node)
    assert list(part.graph.input) == list(whole.graph.input)
    used = {name for node in part.graph.node for name in node.input} | set(names)
    assert all(used.intersection(node.output) for node in part.graph.node)


def test_parts_compute_what_the_whole_does(embedded):
    planes = np.random.default_rng(0).standard_normal((1, 4, 32, 2048)).astype(np.float32)
    together = open_session(embedded, n_threads=1).run(None, {"planes": planes})
    whole = dict(zip(OUTPUTS, together, strict=True))
    for name in OUTPUTS:
        (alone,) = open_session(graph_part(embedded, [name]), n_threads=1).run(
            None, {"planes": planes}
        )
        np.testing.assert_array_equal(alone, whole[name])


def test_an_output_that_is_not_there_is_named(embedded):
    with pytest.raises(WeightsError, match=r"gives estimate_vocals, .*, estimate_other, not piano"):
        graph_part(embedded, [VOCALS, "piano"])


@settings(deadline=None, max_examples=200)
@given(data=st.binary(max_size=200))
def test_anything_else_is_refused(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match=r"no ONNX graph|gives nothing, not estimate_vocals"):
        graph_part(path, [VOCALS])


@settings(deadline=None, max_examples=300)
@given(place=st.integers(0, 4_000), value=st.integers(0, 255))
def test_a_changed_byte_ends_in_a_part_or_a_refusal(embedded, tmp_path_factory, place, value):
    content = bytearray(embedded.read_bytes())
    content[place] = value
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    path.write_bytes(content)
    with contextlib.suppress(WeightsError):
        output_names(path)
        graph_part(path, [VOCALS])


@settings(deadline=None, max_examples=50)
@given(fraction=st.floats(0, 0.999))
def test_a_cut_off_graph_is_refused(embedded, tmp_path_factory, fraction):
    content = embedded.read_bytes()
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(WeightsError):
        open_session(graph_part(path, [VOCALS]))
