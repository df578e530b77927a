"""Time-frequency convolutions (TFC) and time-distributed fully-connected layers (TDF).

Source: "Investigating U-Nets with various intermediate blocks for spectrogram-based singing voice
separation" (ISMIR 2020), sections 4.3 and 4.4. A TDC block is a TFC whose kernel spans one frame.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import torch
from einops import repeat
from torch import Tensor, nn

from stemlight.blocks.conditioning import Modulate, ModulationPair
from stemlight.configs import Activation, Norm
from stemlight.shapes import Float

__all__ = [
    "Tdf",
    "Tfc",
    "TfcFtBlock",
    "bottleneck_units",
    "conv_norm",
    "make_activation",
    "make_downsample",
    "make_norm",
    "make_upsample",
]

Features = Float[Tensor, "batch features frames bins"]

_ACTIVATIONS: dict[Activation, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softmax": partial(nn.Softmax, dim=1),
}


def make_activation(name: Activation) -> nn.Module:
    """Return a fresh activation."""
    return _ACTIVATIONS[name]()


def make_norm(kind: Norm, n_features: int, *, affine: bool = True) -> nn.Module:
    """Return a normalisation of feature maps.

    The groups of a group norm are the largest divisor of `n_features` up to its square root,
    rounded up, but one where that is below three, as the published configurations have it.
    """
    if kind == "batch":
        return nn.BatchNorm2d(n_features, affine=affine)
    if kind == "instance":
        return nn.InstanceNorm2d(n_features)
    divisors = range(math.ceil(math.sqrt(n_features)), 2, -1)
    n_groups = next((count for count in divisors if n_features % count == 0), 1)
    return nn.GroupNorm(n_groups, n_features, affine=affine)


def bottleneck_units(n_bins: int, bn_factor: int | None, min_bn_units: int) -> int | None:
    """Units of the narrow layer of a TDF: the bins divided by `bn_factor`, but not too few.

    Without a factor there is no narrow layer, and no number.
    """
    return None if bn_factor is None else max(n_bins // bn_factor, min_bn_units)


def conv_norm(
    convolution: nn.Module, n_features: int, activation: Activation, norm: Norm = "batch"
) -> nn.Sequential:
    """Append a norm and an activation to a convolution."""
    return nn.Sequential(convolution, make_norm(norm, n_features), make_activation(activation))


def make_downsample(
    n_in: int,
    n_out: int,
    activation: Activation,
    *,
    strides: tuple[int, int] = (2, 2),
    norm: Norm = "batch",
) -> nn.Sequential:
    """Divide frames and bins by `strides`."""
    convolution = nn.Conv2d(n_in, n_out, kernel_size=strides, stride=strides)
    return conv_norm(convolution, n_out, activation, norm)


def make_upsample(
    n_in: int,
    n_out: int,
    activation: Activation,
    *,
    strides: tuple[int, int] = (2, 2),
    norm: Norm = "batch",
) -> nn.Sequential:
    """Multiply frames and bins by `strides`."""
    convolution = nn.ConvTranspose2d(n_in, n_out, kernel_size=strides, stride=strides)
    return conv_norm(convolution, n_out, activation, norm)


class Tfc(nn.Module):
    """2-D convolutions in a row, densely connected or plain; the last one's output is returned.

    Densely connected, each convolution reads the outputs of all former ones and the input, newest
    first, as the published weights expect.
    """

    def __init__(
        self,
        n_in: int,
        growth_channels: int,  # g in the paper
        n_layers: int,
        *,
        kernel: tuple[int, int] = (3, 3),  # frames, bins; odd
        dense: bool = True,
        activation: Activation = "relu",
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.dense = dense
        self.n_out = growth_channels
        padding = (kernel[0] // 2, kernel[1] // 2)
        widths = [
            n_in + index * growth_channels if dense else (growth_channels if index else n_in)
            for index in range(n_layers)
        ]
        self.layers = nn.ModuleList(
            conv_norm(
                nn.Conv2d(width, growth_channels, kernel, padding=padding),
                growth_channels,
                activation,
                norm,
            )
            for width in widths
        )

    def forward(
        self,
        features: Features,
        skip: Float[Tensor, "items skipped frames bins"] | None = None,
    ) -> Float[Tensor, "batch growth frames bins"]:
        """Map `n_in` features to `growth_channels` features.

        After `split_skip` the skip comes beside the other features. It may have fewer items than
        there are features: each then serves as many in a row, and is convolved once for them.
        """
        newest = self._layer(0, features, skip)
        for index in range(1, len(self.layers)):
            if self.dense:
                features = torch.cat((newest, features), dim=1)
                newest = self._layer(index, features, skip)
            else:
                newest = self._layer(index, newest, None)
        return newest

    def _layer(self, index: int, features: Tensor, skip: Tensor | None) -> Tensor:
        layer = self.layers[index]
        return layer(features) if skip is None else layer(features, skip)

    def split_skip(self, n_skipped: int) -> None:
        """From now on take the last `n_skipped` input features apart, as a skip.

        Convolutions of the two parts add up to what they were. Optimizers that hold the weights
        until now lose them.
        """
        for index in range(len(self.layers) if self.dense else 1):
            layer = self.layers[index]
            assert isinstance(layer, nn.Sequential)
            self.layers[index] = _LayerBesideSkip(layer, n_skipped)


class _LayerBesideSkip(nn.Module):
    """A convolution with its norm and activation, of features and, behind them, a skip."""

    def __init__(self, layer: nn.Sequential, n_skipped: int) -> None:
        super().__init__()
        convolution, *rest = layer
        assert isinstance(convolution, nn.Conv2d)
        n_own = convolution.in_channels - n_skipped
        self.own = _part_of(convolution, slice(0, n_own), with_bias=False)
        self.skipped = _part_of(convolution, slice(n_own, None), with_bias=True)
        self.rest = nn.Sequential(*rest)

    def forward(
        self,
        features: Features,
        skip: Float[Tensor, "items skipped frames bins"],
    ) -> Float[Tensor, "batch growth frames bins"]:
        shared = self.skipped(skip)
        if len(features) != len(skip):
            n_repeats = len(features) // len(skip)
            shared = repeat(shared, "items ... -> (items repeats) ...", repeats=n_repeats)
        output: Tensor = self.rest(self.own(features) + shared)
        return output


def _part_of(convolution: nn.Conv2d, inputs: slice, *, with_bias: bool) -> nn.Conv2d:
    weight = convolution.weight.detach()[:, inputs].contiguous()
    part = nn.Conv2d(
        weight.shape[1],
        convolution.out_channels,
        weight.shape[2:],  # type: ignore[arg-type]
        padding=convolution.padding,  # type: ignore[arg-type]
        bias=with_bias,
        device="meta",
    )
    part.weight = nn.Parameter(weight)
    if with_bias:
        part.bias = convolution.bias
    return part


class Tdf(nn.Module):
    """Fully connected layers over the bins of each frame, alike for all features.

    Two layers with `n_units` between them, or one. The norm runs over features, not bins: it keeps
    the relation of the bins to each other.
    """

    def __init__(
        self,
        n_features: int,
        n_bins: int,
        *,
        n_units: int | None,
        n_bins_out: int | None = None,  # None: as many as come in
        bias: bool = False,
        activation: Activation = "relu",
        norm: Norm = "batch",
        affine: bool = True,
    ) -> None:
        super().__init__()

        def layer(n_in: int, n_out: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(n_in, n_out, bias=bias),
                make_norm(norm, n_features, affine=affine),
                make_activation(activation),
            )

        self.narrow = None if n_units is None else layer(n_bins, n_units)
        self.widen = layer(n_units or n_bins, n_bins_out or n_bins)

    def forward(self, features: Features) -> Float[Tensor, "batch features frames bins_out"]:
        """Transform the frequency axis."""
        if self.narrow is not None:
            features = self.narrow(features)
        transformed: Tensor = self.widen(features)
        return transformed


class TfcFtBlock(nn.Module):
    """A TFC, an optional modulation, and a frequency transformation beside a skip connection.

    The transformation is a `Tdf`, nothing, or a block of latent sources that also reads the control
    vector (`reads_control=True`).
    """

    def __init__(
        self,
        tfc: Tfc,
        transformation: nn.Module | None,
        *,
        reads_control: bool = False,
        modulate: Modulate | None = None,
    ) -> None:
        super().__init__()
        self.tfc = tfc
        self.transformation = transformation
        self.reads_control = reads_control
        self.modulate = modulate

    @property
    def conditioned(self) -> bool:
        """Whether what the block does depends on the target."""
        return self.reads_control or self.modulate is not None

    def forward(
        self,
        features: Features,
        control: Float[Tensor, "batch control"] | None = None,
        modulation: ModulationPair | None = None,
        skip: Float[Tensor, "items skipped frames bins"] | None = None,
    ) -> Float[Tensor, "batch growth frames bins"]:
        """Apply the block; the modulation acts between convolution and transformation.

        For a `skip` beside the features see `Tfc`.
        """
        features = self.tfc(features) if skip is None else self.tfc(features, skip)
        if self.modulate is not None:
            assert modulation is not None, "a modulated block was given no modulation"
            features = self.modulate(features, modulation)
        if self.transformation is None:
            return features
        if self.reads_control:
            return features + self.transformation(features, control)
        return features + self.transformation(features)
