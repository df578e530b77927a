"""Builds conditioned U-Nets with LightSAFT from a config; the config goes no further."""

from __future__ import annotations

import torch
from torch import nn

from stemlight.blocks.conditioning import PerBlockConditioner, SharedConditioner
from stemlight.blocks.latent_sources import LatentAttention, LightSaft
from stemlight.blocks.tfc_tdf import (
    Tdf,
    Tfc,
    TfcFtBlock,
    bottleneck_units,
    make_downsample,
    make_upsample,
)
from stemlight.configs import ConditionedUNetConfig
from stemlight.errors import ConfigError
from stemlight.models.heads import FoldedHead, FoldedTail, pair_bins_head, pair_bins_tail
from stemlight.models.unet import ConditionedUNet, concatenate_skip

__all__ = ["build_conditioned_unet"]


def build_conditioned_unet(config: ConditionedUNetConfig, n_bins: int) -> ConditionedUNet:
    """Build the network for planes of `n_bins` bins.

    Raises:
        ConfigError: the bins cannot be halved once for every level.
    """
    n_levels = config.n_blocks // 2
    widths = config.features if len(config.features) > 1 else config.features * (n_levels + 1)
    inner_bins = n_bins - 1 if config.bins_per_fold is None else n_bins // config.bins_per_fold
    whole = config.bins_per_fold is None or n_bins % config.bins_per_fold == 0
    if inner_bins % 2**n_levels or not whole:
        raise ConfigError(
            f"{n_bins} bins do not halve {n_levels} times "
            f"(bins_per_fold {config.bins_per_fold}); change kept_bins or n_blocks"
        )
    level_bins = [inner_bins >> level for level in range(n_levels + 1)]
    latents_everywhere = config.latent_blocks == "all"
    levels = [
        (
            _block(config, width, width, bins, latents=latents_everywhere),
            make_downsample(width, deeper, config.resampling_activation),
            make_upsample(deeper, width, config.resampling_activation),
            _block(config, _merged(config, width), width, bins, latents=True),
        )
        for width, deeper, bins in zip(widths, widths[1:], level_bins, strict=False)
    ]
    head, tail = _ends(config, widths[0], n_bins)
    conditioner_type = SharedConditioner if config.conditioner == "shared" else PerBlockConditioner
    return ConditionedUNet(
        head=head,
        levels=levels,
        middle=_block(config, widths[-1], widths[-1], level_bins[-1], latents=latents_everywhere),
        tail=tail,
        embedding=nn.Embedding(config.n_sources, config.embedding_dim),
        conditioner=conditioner_type(config.embedding_dim, widths[-2::-1]),
        merge_skip=concatenate_skip if config.merge_skip == "concatenate" else torch.mul,
        estimate=config.estimate,
    )


def _merged(config: ConditionedUNetConfig, width: int) -> int:
    return 2 * width if config.merge_skip == "concatenate" else width


def _ends(config: ConditionedUNetConfig, width: int, n_bins: int) -> tuple[nn.Module, nn.Module]:
    if config.bins_per_fold is None:
        return (
            pair_bins_head(config.n_planes, width, config.activation),
            pair_bins_tail(width, config.n_planes),
        )
    fold = config.bins_per_fold
    return (
        FoldedHead(width, n_bins, fold=fold, activation=config.activation),
        FoldedTail(width, config.n_planes // 2, fold=fold),
    )


def _block(
    config: ConditionedUNetConfig, n_in: int, width: int, n_bins: int, *, latents: bool
) -> TfcFtBlock:
    tfc = Tfc(n_in, width, config.n_tfc_layers, activation=config.activation)
    n_units = bottleneck_units(n_bins, config.bn_factor, config.min_bn_units)
    if not latents:
        tdf = Tdf(width, n_bins, n_units=n_units, bias=config.bias, activation=config.activation)
        return TfcFtBlock(tfc, tdf, conditioned=False)
    attention = LatentAttention(
        width,
        n_bins,
        embedding_dim=config.embedding_dim,
        n_latents=config.n_latents,
        key_dim=config.key_dim,
        query_listens=config.query_listens,
        key_listens=config.key_listens,
    )
    light_saft = LightSaft(
        width,
        n_bins,
        attention=attention,
        n_latents=config.n_latents,
        n_units=n_units,
        latent_order=config.latent_order,
        norm_after_widening=config.norm_after_widening,
        bias=config.bias,
        activation=config.activation,
    )
    return TfcFtBlock(tfc, light_saft, conditioned=True)
