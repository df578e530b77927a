"""Time-frequency convolutions (TFC) and time-distributed fully-connected layers (TDF).

Source: "Investigating U-Nets with various intermediate blocks for spectrogram-based singing voice
separation" (ISMIR 2020), sections 4.3 and 4.4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from stemlight.blocks.conditioning import PointwiseModulation, gated_pointwise_modulation
from stemlight.shapes import Float

__all__ = [
    "Tdf",
    "Tfc",
    "TfcFtBlock",
    "bottleneck_units",
    "conv_norm",
    "make_activation",
    "make_downsample",
    "make_upsample",
]

Features = Float[Tensor, "batch features frames bins"]


def make_activation(name: str) -> nn.Module:
    """Return the activation `relu`, `leaky_relu` (slope 0.01) or `identity`."""
    return {"relu": nn.ReLU, "leaky_relu": nn.LeakyReLU, "identity": nn.Identity}[name]()


def bottleneck_units(n_bins: int, bn_factor: int, min_bn_units: int) -> int:
    """Units of the narrow layer of a TDF: the bins divided by `bn_factor`, but not too few."""
    return max(n_bins // bn_factor, min_bn_units)


def conv_norm(convolution: nn.Module, n_features: int, activation: str) -> nn.Sequential:
    """Append batch norm and an activation to a convolution."""
    return nn.Sequential(convolution, nn.BatchNorm2d(n_features), make_activation(activation))


def make_downsample(n_in: int, n_out: int, activation: str) -> nn.Sequential:
    """Halve frames and bins."""
    return conv_norm(nn.Conv2d(n_in, n_out, kernel_size=2, stride=2), n_out, activation)


def make_upsample(n_in: int, n_out: int, activation: str) -> nn.Sequential:
    """Double frames and bins."""
    return conv_norm(nn.ConvTranspose2d(n_in, n_out, kernel_size=2, stride=2), n_out, activation)


class Tfc(nn.Module):
    """Densely connected 2-D convolutions; only the last one's output is returned.

    Each convolution reads the outputs of all former ones and the input, newest first, as the
    published weights expect.
    """

    def __init__(
        self,
        n_in: int,
        growth_channels: int,  # g in the paper
        n_layers: int,
        *,
        kernel_size: int = 3,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            conv_norm(
                nn.Conv2d(
                    n_in + index * growth_channels,
                    growth_channels,
                    kernel_size,
                    padding=kernel_size // 2,
                ),
                growth_channels,
                activation,
            )
            for index in range(n_layers)
        )

    def forward(self, features: Features) -> Float[Tensor, "batch growth frames bins"]:
        """Map `n_in` features to `growth_channels` features."""
        newest: Tensor = self.layers[0](features)
        for layer in self.layers[1:]:
            features = torch.cat((newest, features), dim=1)
            newest = layer(features)
        return newest


class Tdf(nn.Module):
    """Two fully connected layers over the bins of each frame, alike for all features.

    Batch norm runs over features, not bins: it keeps the relation of the bins to each other.
    """

    def __init__(
        self,
        n_features: int,
        n_bins: int,
        *,
        n_units: int,
        bias: bool = False,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.narrow = conv_norm(nn.Linear(n_bins, n_units, bias=bias), n_features, activation)
        self.widen = conv_norm(nn.Linear(n_units, n_bins, bias=bias), n_features, activation)

    def forward(self, features: Features) -> Features:
        """Transform the frequency axis."""
        transformed: Tensor = self.widen(self.narrow(features))
        return transformed


class TfcFtBlock(nn.Module):
    """A TFC, an optional modulation, and a frequency transformation beside a skip connection.

    The frequency transformation is a `Tdf`, or a block of latent sources that also reads the
    embedding of the target (`conditioned=True`).
    """

    def __init__(self, tfc: nn.Module, transformation: nn.Module, *, conditioned: bool) -> None:
        super().__init__()
        self.tfc = tfc
        self.transformation = transformation
        self.conditioned = conditioned

    def forward(
        self,
        features: Features,
        embedding: Float[Tensor, "batch embedding"] | None = None,
        modulation: PointwiseModulation | None = None,
    ) -> Float[Tensor, "batch growth frames bins"]:
        """Apply the block; `modulation` acts between convolution and transformation."""
        features = self.tfc(features)
        if modulation is not None:
            features = gated_pointwise_modulation(features, modulation)
        if self.conditioned:
            return features + self.transformation(features, embedding)
        return features + self.transformation(features)
