"""Takes layers off an ONNX graph, one after the other along the data: weights, norm, activation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from stemlight.errors import WeightsError
from stemlight.shapes import Float32
from stemlight.weights.mdx_nodes import Graph, Node

__all__ = ["BatchNorm", "Kind", "LayerReader", "MdxStep"]

Kind = Literal["head", "convolution", "narrow", "widen", "down", "up", "tail"]
"""narrow and widen are the layers of a TDF, of which a single one is called widen."""

_SAME_SIZE = ("SAME_UPPER", "SAME_LOWER")


@dataclass(frozen=True, eq=False)
class BatchNorm:
    """`(x - mean) / sqrt(variance + epsilon) * weight + bias` for each feature."""

    weight: Float32[np.ndarray, " features"]
    bias: Float32[np.ndarray, " features"]
    mean: Float32[np.ndarray, " features"]
    variance: Float32[np.ndarray, " features"]
    epsilon: float


@dataclass(frozen=True, eq=False)
class MdxStep:
    """One layer with its norm; all but the tail are followed by the activation.

    Weights of convolutions are `(out, in, frames, bins)`, of `up` `(in, out, frames, bins)`, and of
    the TDF's `narrow` and `widen` `(bins out, bins in)`.
    """

    kind: Kind
    place: str
    """head, tail, middle, encoders.0, downs.0, ups.0 or decoders.0: the deepest of its kind."""
    index: int
    """Of a convolution among those of its block; else 0."""
    weight: np.ndarray  # float32, as all arrays here
    bias: Float32[np.ndarray, " out"] | None
    norm: BatchNorm | None
    """None: none, or folded into weight and bias."""


class LayerReader:
    """Follows the data through a graph: `value` is where it is, and every layer moves it on.

    `last` is the node of the newest layer, for messages about its weights.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.value = graph.input
        self.last: Node | None = None
        self._settled: dict[str, float] = {}

    @property
    def readers(self) -> list[Node]:
        """The nodes that read the value; a fork has two."""
        return self.graph.consumers(self.value)

    def next(self, *ops: str) -> Node:
        """Return the one node that reads the value.

        Raises:
            WeightsError: it is none of `ops`, or the value has none or several readers.
        """
        readers = self.readers
        odd = next((node for node in readers if node.op not in ops), None)
        if odd is not None or len(readers) != 1:
            raise self.misfit(odd or (readers[1] if readers else None), " or ".join(ops))
        return readers[0]

    def misfit(self, node: Node | None, expected: str) -> WeightsError:
        """Make the error that names the node which is not as expected; None is the graph's end."""
        what = "the graph ends" if node is None else f"node {node} stands"
        return WeightsError(
            f"{self.graph.path} is no MDX-Net graph that can be converted: {what} where {expected} "
            "was expected; the graph itself may still run with the onnx engine"
        )

    def settle(self, what: str, value: float, node: Node | None) -> None:
        """Remember what must be the same in the whole network.

        Raises:
            WeightsError: it was something else before.
        """
        known = self._settled.setdefault(what, value)
        if known != value:
            raise self.misfit(node, f"{what} {known}, not {value},")

    def settled(self, what: str) -> float:
        """Return what was settled."""
        return self._settled[what]

    def swap_axes(self) -> None:
        """Pass the node that exchanges frames and bins."""
        node = self.next("Transpose")
        if list(node.attributes.get("perm", ())) != [0, 1, 3, 2]:
            raise self.misfit(node, "a Transpose of the last two axes")
        self.value = node.output

    def convolution(self, kind: Kind, place: str, index: int = 0) -> MdxStep:
        """Take a convolution; of the readers of a fork, the one that convolves."""
        op = "ConvTranspose" if kind == "up" else "Conv"
        node = next((node for node in self.readers if node.op == op), None)
        if node is None:
            raise self.misfit(next(iter(self.readers), None), op)
        weight, bias = self._constant(node, 1), self._optional(node, 2)
        if not _is_plain(kind, node, weight):
            raise self.misfit(node, _EXPECTED[kind])
        if kind == "convolution":
            self.settle("kernel size", weight.shape[-1], node)
        self.value, self.last = node.output, node
        norm = self._norm()
        if kind != "tail":
            self._activation()
        return MdxStep(kind, place, index, weight, bias, norm)

    def linear(self, kind: Kind, place: str) -> MdxStep:
        """Take a layer over the bins; of the readers of a fork, the one that multiplies."""
        node = next((node for node in self.readers if node.op in ("MatMul", "Reshape")), None)
        if node is None:
            raise self.misfit(next(iter(self.readers), None), "MatMul or Gemm")
        weight, bias = self._gemm(node) if node.op == "Reshape" else self._matmul(node)
        norm = self._norm()
        self._activation()
        return MdxStep(kind, place, 0, weight, bias, norm)

    def _matmul(self, node: Node) -> tuple[np.ndarray, np.ndarray | None]:
        weight = self._constant(node, 1)
        if weight.ndim != 2:
            raise self.misfit(node, "a product with a matrix")
        self.value, self.last = node.output, node
        readers = self.readers
        constants = self.graph.constants
        if len(readers) != 1 or readers[0].op != "Add":
            return weight.T.copy(), None
        biases = [index for index, name in enumerate(readers[0].inputs) if name in constants]
        if not biases:
            return weight.T.copy(), None
        self.value = readers[0].output
        return weight.T.copy(), self._constant(readers[0], biases[0])

    def _gemm(self, flatten: Node) -> tuple[np.ndarray, np.ndarray | None]:
        """Take a product of matrices between two nodes that flatten the data and undo it."""
        self._constant(flatten, 1)
        self.value = flatten.output
        node = self.next("Gemm")
        weight, bias = self._constant(node, 1), self._optional(node, 2)
        given = node.attributes
        if given.get("alpha", 1) != 1 or given.get("beta", 1) != 1 or given.get("transA", 0):
            raise self.misfit(node, "a plain product of data and matrix")
        self.value, self.last = node.output, node
        restore = self.next("Reshape")
        self._constant(restore, 1)
        self.value = restore.output
        return weight if given.get("transB", 0) else weight.T.copy(), bias

    def _norm(self) -> BatchNorm | None:
        readers = self.readers
        if len(readers) != 1 or readers[0].op != "BatchNormalization":
            return None
        node = readers[0]
        if node.attributes.get("training_mode", 0):
            raise self.misfit(node, "a batch norm of evaluation, not of training mode,")
        weight, bias, mean, variance = (self._constant(node, index) for index in range(1, 5))
        self.value = node.output
        epsilon = float(node.attributes.get("epsilon", 1e-5))
        return BatchNorm(weight, bias, mean, variance, epsilon)

    def _activation(self) -> None:
        node = self.next("Relu", "LeakyRelu")
        slope = 0.0 if node.op == "Relu" else round(float(node.attributes.get("alpha", 0.01)), 7)
        self.settle("negative slope", slope, node)
        self.value = node.output

    def _constant(self, node: Node, index: int) -> np.ndarray:
        name = node.inputs[index] if index < len(node.inputs) else ""
        if name not in self.graph.constants:
            raise self.misfit(node, f"a {node.op} with constant weights")
        return np.array(self.graph.constants[name], np.float32, order="C")  # a copy to own

    def _optional(self, node: Node, index: int) -> np.ndarray | None:
        is_there = index < len(node.inputs) and node.inputs[index] != ""
        return self._constant(node, index) if is_there else None


