"""Builds U-Nets from a config; the config goes no further."""

from __future__ import annotations

import torch
from torch import nn

from stemlight.blocks.conditioning import (
    MODULATIONS,
    PerBlockConditioner,
    SharedConditioner,
    modulation_size,
)
from stemlight.blocks.latent_sources import LaSaft, LatentAttention, LightSaft
from stemlight.blocks.tfc_tdf import (
    Tdf,
    Tfc,
    TfcFtBlock,
    bottleneck_units,
    make_activation,
    make_downsample,
    make_upsample,
)
from stemlight.errors import ConfigError
from stemlight.models.config import Blocks, UNetConfig
from stemlight.models.control import LinearControl, OneHotControl
from stemlight.models.heads import (
    BandHead,
    BandTail,
    FoldedHead,
    FoldedTail,
    n_bins_of,
    pair_bins_head,
    pair_bins_tail,
    pointwise_head,
    pointwise_tail,
)
from stemlight.models.unet import UNet, concatenate_skip

__all__ = ["build_unet"]


def build_unet(config: UNetConfig, n_bins: int) -> UNet:
    """Build the network for planes of `n_bins` bins.

    Raises:
        ConfigError: the bins cannot be halved as often as the levels ask.
    """
    widths = config.features if len(config.features) > 1 else config.features * (config.n_blocks)
    level_bins = _level_bins(config, n_bins)
    merged = 2 if config.merge_skip == "concatenate" else 1
    levels = []
    for level in range(config.n_levels):
        width, deeper, bins = widths[level], widths[level + 1], level_bins[level]
        strides = config.strides(level)
        activation, norm = config.resampling_activation, config.norm
        levels.append(
            (
                _block(config, width, width, bins, "encoder"),
                make_downsample(width, deeper, activation, strides=strides, norm=norm),
                make_upsample(deeper, width, activation, strides=strides, norm=norm),
                _block(config, merged * width, width, bins, "decoder"),
            )
        )
    head, tail = _ends(config, widths[0], n_bins)
    middle_width = widths[config.n_levels]
    return UNet(
        head=head,
        levels=levels,
        middle=_block(config, middle_width, middle_width, level_bins[-1], "middle"),
        tail=tail,
        tail_activation=make_activation(config.tail_activation),
        n_sources=config.n_sources,
        control=_control(config),
        conditioner=_conditioner(config, widths),
        merge_skip=concatenate_skip if config.merge_skip == "concatenate" else torch.mul,
        estimate=config.estimate,
    )


