"""Conditioning: from the control vector of a target to the modulation of feature maps.

Source: "LaSAFT: Latent source attentive frequency transformation for conditioned source
separation" (2021), section 3.2 (point-wise convolutional modulation, plain and gated), after FiLM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from stemlight.configs import GammaOrder, Modulation
from stemlight.shapes import Float

__all__ = [
    "MODULATIONS",
    "Modulate",
    "ModulationPair",
    "ModulationSize",
    "PerBlockConditioner",
    "SharedConditioner",
    "feature_wise_modulation",
    "gated_pointwise_modulation",
    "modulation_size",
    "pointwise_modulation",
]

Features = Float[Tensor, "batch features frames bins"]


class ModulationPair(NamedTuple):
    """Scale and offset for each item of a batch.

    Of a FiLM: `gamma[batch, features or 1]`; of a point-wise convolution:
    `gamma[batch, in, out]`. `beta[batch, features or 1]` in both.
    """

    gamma: Tensor
    beta: Float[Tensor, "batch features_or_1"]


Modulate = Callable[[Tensor, ModulationPair], Tensor]


class ModulationSize(NamedTuple):
    """How many numbers a block's modulation takes; `shape` is that of gamma for one item."""

    shape: tuple[int, ...]
    n_gammas: int
    n_betas: int


def feature_wise_modulation(features: Features, modulation: ModulationPair) -> Features:
    """Scale and shift each feature (FiLM), or all alike where gamma has one entry."""
    gamma, beta = (rearrange(part, "batch c -> batch c 1 1") for part in modulation)
    return gamma * features + beta


def pointwise_modulation(features: Features, modulation: ModulationPair) -> Features:
    """Apply a generated 1x1 convolution (PoCM)."""
    gamma, beta = modulation
    if len(gamma) == 1:  # one target for all: a convolution as any other
        kernel = rearrange(gamma, "1 c_in c_out -> c_out c_in 1 1")
        return F.conv2d(features, kernel, beta.squeeze(0))
    n_frames = features.shape[2]
    flat = rearrange(features, "batch c frames bins -> batch c (frames bins)")
    mixed = torch.baddbmm(beta.unsqueeze(-1), gamma.transpose(1, 2), flat)
    return rearrange(mixed, "batch c (frames bins) -> batch c frames bins", frames=n_frames)


def gated_pointwise_modulation(features: Features, modulation: ModulationPair) -> Features:
    """Gate each feature by the sigmoid of a generated 1x1 convolution of all features (GPoCM)."""
    return torch.sigmoid(pointwise_modulation(features, modulation)) * features


MODULATIONS: Mapping[Modulation, Modulate | None] = {
    "none": None,
    "film": feature_wise_modulation,
    "film-simple": feature_wise_modulation,
    "pocm": pointwise_modulation,
    "gpocm": gated_pointwise_modulation,
}


def modulation_size(kind: Modulation, n_features: int) -> ModulationSize:
    """Return what a modulation of `n_features` features needs."""
    if kind == "film-simple":
        return ModulationSize((1,), 1, 1)
    if kind == "film":
        return ModulationSize((n_features,), n_features, n_features)
    return ModulationSize((n_features, n_features), n_features**2, n_features)


class SharedConditioner(nn.Module):
    """One network from the control vector to the modulations of all blocks (LaSAFT, LightSAFT).

    `n_layers` linear layers double the width each time; two heads generate all gammas and betas.
    With `normalize`, batch norm keeps their distribution over the targets of a batch, which needs
    more than one item to train.
    """

    def __init__(
        self,
        control_dim: int,
        sizes: Sequence[ModulationSize],
        *,
        n_layers: int = 3,
        normalize: bool = True,
        gamma_activation: nn.Module | None = None,
        beta_activation: nn.Module | None = None,
        gamma_order: GammaOrder = "in-first",
    ) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.gamma_order: GammaOrder = gamma_order
        widths = [control_dim * 2**index for index in range(n_layers + 1)]
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(widths):
            # Batch norm after dropout is unusual; published weights were trained so.
            regularize = [nn.Dropout(0.5), nn.BatchNorm1d(n_out)] if layers else []
            layers += [nn.Linear(n_in, n_out), nn.ReLU(), *regularize]
        self.control = nn.Sequential(*layers)
        self.gamma_head, self.beta_head = (
            nn.Sequential(
                nn.Linear(widths[-1], n_out),
                activation or nn.Identity(),
                nn.BatchNorm1d(n_out, affine=False) if normalize else nn.Identity(),
            )
            for n_out, activation in (
                (sum(size.n_gammas for size in sizes), gamma_activation),
                (sum(size.n_betas for size in sizes), beta_activation),
            )
        )

    def forward(self, control: Float[Tensor, "batch control"]) -> list[ModulationPair]:
        """Return one modulation for each modulated block, in the order of execution."""
        hidden = self.control(control)
        gammas = self.gamma_head(hidden).split([size.n_gammas for size in self.sizes], dim=-1)
        betas = self.beta_head(hidden).split([size.n_betas for size in self.sizes], dim=-1)
        return [
            _pair(gamma, beta, size, self.gamma_order)
            for gamma, beta, size in zip(gammas, betas, self.sizes, strict=True)
        ]


class PerBlockConditioner(nn.Module):
    """A small network of its own for the modulation of each block (LASAFT-Net-v2)."""

    def __init__(
        self,
        control_dim: int,
        sizes: Sequence[ModulationSize],
        *,
        gamma_order: GammaOrder = "in-first",
    ) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.gamma_order: GammaOrder = gamma_order
        self.generators = nn.ModuleList(
            nn.Sequential(
                weight_norm(nn.Linear(control_dim, control_dim)),
                nn.ReLU(),
                weight_norm(nn.Linear(control_dim, size.n_gammas + size.n_betas)),
            )
            for size in sizes
        )

    def forward(self, control: Float[Tensor, "batch control"]) -> list[ModulationPair]:
        """Return one modulation for each modulated block, in the order of execution."""
        modulations = []
        for size, generator in zip(self.sizes, self.generators, strict=True):
            gamma, beta = generator(control).split((size.n_gammas, size.n_betas), dim=-1)
            modulations.append(_pair(gamma, beta, size, self.gamma_order))
        return modulations


def _pair(gamma: Tensor, beta: Tensor, size: ModulationSize, order: GammaOrder) -> ModulationPair:
    gamma = gamma.reshape(-1, *size.shape)
    if len(size.shape) == 2 and order == "out-first":
        gamma = gamma.transpose(-1, -2)
    return ModulationPair(gamma, beta)
