"""Writes a graph that computes with eight bits, which takes processors less time.

Weights get one scale for each channel; feature maps get ranges that they keep to in real music.
Weights use seven of their eight bits: older processors add pairs of products in 16 bits, which
would overflow. Some nodes stay in 32 bits (bench/quantized.py measures why): convolutions that read
a product of two feature maps, a few of whose values are far above all others, so that no range of
256 steps holds both; and matrix products and transposed convolutions, which gain no time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnxruntime import quantization

from stemlight.audio import read_audio, resample
from stemlight.errors import UsageError, WeightsError
from stemlight.models.config import ModelConfig
from stemlight.models.transforms import build_stft
from stemlight.shapes import Float32
from stemlight.weights.cards import (
    GRAPH_FILE,
    INT8_GRAPH_FILE,
    ModelCard,
    file_facts,
    read_card,
    verified_file,
    write_card,
)

__all__ = ["add_int8_graph", "nodes_that_read_products", "planes_of_songs", "quantize_graph"]

_OPERATORS = ("Conv",)


def add_int8_graph(folder: Path, songs: Sequence[Path]) -> ModelCard:
    """Write an 8-bit graph beside a model's own and name it in the card.

    A window from the middle of each song tells what ranges feature maps keep to; a dozen will do.

    Raises:
        InputError: a song cannot be read.
        UsageError: there is no song.
        WeightsError: the model is a system, or has no graph of ours.
    """
    card = read_card(folder)
    if not isinstance(card, ModelCard) or card.graph_layout != "stemlight":
        raise WeightsError(
            f"{card.name!r} has no graph that can be made one of 8 bits; only single models that "
            "stemlight exported have"
        )
    if not songs:
        raise UsageError("an 8-bit graph needs music to measure its ranges; give at least one song")
    planes = planes_of_songs(songs, card.model_config())
    part = folder / f".{INT8_GRAPH_FILE}.part"
    try:
        quantize_graph(verified_file(folder, card, GRAPH_FILE), part, planes)
        facts = file_facts(part)
        part.replace(folder / INT8_GRAPH_FILE)
    finally:
        part.unlink(missing_ok=True)
    sealed = dataclasses.replace(card, files={**card.files, INT8_GRAPH_FILE: facts})
    write_card(sealed, folder)
    return sealed


def planes_of_songs(
    songs: Sequence[Path], config: ModelConfig
) -> list[Float32[np.ndarray, "1 planes frames bins"]]:
    """Return what a model sees of the middle of each song, one of its windows long.

    Raises:
        InputError: a song cannot be read.
    """
    stft = build_stft(config.stft)
    n_samples, rate_hz = config.chunk.chunk_samples, config.sample_rate_hz
    return [stft.analyse(_middle(song, n_samples, rate_hz)[np.newaxis])[0] for song in songs]


def _middle(song: Path, n_samples: int, rate_hz: int) -> Float32[np.ndarray, "2 samples"]:
    """Return stereo sound from the middle of a song; a song that is shorter is repeated."""
    audio = read_audio(song)
    samples = resample(audio.samples[:2], audio.sample_rate_hz, rate_hz)
    stereo = np.broadcast_to(samples, (2, samples.shape[1]))
    stereo = np.tile(stereo, -(-n_samples // samples.shape[1]))
    first = (stereo.shape[1] - n_samples) // 2
    return np.ascontiguousarray(stereo[:, first : first + n_samples], np.float32)


def nodes_that_read_products(model: onnx.ModelProto) -> Iterator[str]:
    """Yield the convolutions of a product of two feature maps, as a multiplied skip is."""
    given = {tensor.name for tensor in model.graph.initializer}
    products = {
        node.output[0]
        for node in model.graph.node
        if node.op_type == "Mul" and not given.intersection(node.input)
    }
    for node in model.graph.node:
        if node.op_type == "Conv" and node.input[0] in products:
            yield node.name


def quantize_graph(
    graph: Path,
    path: Path,
    planes: Iterable[Float32[np.ndarray, "batch planes frames bins"]],
    *,
    operators: Iterable[str] = _OPERATORS,
    left_out: Callable[[onnx.ModelProto], Iterable[str]] = nodes_that_read_products,
) -> None:
    """Write a graph with these operators in eight bits, but for the nodes that `left_out` names.

    It is asked about the graph with constants folded.
    """
    with tempfile.TemporaryDirectory() as place, _quiet():
        ready = Path(place) / "ready.onnx"
        quantization.quant_pre_process(graph, ready, skip_symbolic_shape=True)
        quantization.quantize_static(
            ready,
            path,
            _Ranges(planes),
            quant_format=quantization.QuantFormat.QDQ,
            op_types_to_quantize=list(operators),
            nodes_to_exclude=list(left_out(onnx.load(ready))),
            per_channel=True,
            reduce_range=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.Percentile,
        )


class _Ranges(quantization.CalibrationDataReader):  # type: ignore[misc]
    """Gives the quantizer one window after another."""

    def __init__(self, planes: Iterable[np.ndarray]) -> None:
        self._left = iter(planes)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next input, or None at the end."""
        planes = next(self._left, None)
        return None if planes is None else {"planes": planes}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantizer's own words away from the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(before)