_EXPECTED: dict[Kind, str] = {
    "head": "a plain 1x1 convolution",
    "tail": "a plain 1x1 convolution",
    "convolution": "a square convolution that keeps frames and bins, or a TDF,",
    "down": "a 2x2 convolution of stride 2",
    "up": "a transposed 2x2 convolution of stride 2",
}


def _is_plain(kind: Kind, node: Node, weight: np.ndarray) -> bool:
    """Tell whether a convolution has the size, stride and padding of its kind, and no more."""
    given = node.attributes
    sizes: dict[Kind, int] = {"head": 1, "tail": 1, "down": 2, "up": 2}
    size = sizes.get(kind, int(weight.shape[-1]))
    halves = kind in ("down", "up")
    padding = [0 if halves else size // 2] * 4
    if given.get("auto_pad", "NOTSET") in _SAME_SIZE and not halves:
        padded = True
    else:
        padded = list(given.get("pads", [0] * 4)) == padding
    return (
        weight.ndim == 4
        and weight.shape[2:] == (size, size)
        and (halves or size % 2 == 1)
        and padded
        and list(given.get("strides", [1, 1])) == [2 if halves else 1] * 2
        and list(given.get("dilations", [1, 1])) == [1, 1]
        and given.get("group", 1) == 1
        and not any(given.get("output_padding", ()))
        and "output_shape" not in given
    )
