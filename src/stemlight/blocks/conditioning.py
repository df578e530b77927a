"""Conditioning: from the embedding of a target to the modulation of feature maps.

Source: "LaSAFT: Latent source attentive frequency transformation for conditioned source
separation" (2021), section 3.2 (gated point-wise convolutional modulation, GPoCM).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from stemlight.shapes import Float

__all__ = [
    "PerBlockConditioner",
    "PointwiseModulation",
    "SharedConditioner",
    "gated_pointwise_modulation",
]


class PointwiseModulation(NamedTuple):
    """A 1x1 convolution for each item of a batch: `gamma[batch, in, out]`, `beta[batch, out]`."""

    gamma: Float[Tensor, "batch in_features out_features"]
    beta: Float[Tensor, "batch out_features"]


def gated_pointwise_modulation(
    features: Float[Tensor, "batch features frames bins"], modulation: PointwiseModulation
) -> Float[Tensor, "batch features frames bins"]:
    """Gate each feature by the sigmoid of a point-wise convolution of all features (GPoCM)."""
    gamma, beta = modulation
    n_frames = features.shape[2]
    flat = rearrange(features, "batch c frames bins -> batch c (frames bins)")
    mixed = torch.baddbmm(beta.unsqueeze(-1), gamma.transpose(1, 2), flat)
    gate = rearrange(
        torch.sigmoid(mixed), "batch c (frames bins) -> batch c frames bins", frames=n_frames
    )
    return gate * features


class SharedConditioner(nn.Module):
    """One network from the embedding to the modulations of all blocks (LaSAFT, LightSAFT).

    `n_layers` linear layers double the width each time; two heads generate all gammas and betas,
    and batch norm keeps their distribution over the targets of a batch.
    """

    def __init__(
        self, embedding_dim: int, block_features: Sequence[int], *, n_layers: int = 3
    ) -> None:
        super().__init__()
        widths = [embedding_dim * 2**index for index in range(n_layers + 1)]
        layers: list[nn.Module] = [nn.Linear(widths[0], widths[1]), nn.ReLU()]
        for n_in, n_out in pairwise(widths[1:]):
            # Batch norm after dropout is unusual; published weights were trained so.
            layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(0.5), nn.BatchNorm1d(n_out)]
        self.control = nn.Sequential(*layers)
        self.gamma_sizes = [features**2 for features in block_features]
        self.beta_sizes = list(block_features)
        self.gamma_head = self._head(widths[-1], sum(self.gamma_sizes))
        self.beta_head = self._head(widths[-1], sum(self.beta_sizes))

    @staticmethod
    def _head(n_in: int, n_out: int) -> nn.Sequential:
        return nn.Sequential(nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out, affine=False))

    def forward(self, embedding: Float[Tensor, "batch embedding"]) -> list[PointwiseModulation]:
        """Return one modulation for each block, deepest first."""
        control = self.control(embedding)
        gammas = self.gamma_head(control).split(self.gamma_sizes, dim=-1)
        betas = self.beta_head(control).split(self.beta_sizes, dim=-1)
        return [_modulation(gamma, beta) for gamma, beta in zip(gammas, betas, strict=True)]


class PerBlockConditioner(nn.Module):
    """A small network of its own for the modulation of each block (LASAFT-Net-v2)."""

    def __init__(self, embedding_dim: int, block_features: Sequence[int]) -> None:
        super().__init__()
        self.block_features = list(block_features)
        self.generators = nn.ModuleList(
            nn.Sequential(
                weight_norm(nn.Linear(embedding_dim, embedding_dim)),
                nn.ReLU(),
                weight_norm(nn.Linear(embedding_dim, features**2 + features)),
            )
            for features in block_features
        )

    def forward(self, embedding: Float[Tensor, "batch embedding"]) -> list[PointwiseModulation]:
        """Return one modulation for each block, deepest first."""
        modulations = []
        for features, generator in zip(self.block_features, self.generators, strict=True):
            gamma, beta = generator(embedding).split((features**2, features), dim=-1)
            modulations.append(_modulation(gamma, beta))
        return modulations


def _modulation(gamma: Tensor, beta: Tensor) -> PointwiseModulation:
    features = beta.shape[-1]
    return PointwiseModulation(
        rearrange(gamma, "batch (n_in n_out) -> batch n_in n_out", n_out=features), beta
    )
