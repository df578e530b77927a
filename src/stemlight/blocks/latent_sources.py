"""Frequency transformation through latent sources that the target attends to (LightSAFT).

A time-distributed layer splits each frame into features of several latent sources; the target's
embedding decides by attention how much of each is kept; a second layer widens the mix to all bins.

Source: "LightSAFT: Lightweight latent source attentive frequency transformation for source
separation" (2021), and its successor LASAFT-Net-v2 for the attention per frame ("listening").
"""

from __future__ import annotations

import math

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from stemlight.blocks.tfc_tdf import make_activation
from stemlight.configs import LatentOrder
from stemlight.shapes import Float

__all__ = ["LatentAttention", "LightSaft"]

Features = Float[Tensor, "batch features frames bins"]
Embedding = Float[Tensor, "batch embedding"]


class _ListeningQuery(nn.Module):
    """A query per frame: the features, mixed down by the target's weights, seen over all bins."""

    def __init__(self, n_features: int, n_bins: int, embedding_dim: int, key_dim: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            weight_norm(nn.Linear(embedding_dim, embedding_dim)),
            nn.ReLU(),
            weight_norm(nn.Linear(embedding_dim, n_features + 1)),
        )
        self.project = nn.Sequential(nn.LayerNorm(n_bins), nn.ReLU(), nn.Linear(n_bins, key_dim))

    def forward(
        self, features: Features, embedding: Embedding
    ) -> Float[Tensor, "batch frames key_dim"]:
        weights, offset = self.mix(embedding).split((features.shape[1], 1), dim=-1)
        mixed = torch.einsum("bctf,bc->btf", features, weights) + rearrange(offset, "b 1 -> b 1 1")
        query: Tensor = self.project(mixed)
        return query


class _ListeningKeys(nn.Module):
    """Keys per frame: one map of the features for each latent source, seen over all bins."""

    def __init__(self, n_features: int, n_bins: int, n_latents: int, key_dim: int) -> None:
        super().__init__()
        self.project = nn.Sequential(
            nn.Conv2d(n_features, n_latents, kernel_size=1),
            nn.BatchNorm2d(n_latents),
            nn.ReLU(),
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
        embedding_dim: int,
        n_latents: int,  # |S_L| in the paper
        key_dim: int,  # d_k in the paper
        query_listens: bool = False,
        key_listens: bool = False,
    ) -> None:
        super().__init__()
        self.key_dim = key_dim
        self.query: nn.Module = (
            _ListeningQuery(n_features, n_bins, embedding_dim, key_dim)
            if query_listens
            else nn.Linear(embedding_dim, key_dim)
        )
        self.query_listens = query_listens
        self.listening_keys = (
            _ListeningKeys(n_features, n_bins, n_latents, key_dim) if key_listens else None
        )
        self.keys = None if key_listens else nn.Parameter(torch.randn(key_dim, n_latents))

    def forward(
        self, features: Features, embedding: Embedding
    ) -> Float[Tensor, "batch frames_or_one latents"]:
        """Return weights that sum to one over the latent sources."""
        if self.query_listens:
            query = self.query(features, embedding)
        else:
            query = rearrange(self.query(embedding), "batch d -> batch 1 d")
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
        activation: str = "relu",
    ) -> None:
        super().__init__()
        self.attention = attention
        self.latent_order: LatentOrder = latent_order
        self.n_latents = n_latents
        self.split = nn.Sequential(
            nn.Linear(n_bins, n_latents * n_units, bias=bias),
            nn.BatchNorm2d(n_features),
            make_activation(activation),
        )
        layers = [nn.Linear(n_units, n_bins, bias=bias), nn.BatchNorm2d(n_features)]
        if not norm_after_widening:
            layers.reverse()
        self.widen = nn.Sequential(*layers, make_activation(activation))

    def forward(self, features: Features, embedding: Embedding) -> Features:
        """Transform the frequency axis for the target that `embedding` names."""
        weights = self.attention(features, embedding)
        transformed: Tensor = self.widen(self._mix(self.split(features), weights))
        return transformed

    def _mix(
        self, latents: Tensor, weights: Tensor
    ) -> Float[Tensor, "batch features frames units"]:
        """Sum the latent sources, weighted by attention."""
        if self.latent_order == "latents-first":
            latents = rearrange(
                latents, "b c t (latents units) -> b c t latents units", latents=self.n_latents
            )
            return (latents * rearrange(weights, "b t latents -> b 1 t latents 1")).sum(dim=-2)
        latents = rearrange(
            latents, "b c t (units latents) -> b c t units latents", latents=self.n_latents
        )
        return (latents @ rearrange(weights, "b t latents -> b 1 t latents 1")).squeeze(-1)
