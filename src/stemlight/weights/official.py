"""Reads the authors' configurations and weights into our configs and networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from stemlight.configs import ConditionedUNetConfig
from stemlight.weights.official_keys import rename_keys

__all__ = ["OFFICIAL_SOURCES", "conditioned_config", "convert_state_dict"]

OFFICIAL_SOURCES = ("vocals", "drums", "bass", "other")
"""Order of the targets in the embedding of all conditioned checkpoints."""


def convert_state_dict(official: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename an official state dict for `load_state_dict(..., strict=True)`.

    LASAFT-Net-v2 stores keys with two leading axes of length one, which are dropped.
    """
    converted = {}
    for old, new in rename_keys(official).items():
        tensor = official[old]
        if tensor.is_floating_point():
            tensor = tensor.float()
        converted[new] = (
            tensor[0, 0] if new.endswith("attention.keys") and tensor.ndim == 4 else tensor
        )
    return converted


def conditioned_config(official: Mapping[str, Any]) -> ConditionedUNetConfig:
    """Translate an official configuration (constructor arguments) of a LightSAFT network.

    Both generations are told apart by their nesting: LASAFT-Net-v2 describes its network under
    `spec2spec` and its blocks under `mk_block_f`.
    """
    if "spec2spec" in official:
        return _second_generation(official["spec2spec"])
    return ConditionedUNetConfig(
        n_blocks=official["n_blocks"],
        features=(official["internal_channels"],),
        n_tfc_layers=official["n_internal_layers"],
        n_latents=official["num_tdfs"],
        key_dim=official["dk"],
        embedding_dim=official["embedding_dim"],
        latent_blocks="all",
        conditioner="shared",
        latent_order="latents-first",
        norm_after_widening=True,
        bn_factor=official["bn_factor"],
        min_bn_units=official["min_bn_units"],
        bias=official["tfc_tdf_bias"],
        activation=official["tfc_tdf_activation"],
        resampling_activation="identity",
    )


def _second_generation(network: Mapping[str, Any]) -> ConditionedUNetConfig:
    block = network["mk_block_f"]
    return ConditionedUNetConfig(
        n_blocks=network["n_blocks"],
        features=(network["internal_channels"],),
        n_tfc_layers=block["num_layers"],
        n_latents=block["num_tdfs"],
        key_dim=block["dk"],
        embedding_dim=network["embedding_dim"],
        query_listens=block["query_listen"],
        key_listens=block["key_listen"],
        bn_factor=block["bn_factor"],
        min_bn_units=block["min_bn_units"],
        bias=block["bias"],
        activation=block["activation"],
        resampling_activation=network["mk_ds_f"]["activation"],
    )