def _level_bins(config: UNetConfig, n_bins: int) -> list[int]:
    """Return the bins inside of each level and, last, of the middle."""
    inner_bins, remainder = {
        "pairs": (n_bins - 1, 0),
        "pointwise": (n_bins, 0),
        "folded": divmod(n_bins, config.bins_per_fold or 1),
        "bands": _bands(config, n_bins),
    }[config.head]
    level_bins = [inner_bins]
    for level in range(config.n_levels):
        stride = config.strides(level)[1]
        remainder += level_bins[-1] % stride
        level_bins.append(level_bins[-1] // stride)
    if remainder or level_bins[-1] < 1:
        n_halvings = sum(config.strides(level)[1] == 2 for level in range(config.n_levels))
        raise ConfigError(
            f"{n_bins} bins do not halve {n_halvings} times behind a head of {config.head!r} "
            f"(bins_per_fold {config.bins_per_fold}); change kept_bins, n_blocks or halved_bins"
        )
    return level_bins


def _bands(config: UNetConfig, n_bins: int) -> tuple[int, int]:
    """Return the number of bands, and how many bins they miss."""
    bands = config.bands or ()
    n_covered = n_bins_of(bands)
    if config.head == "bands" and n_covered != n_bins:
        raise ConfigError(
            f"bands cover {n_covered} bins but the network sees {n_bins}; change bands or kept_bins"
        )
    return sum(count for count, _ in bands), 0


def _ends(config: UNetConfig, width: int, n_bins: int) -> tuple[nn.Module, nn.Module]:
    activation = config.head_activation or config.activation
    # Without a control vector, one pass gives the planes of all sources.
    n_outputs = 1 if config.is_conditioned else config.n_sources
    n_channels = config.n_planes // 2
    n_factors = n_outputs * (n_channels if config.estimate == "gain" else n_channels**2)
    if config.head == "folded":
        fold = config.bins_per_fold or 1
        return (
            FoldedHead(width, n_bins, fold=fold, activation=activation),
            FoldedTail(width, n_factors, fold=fold),
        )
    if config.head == "bands":
        bands = config.bands or ()
        return (
            BandHead(width, bands=bands, activation=activation),
            BandTail(width, n_factors, bands=bands),
        )
    make_head, make_tail = {
        "pairs": (pair_bins_head, pair_bins_tail),
        "pointwise": (pointwise_head, pointwise_tail),
    }[config.head]
    return (
        make_head(config.n_planes, width, activation, config.norm),
        make_tail(width, n_outputs * config.n_planes),
    )


def _holds(blocks: Blocks, position: str) -> bool:
    return blocks in ("all", position)


def _block(config: UNetConfig, n_in: int, width: int, n_bins: int, position: str) -> TfcFtBlock:
    tfc = Tfc(
        n_in,
        width,
        config.n_tfc_layers,
        kernel=(config.kernel_frames, config.kernel_bins),
        dense=config.dense,
        activation=config.activation,
        norm=config.norm,
    )
    latents = config.has_latents and _holds(config.latent_blocks, position)
    modulated = _holds(config.modulated_blocks, position)
    return TfcFtBlock(
        tfc,
        _transformation(config, width, n_bins, latents=latents),
        reads_control=latents,
        modulate=MODULATIONS[config.modulation] if modulated else None,
    )


def _transformation(
    config: UNetConfig, width: int, n_bins: int, *, latents: bool
) -> nn.Module | None:
    if config.transformation == "none":
        return None
    if latents and config.transformation == "lightsaft":
        return _light_saft(config, width, n_bins)
    n_bins_out = n_bins * config.n_latents if latents else n_bins
    tdf = Tdf(
        width,
        n_bins,
        n_units=bottleneck_units(n_bins_out, config.bn_factor, config.min_bn_units),
        n_bins_out=n_bins_out,
        bias=config.bias,
        activation=config.activation,
        norm=config.norm,
        affine=config.affine_tdf_norm,
    )
    if not latents:
        return tdf
    attention = _attention(config, width, n_bins)
    return LaSaft(tdf, attention=attention, n_latents=config.n_latents)


def _light_saft(config: UNetConfig, width: int, n_bins: int) -> LightSaft:
    return LightSaft(
        width,
        n_bins,
        attention=_attention(config, width, n_bins),
        n_latents=config.n_latents,
        # Without a bottleneck, every latent source has as many units as there are bins.
        n_units=bottleneck_units(n_bins, config.bn_factor, config.min_bn_units) or n_bins,
        latent_order=config.latent_order,
        norm_after_widening=config.norm_after_widening,
        bias=config.bias,
        activation=config.activation,
        norm=config.norm,
    )


def _attention(config: UNetConfig, width: int, n_bins: int) -> LatentAttention:
    return LatentAttention(
        width,
        n_bins,
        control_dim=config.control_dim,
        n_latents=config.n_latents,
        key_dim=config.key_dim,
        query_listens=config.query_listens,
        key_listens=config.key_listens,
        # The listening keys of LASAFT-Net-v2 have no activation where whole frames are mixed.
        key_activation="identity" if config.transformation == "lasaft" else "relu",
    )


def _control(config: UNetConfig) -> nn.Module | None:
    if not config.is_conditioned:
        return None
    if config.control == "embedding":
        return nn.Embedding(config.n_sources, config.embedding_dim)
    if config.control == "linear":
        return LinearControl(config.n_sources, config.embedding_dim)
    return OneHotControl(config.n_sources)


def _conditioner(config: UNetConfig, widths: tuple[int, ...]) -> nn.Module | None:
    if config.modulation == "none":
        return None
    down, middle = list(widths[: config.n_levels]), [widths[config.n_levels]]
    modulated = {
        "encoder": down,
        "decoder": down[::-1],
        "all": down + middle + down[::-1],
    }[config.modulated_blocks]
    sizes = [modulation_size(config.modulation, width) for width in modulated]
    if config.conditioner == "per-block":
        return PerBlockConditioner(config.control_dim, sizes, gamma_order=config.gamma_order)
    return SharedConditioner(
        config.control_dim,
        sizes,
        n_layers=config.n_control_layers,
        normalize=config.normalize_modulation,
        gamma_activation=make_activation(config.gamma_activation),
        beta_activation=make_activation(config.beta_activation),
        gamma_order=config.gamma_order,
    )
