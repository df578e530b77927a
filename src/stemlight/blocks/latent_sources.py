"""Frequency transformation through latent sources that the target attends to.

Time-distributed layers turn each frame into those of several latent sources; the target's control
vector decides by attention how much of each is kept. A LaSAFT mixes whole frames, a LightSAFT mixes
in its narrow layer and widens the mix alone.

Source: "LaSAFT: Latent source attentive frequency transformation for conditioned source
separation" (2021), section 3.1; "LightSAFT: Lightweight latent source attentive frequency
transformation for source separation" (2021); LASAFT-Net-v2 for the attention per frame
("listening").
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from stemlight.blocks.tfc_tdf import Tdf, make_activation, make_norm
from stemlight.configs import Activation, LatentOrder, Norm
from stemlight.shapes import Float

__all__ = ["LaSaft", "LatentAttention", "LightSaft"]

Features = Float[Tensor, "batch features frames bins"]
Control = Float[Tensor, "batch control"]


class _ListeningQuery(nn.Module):
    """A query per frame: the features, mixed down by the target's weights, seen over all bins."""

    def __init__(self, n_features: int, n_bins: int, control_dim: int, key_dim: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            weight_norm(nn.Linear(control_dim, control_dim)),
            nn.ReLU(),
            weight_norm(nn.Linear(control_dim, n_features + 1)),
        )
        self.project = nn.Sequential(nn.LayerNorm(n_bins), nn.ReLU(), nn.Linear(n_bins, key_dim))

    def forward(
        self, features: Features, control: Control
    ) -> Float[Tensor, "batch frames key_dim"]:
        weights, offset = self.mix(control).split((features.shape[1], 1), dim=-1)
        mixed = torch.einsum("bctf,bc->btf", features, weights) + rearrange(offset, "b 1 -> b 1 1")
        query: Tensor = self.project(mixed)
        return query


class _ListeningKeys(nn.Module):
    """Keys per frame: one map of the features for each latent source, seen over all bins."""

    def __init__(
        self, n_features: int, n_bins: int, n_latents: int, key_dim: int, activation: Activation
    ) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Conv2d(n_features, n_latents, kernel_size=1),
            nn.BatchNorm2d(n_latents),
            make_activation(activation),
            nn.Linear(n_bins, key_dim),
        )

    def forward(self, features: Features) -> Float[Tensor, "batch frames latents key_dim"]:
        return rearrange(self.project(features), "b latents frames d -> b frames latents d")


class LatentAttention(nn.Module):
    """How much the target takes of each latent source, per frame or for the whole window.

    Scaled dot products of a query (the target) with one key for each latent source, through a
    softmax over the latent sources. With `query_listens` the query also depends on the features of
    the frame, with `key_listens` the keys do; with neither, one frame of weights serves all.
    """

    def __init__(
        self,
        n_features: int,
        n_bins: int,
        *,
        control_dim: int,
        n_latents: int,  # |S_L| in the paper
        key_dim: int,  # d_k in the paper
        query_listens: bool = False,
        key_listens: bool = False,
        key_activation: Activation = "relu",
    ) -> None:
        super().__init__()
        self.key_dim = key_dim
        self.query: nn.Module = (
            _ListeningQuery(n_features, n_bins, control_dim, key_dim)
            if query_listens
            else nn.Linear(control_dim, key_dim)
        )
        self.query_listens = query_listens
        self.listening_keys = (
            _ListeningKeys(n_features, n_bins, n_latents, key_dim, key_activation)
            if key_listens
            else None
        )
        self.keys = None if key_listens else nn.Parameter(torch.randn(key_dim, n_latents))

    def forward(
        self, features: Features, control: Control
    ) -> Float[Tensor, "batch frames_or_one latents"]:
        """Return weights that sum to one over the latent sources."""
        if self.query_listens:
            query = self.query(features, control)
        else:
            query = rearrange(self.query(control), "batch d -> batch 1 d")
        if self.listening_keys is not None:
            scores = torch.einsum(
                "btnd,btd->btn", *_same_frames(self.listening_keys(features), query)
            )
        else:
            scores = query @ self.keys
        return torch.softmax(scores / math.sqrt(self.key_dim), dim=-1)


def _same_frames(keys: Tensor, query: Tensor) -> tuple[Tensor, Tensor]:
    """Give a query that does not listen the frames of the keys."""
    return keys, query.expand(-1, keys.shape[1], -1)


class LaSaft(nn.Module):
    """Latent source attentive frequency transformation: frames of all latent sources, then a mix.

    Differs: the paper duplicates the second layer of a TDF alone; in the authors' code, and here,
    the narrow layer grows with the number of latent sources too.
    """

    def __init__(self, tdf: Tdf, *, attention: nn.Module, n_latents: int) -> None:
        """Take a TDF that widens to `bins * n_latents`, the latent sources running fastest."""
        super().__init__()
        self.attention = attention
        self.tdf = tdf
        self.n_latents = n_latents

    def forward(self, features: Features, control: Control) -> Features:
        """Transform the frequency axis for the target that `control` names."""
        weights = self.attention(features, control)
        return _mix_units(self.tdf(features), weights, self.n_latents)


class LightSaft(nn.Module):
    """Light-weight latent source attentive frequency transformation.

    `norm_after_widening=True` normalises after the second layer (LightSAFT), False before it, on
    the mixed latent sources (LASAFT-Net-v2).

    Differs: the paper writes the latent sources as a (frames, d_k, latents) array; in the authors'
    code, and here, they are (features, frames, latents, units).
    """

    def __init__(
        self,
        n_features: int,
        n_bins: int,
        *,
        attention: nn.Module,  # as LatentAttention
        n_latents: int,
        n_units: int,
        latent_order: LatentOrder,
        norm_after_widening: bool,
        bias: bool = False,
        activation: Activation = "relu",
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        self.attention = attention
        self.latent_order: LatentOrder = latent_order
        self.n_latents = n_latents
        self.split = nn.Sequential(
            nn.Linear(n_bins, n_latents * n_units, bias=bias),
            make_norm(norm, n_features),
            make_activation(activation),
        )
        layers = [nn.Linear(n_units, n_bins, bias=bias), make_norm(norm, n_features)]
        if not norm_after_widening:
            layers.reverse()
        self.widen = nn.Sequential(*layers, make_activation(activation))

    def forward(self, features: Features, control: Control) -> Features:
        """Transform the frequency axis for the target that `control` names."""
        weights = self.attention(features, control)
        latents = self.split(features)
        if self.latent_order == "latents-first":
            latents = rearrange(
                latents, "b c t (latents units) -> b c t latents units", latents=self.n_latents
            )
            mixed = (latents * rearrange(weights, "b t latents -> b 1 t latents 1")).sum(dim=-2)
        else:
            mixed = _mix_units(latents, weights, self.n_latents)
        transformed: Tensor = self.widen(mixed)
        return transformed


def _mix_units(
    latents: Float[Tensor, "batch features frames units_latents"],
    weights: Float[Tensor, "batch frames_or_one latents"],
    n_latents: int,
) -> Float[Tensor, "batch features frames units"]:
    """Sum the latent sources of each unit, weighted by attention."""
    latents = rearrange(latents, "b c t (units latents) -> b c t units latents", latents=n_latents)
    return (latents @ rearrange(weights, "b t latents -> b 1 t latents 1")).squeeze(-1)
