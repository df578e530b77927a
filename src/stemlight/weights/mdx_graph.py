"""Reads the weights of an MDX-Net out of its ONNX graph, where they have lost their names.

    planes -> head -> (block -> down) x n -> block -> (up -> join skip -> block) x n -> tail
    block: convolutions in a row, then x + TDF(x)

The graph is walked along the data: every node must be the one that the network has in this place,
so that what is read is certainly this network, and the first node that is not is named.

Source: "KUIELab-MDX-Net: a two-stream neural network for music demixing" (2021), section 2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from stemlight.errors import WeightsError
from stemlight.weights.mdx_layers import BatchNorm, LayerReader, MdxStep
from stemlight.weights.mdx_nodes import Graph, Node, load_graph

__all__ = ["MdxNetwork", "Merge", "read_mdx_network", "to_state_dict"]

Merge = Literal["multiply", "concatenate"]
"""How up-sampled features and the skip of their level are joined."""

_N_PLANES = 4
_EPSILON = 1e-5  # of PyTorch's batch norms


@dataclass(frozen=True, kw_only=True, eq=False)
class MdxNetwork:
    """A TFC-TDF-U-Net v2: its arguments, and its layers in the order of computation."""

    n_levels: int
    growth_channels: int  # g in the paper: features of the first level, and more with each level
    n_layers: int  # l: convolutions of a block
    kernel_size: int  # k
    bn_factor: int | None  # 0: a single layer for each TDF; None: no TDFs
    dim_f: int
    dim_t: int | None  # None where the graph leaves the frames free
    merge: Merge
    bias: bool  # of the TDFs; convolutions always have one
    negative_slope: float  # of all activations: 0 is ReLU
    steps: tuple[MdxStep, ...]


def read_mdx_network(path: Path) -> MdxNetwork:
    """Read an MDX-Net from an ONNX file.

    Batch norms may be there or folded into the layer before. Skips that are concatenated in the
    order (skip, up-sampled) are read as (up-sampled, skip), with the weights behind them.

    Raises:
        MissingExtraError: the package onnx is not installed.
        WeightsError: the file is no such network; the message names the first node that differs.
    """
    return _Walk(load_graph(path)).read()


def to_state_dict(network: MdxNetwork) -> dict[str, np.ndarray]:
    """Name the weights as `stemlight.models.unet.UNet` does.

    Where a batch norm was folded, there is one that changes nothing; one with another epsilon than
    1e-5 becomes one with 1e-5 that does the same. Missing biases become zeros.
    """
    widths = {step.place: len(step.weight) for step in network.steps if step.kind == "convolution"}
    state = {}
    for step in network.steps:
        key = _key(step)
        n_out = step.weight.shape[1 if step.kind == "up" else 0]
        is_linear = step.kind in ("narrow", "widen")
        layer = key if step.kind == "tail" else f"{key}.0"
        state[f"{layer}.weight"] = step.weight
        if network.bias or not is_linear:
            zeros = np.zeros(n_out, np.float32)
            state[f"{layer}.bias"] = zeros if step.bias is None else step.bias
        if step.kind != "tail":
            # The norm of a TDF runs over the features of its block, not over the bins.
            n_features = widths[step.place] if is_linear else n_out
            state |= _norm_state(f"{key}.1", step.norm, n_features)
    return state


def _key(step: MdxStep) -> str:
    if step.kind == "convolution":
        return f"{step.place}.tfc.layers.{step.index}"
    if step.kind in ("narrow", "widen"):
        return f"{step.place}.transformation.{step.kind}"
    return step.place


def _norm_state(key: str, norm: BatchNorm | None, n_features: int) -> dict[str, np.ndarray]:
    ones, zeros = np.ones(n_features, np.float32), np.zeros(n_features, np.float32)
    norm = norm or BatchNorm(ones, zeros, zeros.copy(), ones, epsilon=0.0)
    weight, variance = norm.weight, norm.variance
    if not np.isclose(norm.epsilon, _EPSILON, rtol=1e-6, atol=0):
        # With the variance 1, this weight / sqrt(1 + 1e-5) is the graph's weight / deviation.
        deviation = np.sqrt(np.float64(variance) + norm.epsilon)
        weight = np.asarray(weight * (np.sqrt(1 + _EPSILON) / deviation), np.float32)
        variance = ones
    return {
        f"{key}.weight": weight,
        f"{key}.bias": norm.bias,
        f"{key}.running_mean": norm.mean,
        f"{key}.running_var": variance,
        f"{key}.num_batches_tracked": np.zeros((), np.int64),
    }


class _Walk:
    """Reads layer after layer and checks that together they are the network."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers = LayerReader(graph)
        self.steps: list[MdxStep] = []
        self.n_features = 0
        self.n_bins = 0  # unknown until the first TDF where the graph leaves them free
        self.narrowings: list[tuple[int, int]] = []  # bins and units of TDFs of two layers
        self.merge: Merge = "multiply"

    def read(self) -> MdxNetwork:
        """Read the whole graph.

        Raises:
            WeightsError: see `read_mdx_network`.
        """
        n_frames = self.check_input()
        head = self.layers.convolution("head", "head")
        self.steps.append(head)
        self.n_features = growth = len(head.weight)
        self.layers.swap_axes()
        skips = self.encode(growth)
        for level, (skip, n_features) in enumerate(reversed(skips)):
            self.decode(level, skip, n_features)
        self.layers.swap_axes()
        self.end()
        if not self.n_bins:
            raise WeightsError(
                f"{self.graph.path} is no MDX-Net graph that can be converted: its input leaves "
                "dim_f free, and it has no TDF that tells it"
            )
        return MdxNetwork(
            n_levels=len(skips),
            growth_channels=growth,
            n_layers=int(self.layers.settled("convolutions in a block")),
            kernel_size=int(self.layers.settled("kernel size")),
            bn_factor=self.bn_factor(),
            dim_f=self.n_bins,  # halved and doubled again as often
            dim_t=n_frames,
            merge=self.merge,
            bias=any(step.bias is not None for step in self.steps if step.kind == "widen"),
            negative_slope=self.layers.settled("negative slope"),
            steps=tuple(self.steps),
        )

    def check_input(self) -> int | None:
        """Take the bins from the input's shape and return its frames, where they are fixed."""
        shape = self.graph.input_shape
        if len(shape) != 4 or shape[1] not in (_N_PLANES, None):
            axes = ", ".join("free" if axis is None else str(axis) for axis in shape)
            raise WeightsError(
                f"{self.graph.path} is no MDX-Net graph: its input is [{axes}], but "
                f"[batch, {_N_PLANES}, dim_f, dim_t] is needed"
            )
        self.n_bins = shape[2] or 0
        return shape[3]

    def encode(self, growth: int) -> list[tuple[str, int]]:
        """Read all encoders and the middle; return the skips: their values and features."""
        skips: list[tuple[str, int]] = []
        while True:
            # Whether a block is an encoder or the middle shows behind it: the data fork or not.
            n_before = len(self.steps)
            self.block("middle")
            readers = self.layers.readers
            if len(readers) == 1:
                return skips
            joins = [node for node in readers if node.op != "Conv"]
            if len(readers) != 2 or len(joins) != 1 or joins[0].op not in ("Mul", "Concat"):
                odd = next(iter(joins or readers[1:]), None)
                raise self.layers.misfit(odd, "a skip that is multiplied or concatenated")
            level = len(skips)
            self.steps[n_before:] = [
                replace(step, place=f"encoders.{level}") for step in self.steps[n_before:]
            ]
            skips.append((self.layers.value, self.n_features))
            self.n_features += growth
            self.n_bins //= 2
            self.add(self.layers.convolution("down", f"downs.{level}"))

    def decode(self, level: int, skip: str, n_features: int) -> None:
        """Read one level of the decoder, of which 0 is the deepest."""
        self.n_features = n_features
        self.n_bins *= 2
        self.add(self.layers.convolution("up", f"ups.{level}"))
        node = self.layers.next("Mul", "Concat")
        joined = sorted(node.inputs) == sorted((self.layers.value, skip))
        if not joined or node.attributes.get("axis", 1) not in (1, -3):
            raise self.layers.misfit(node, f"the features joined with the skip {skip!r}")
        merge: Merge = "multiply" if node.op == "Mul" else "concatenate"
        if level and merge != self.merge:
            raise self.layers.misfit(node, f"a skip joined as in the other levels ({self.merge})")
        self.merge = merge
        self.layers.value = node.output
        place, n_before = f"decoders.{level}", len(self.steps)
        self.block(place)
        if node.op == "Concat" and node.inputs[0] == skip:
            # Ours has the skip last, so the weights that read it move there.
            first = self.steps[n_before]
            turned = np.roll(first.weight, n_features, axis=1)
            self.steps[n_before] = replace(first, weight=turned)

    def block(self, place: str) -> None:
        """Read the convolutions of a block and, where the data fork into a sum, its TDF."""
        n_layers = 0
        # Behind a block, a convolution never stands alone: the skip is read beside it.
        while n_layers == 0 or [node.op for node in self.layers.readers] == ["Conv"]:
            self.add(self.layers.convolution("convolution", place, n_layers))
            n_layers += 1
        self.layers.settle("convolutions in a block", n_layers, self.layers.last)
        totals = [node for node in self.layers.readers if node.op == "Add"]
        if totals:
            self.tdf(place, totals[0])
        else:
            self.layers.settle("layers in a TDF", 0, next(iter(self.layers.readers), None))

    def tdf(self, place: str, total: Node) -> None:
        """Read the one or two layers of a TDF, and the sum with what it read."""
        shortcut = self.layers.value
        odd = [node for node in self.layers.readers if node.op not in ("MatMul", "Reshape")]
        if odd != [total]:
            raise self.layers.misfit(odd[0], "a TDF beside its skip connection")
        linears = [self.layers.linear("widen", place)]
        if self.layers.readers != [total]:
            linears = [replace(linears[0], kind="narrow"), self.layers.linear("widen", place)]
        node = self.layers.next("Add")
        if sorted(node.inputs) != sorted((shortcut, self.layers.value)):
            raise self.layers.misfit(node, "the sum of a TDF and what it read")
        self.layers.settle("layers in a TDF", len(linears), self.layers.last)
        self.add_tdf(linears)
        self.layers.value = node.output

    def add_tdf(self, linears: list[MdxStep]) -> None:
        """Keep the layers of a TDF, which has as many bins as its level."""
        (n_units, n_in), n_out = linears[0].weight.shape, len(linears[-1].weight)
        self.n_bins = self.n_bins or n_in
        if not n_in == n_out == self.n_bins:
            expected = f"a TDF of {self.n_bins} bins, not from {n_in} to {n_out},"
            raise self.layers.misfit(self.layers.last, expected)
        if len(linears) == 2:
            self.narrowings.append((n_in, n_units))
        self.steps += linears

    def add(self, step: MdxStep) -> None:
        """Keep a convolution, which has to give the features of its level."""
        n_out = step.weight.shape[1 if step.kind == "up" else 0]
        if n_out != self.n_features:
            expected = f"a layer of {self.n_features} features, not of {n_out},"
            raise self.layers.misfit(self.layers.last, expected)
        self.steps.append(step)

    def end(self) -> None:
        """Read the last convolution, whose output is the graph's."""
        self.n_features = _N_PLANES
        self.add(self.layers.convolution("tail", "tail"))
        if self.layers.value != self.graph.output:
            raise self.layers.misfit(next(iter(self.layers.readers), None), "the end of the graph")

    def bn_factor(self) -> int | None:
        """Return 0 for TDFs of one layer, None for none, else the factor between bins and units.

        Of all that give the units of every level, rounded down, it is the greatest: that is the
        one without a rest, if there is one.
        """
        if not self.narrowings:
            return 0 if self.layers.settled("layers in a TDF") else None
        for factor in range(self.n_bins, 0, -1):
            if all(n_bins // factor == n_units for n_bins, n_units in self.narrowings):
                return factor
        listed = ", ".join(f"{n_units} of {n_bins}" for n_bins, n_units in self.narrowings)
        raise WeightsError(
            f"{self.graph.path} is no MDX-Net graph that can be converted: the units of its TDFs "
            f"({listed} bins) are not the bins divided by one factor"
        )
