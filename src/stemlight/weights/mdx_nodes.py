"""An ONNX file as plain nodes: constants as arrays, and only what leads from input to output.

What exporters write in different ways is made alike here: constants that stand in nodes or are
transposed by nodes, and nodes that hand their input on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemlight.errors import MissingExtraError, WeightsError

__all__ = ["Graph", "Node", "load_graph"]

_HANDS_ON = ("Identity", "Dropout")
"""In inference, the first output is the first input."""


@dataclass(frozen=True, eq=False)
class Node:
    """One operation; its inputs and its output are names of values, an omitted input is ''."""

    op: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: Mapping[str, Any]

    def __str__(self) -> str:
        return f"{self.name or self.output!r} ({self.op})"


@dataclass(frozen=True, eq=False)
class Graph:
    """A graph of one input and one output; its nodes stand in the order of computation."""

    path: Path
    input: str
    output: str
    input_shape: tuple[int | None, ...]  # None where an axis is free
    nodes: tuple[Node, ...]
    constants: Mapping[str, np.ndarray]

    def consumers(self, value: str) -> list[Node]:
        """Return the nodes that read a value, in order."""
        return [node for node in self.nodes if value in node.inputs]


def load_graph(path: Path) -> Graph:
    """Read an ONNX file.

    Raises:
        MissingExtraError: the package onnx is not installed.
        WeightsError: the file is missing, no ONNX file, or has several inputs or outputs.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            "reading the weights of an ONNX graph needs the package onnx; install "
            "'stemlight[torch]'"
        ) from error
    try:
        content = onnx.load(str(path)).graph
    except Exception as error:  # protobuf has exceptions of its own
        raise WeightsError(f"{path} cannot be read as an ONNX file: {error}") from error
    initial = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in content.initializer}
    # Old files list their weights among the inputs.
    inputs = [value for value in content.input if value.name not in initial]
    if len(inputs) != 1 or len(content.output) != 1:
        raise WeightsError(
            f"{path} is no MDX-Net graph: it has {len(inputs)} inputs and {len(content.output)} "
            "outputs, but one of each is needed"
        )
    nodes = [_plain(node, onnx) for node in content.node]
    constants, aliases, computed = _fold(nodes, initial)
    output = aliases.get(content.output[0].name, content.output[0].name)
    axes = inputs[0].type.tensor_type.shape.dim
    return Graph(
        path=path,
        input=inputs[0].name,
        output=output,
        input_shape=tuple(axis.dim_value or None for axis in axes),
        nodes=_needed(computed, output),
        constants=constants,
    )


def _plain(node: Any, onnx: Any) -> Node:
    attributes = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = onnx.numpy_helper.to_array(value)
        attributes[attribute.name] = value.decode() if isinstance(value, bytes) else value
    return Node(node.op_type, node.name, tuple(node.input), node.output[0], attributes)


def _fold(
    nodes: list[Node], initial: Mapping[str, np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, str], list[Node]]:
    """Compute what is constant, and give every value one name.

    Returns the constants, the other names of values, and the nodes that are left.
    """
    constants = dict(initial)
    aliases: dict[str, str] = {}
    left = []
    for node in nodes:
        inputs = tuple(aliases.get(name, name) for name in node.inputs)
        node = Node(node.op, node.name, inputs, node.output, node.attributes)
        if node.op in _HANDS_ON:
            aliases[node.output] = inputs[0]
        elif node.op == "Constant" and "value" in node.attributes:
            constants[node.output] = node.attributes["value"]
        elif node.op in _FOLDED and all(name in constants for name in inputs):
            arrays = [constants[name] for name in inputs]
            constants[node.output] = _FOLDED[node.op](node, arrays)
        else:
            left.append(node)
    return constants, aliases, left


def _transpose(node: Node, arrays: list[np.ndarray]) -> np.ndarray:
    return np.transpose(arrays[0], node.attributes.get("perm"))


def _reshape(node: Node, arrays: list[np.ndarray]) -> np.ndarray:
    return arrays[0].reshape(arrays[1])


def _cast(node: Node, arrays: list[np.ndarray]) -> np.ndarray:
    return arrays[0]  # every weight becomes float32 when it is taken


_FOLDED: dict[str, Callable[[Node, list[np.ndarray]], np.ndarray]] = {
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Cast": _cast,
}


def _needed(nodes: list[Node], output: str) -> tuple[Node, ...]:
    """Drop what does not lead to the output; nodes stand behind all that they read."""
    wanted = {output}
    kept = []
    for node in reversed(nodes):
        if node.output in wanted:
            wanted.update(node.inputs)
            kept.append(node)
    return tuple(reversed(kept))
