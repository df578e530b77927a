"""Writes a network as one ONNX graph: what sources have in common once, all else for each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from stemlight.models.folding import prepare_for_inference
from stemlight.models.spectrogram import SpectrogramModel
from stemlight.models.unet import UNet
from stemlight.separation.onnx_engine import output_of

__all__ = ["export_onnx", "is_halved"]

_OPSET = 17
_MOST_ERROR = 2.0**-11  # of numbers of 16 bits, where they are neither too large nor too small


def is_halved(values: np.ndarray) -> bool:
    """Say whether a tensor is among those that models of 16 bits keep in 16 bits.

    Vectors are not: biases and what norms count, few and of any size. Nor is what 16 bits cannot
    hold, or hold with less than their eleven digits.
    """
    if values.dtype != np.float32 or values.ndim < 2 or not values.size:
        return False
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float16).astype(np.float32)
    error = np.linalg.norm((values - rounded).ravel())
    return bool(error <= _MOST_ERROR * np.linalg.norm(values.ravel()))


def _frame_multiple(network: UNet) -> int:
    """Return what the frames of a window are a multiple of."""
    firsts = [layers[0] for layers in network.downs if isinstance(layers, nn.Sequential)]
    return math.prod(layer.stride[0] for layer in firsts if isinstance(layer, nn.Conv2d))


class _EachSource(nn.Module):
    """Estimates every source by itself, so that what tells them apart becomes constants."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, planes: Tensor) -> tuple[Tensor, ...]:
        """Return one estimate for each source."""
        network = self.network
        numbers = [torch.tensor([index]) for index in range(network.n_sources)]
        if network.is_conditioned:
            return tuple(network.forward_pairs(planes, number) for number in numbers)
        return tuple(network(planes, number).squeeze(1) for number in numbers)


def export_onnx(
    model: SpectrogramModel, path: Path, sources: Sequence[str], *, half: bool = False
) -> None:
    """Write the graph that `OnnxEngine` runs: planes in, one output for each source.

    Batch and frames stay free. What several sources have in common is in the graph once: the whole
    encoder where it is unconditioned, and else all that comes before the first conditioned
    operation. The same weights give the same bytes.

    Args:
        half: Keep matrices and kernels in 16 bits. The graph computes in 32 as ever: engines widen
            them while they load.
    """
    network = model.network
    outputs = list(map(output_of, sources))
    # Tracing runs the network once, on one item of as few frames as the levels allow, and of
    # zeros, so that nobody's random numbers are used up. Which numbers these are leaves no trace
    # in the graph.
    n_frames = max(2, _frame_multiple(network))
    n_planes = 4 if model.stft.representation == "complex" else 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about itself
        torch.onnx.export(
            _EachSource(prepare_for_inference(network)),
            (torch.zeros(1, n_planes, n_frames, model.stft.kept_bins),),
            path,
            input_names=["planes"],
            output_names=outputs,
            dynamic_axes={name: {0: "batch", 2: "frames"} for name in ("planes", *outputs)},
            opset_version=_OPSET,
            dynamo=False,
        )
    graph = onnx.load(path)
    _merge_equal_nodes(graph.graph)
    if half:
        _halve_weights(graph.graph)
    path.write_bytes(graph.SerializeToString(deterministic=True))


def _merge_equal_nodes(graph: onnx.GraphProto) -> None:
    """Keep one of all nodes that compute the same of the same; nodes come in order."""
    outputs = {value.name for value in graph.output}
    names: dict[str, str] = {}
    first: dict[object, Sequence[str]] = {}
    kept = []
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
        attributes = sorted(part.SerializeToString() for part in node.attribute)
        what = (node.op_type, node.domain, tuple(node.input), tuple(attributes))
        same = first.setdefault(what, node.output)
        if same is node.output or outputs.intersection(node.output):
            kept.append(node)
        else:
            names.update(zip(node.output, same, strict=True))
    del graph.node[:]
    graph.node.extend(kept)


def _halve_weights(graph: onnx.GraphProto) -> None:
    """Round weights to 16 bits, each with a node that widens it under its old name."""
    casts = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if not is_halved(values):
            continue
        name = tensor.name
        tensor.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(
            onnx.helper.make_node("Cast", [tensor.name], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
