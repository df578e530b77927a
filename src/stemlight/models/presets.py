"""Named models: every network of the papers, and ours. No PyTorch is needed to read a card."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

from stemlight.chunking import ChunkPlan
from stemlight.configs import StftConfig, from_mapping, merge, to_mapping
from stemlight.errors import ConfigError, did_you_mean
from stemlight.models.config import SOURCES, ModelConfig, UNetConfig

__all__ = ["HOP_SAMPLES", "PRESETS", "Initialisation", "initialisation_of", "resolve_preset"]

HOP_SAMPLES = 1024

Initialisation = Literal["pytorch", "xavier-normal", "kaiming-normal"]
"""How weights begin: as PyTorch's layers make them, or redrawn wherever there is more than one
axis."""


def _chunk(n_frames: int, trim_samples: int, overlap_samples: int = 0) -> ChunkPlan:
    return ChunkPlan(
        chunk_samples=HOP_SAMPLES * (n_frames - 1),
        trim_samples=trim_samples,
        overlap_samples=overlap_samples,
    )


def _model(
    n_fft: int,
    chunk: ChunkPlan,
    network: Mapping[str, Any],
    sources: tuple[str, ...] = SOURCES,
) -> ModelConfig:
    return ModelConfig(
        stft=StftConfig(n_fft=n_fft, hop_samples=HOP_SAMPLES),
        network=UNetConfig(**network),
        chunk=chunk,
        sources=sources,
    )


# What the first generation (2020) and LightSAFT share.
_FIRST: Mapping[str, Any] = {
    "resampling_activation": "identity",
    "conditioner": "shared",
    "latent_blocks": "all",
}
_GPOCM: Mapping[str, Any] = {"modulation": "gpocm", "normalize_modulation": True}
_LIGHTSAFT: Mapping[str, Any] = {
    "transformation": "lightsaft",
    "latent_order": "latents-first",
    "norm_after_widening": True,
}
_SMALL: Mapping[str, Any] = {"n_blocks": 7, "features": (24,)}
_LARGE: Mapping[str, Any] = {"n_blocks": 9, "features": (24,)}
_DEDICATED: Mapping[str, Any] = {"n_sources": 1, "resampling_activation": "identity"}


def _dedicated(n_fft: int, **network: Any) -> ModelConfig:
    """Configure a network of TFC-TDF-U-Net v1 for one source: vocals, unless said otherwise."""
    return _model(n_fft, _chunk(128, 5120), {**_DEDICATED, **network}, ("vocals",))


def _conditioned(n_fft: int, *parts: Mapping[str, Any], **network: Any) -> ModelConfig:
    merged: dict[str, Any] = dict(_FIRST)
    for part in (*parts, network):
        merged |= part
    return _model(n_fft, _chunk(128, 5120), merged)


def _lasaft_v2(n_fft: int, **network: Any) -> ModelConfig:
    """Configure LASAFT-Net-v2 or LightSAFT+: plain encoder, latent sources in the decoder."""
    defaults = {"transformation": "lightsaft", "modulation": "gpocm"}
    return _model(n_fft, _chunk(128, 5120), {**defaults, **network})


def _tfc_tdf_v2(source: str, n_fft: int) -> ModelConfig:
    """Configure one of the four networks of KUIELab-MDX-Net.

    Bins above the expected range of the source are cut off, so that a long n_fft costs no more.
    """
    growth_channels = 32  # g in the paper: features are added at each level
    return ModelConfig(
        stft=StftConfig(
            n_fft=n_fft, hop_samples=HOP_SAMPLES, packing="channel-major", kept_bins=2048
        ),
        network=UNetConfig(
            n_blocks=11,
            features=tuple(growth_channels * (level + 1) for level in range(6)),
            n_sources=1,
            n_tfc_layers=3,
            dense=False,
            transformation="tdf",
            bn_factor=8,
            min_bn_units=1,
            head="pointwise",
            merge_skip="multiply",
        ),
        # The paper trains on 256 frames; the submission separates 512 at a time.
        chunk=_chunk(512, n_fft // 2),
        sources=(source,),
    )


def _stemlight(**network: Any) -> ModelConfig:
    """Configure one of our networks: four levels, all bins but the topmost."""
    return ModelConfig(
        stft=StftConfig(n_fft=4096, hop_samples=HOP_SAMPLES, kept_bins=2048),
        network=UNetConfig(
            n_blocks=9,
            n_tfc_layers=2,
            transformation="lightsaft",
            n_latents=8,
            key_dim=16,
            embedding_dim=32,
            modulation="gpocm",
            merge_skip="multiply",
            **network,
        ),
        chunk=_chunk(256, 4096, 4096),
    )


_LISTENING = {"query_listens": True, "key_listens": True}
_TDC_17: Mapping[str, Any] = {
    "n_blocks": 17,
    "features": (24,),
    "kernel_frames": 1,
    "halved_frames": (),
    "transformation": "none",
}
_V1_17: Mapping[str, Any] = {"n_blocks": 17, "features": (24,), "halved_frames": (0, 2, 4, 6)}

PRESETS: Mapping[str, ModelConfig] = {
    # Ours: LightSAFT+ on folded bins with one gain for each channel and bin.
    "stemlight-small": _stemlight(
        features=(24, 32, 48, 64, 64),
        bn_factor=32,
        head="folded",
        bins_per_fold=8,
        estimate="gain",
    ),
    # The same on bands that widen with frequency, with a matrix between the channels for each bin.
    "stemlight-bands": _stemlight(
        features=(32, 48, 64, 96, 128),
        bn_factor=8,
        head="bands",
        bands=((32, 4), (48, 8), (48, 32)),
        estimate="matrix",
    ),
    # TFC-TDF-U-Net v1 and the networks that its paper compares: dedicated to one source.
    "tdc-17": ModelConfig(
        stft=StftConfig(
            n_fft=2048, hop_samples=HOP_SAMPLES, packing="channel-major", centered=False
        ),
        network=UNetConfig(**{**_DEDICATED, **_TDC_17}),
        chunk=ChunkPlan(chunk_samples=66_560, trim_samples=5000),
        sources=("vocals",),
    ),
    "tfc-small": _dedicated(2048, **_SMALL, transformation="none"),
    "tfc-17": _dedicated(2048, **_V1_17, transformation="none"),
    "tfc-tdf-17": _dedicated(2048, **_V1_17, bias=True),
    "tfc-tdf-small": _dedicated(2048, **_SMALL, affine_tdf_norm=False),
    "tfc-tdf-large": _dedicated(4096, **_LARGE, bias=True),
    # All sources at once.
    "tfc-tdf-multi-head": _model(
        4096, _chunk(128, 5120), {**_LARGE, "bias": True, "resampling_activation": "identity"}
    ),
    # Conditioned U-Nets: the rows of the ablation of LaSAFT.
    "film": _conditioned(2048, _SMALL, modulation="film", transformation="none"),
    "film-tdf": _conditioned(2048, _SMALL, modulation="film"),
    "film-lasaft": _conditioned(2048, _SMALL, modulation="film", transformation="lasaft"),
    "film-lightsaft": _conditioned(2048, _SMALL, _LIGHTSAFT, modulation="film"),
    "pocm": _conditioned(2048, _SMALL, _GPOCM, modulation="pocm", transformation="none"),
    "pocm-tdf": _conditioned(2048, _SMALL, _GPOCM, modulation="pocm"),
    "pocm-lasaft": _conditioned(2048, _SMALL, _GPOCM, modulation="pocm", transformation="lasaft"),
    "pocm-lightsaft": _conditioned(2048, _SMALL, _GPOCM, _LIGHTSAFT, modulation="pocm"),
    "gpocm": _conditioned(2048, _SMALL, _GPOCM, transformation="none"),
    "gpocm-tdf": _conditioned(2048, _SMALL, _GPOCM),
    "lasaft-small": _conditioned(2048, _SMALL, _GPOCM, transformation="lasaft"),
    "lasaft-large": _conditioned(4096, _LARGE, _GPOCM, transformation="lasaft", embedding_dim=64),
    "lasaft-16": _conditioned(
        2048, _SMALL, _GPOCM, transformation="lasaft", n_latents=16, key_dim=24
    ),
    "lightsaft": _conditioned(2048, _SMALL, _GPOCM, _LIGHTSAFT),
    "lightsaft-16": _conditioned(2048, _SMALL, _GPOCM, _LIGHTSAFT, n_latents=16, key_dim=24),
    "lightsaft-mdx": dataclasses.replace(
        _conditioned(
            2048,
            _GPOCM,
            _LIGHTSAFT,
            n_blocks=9,
            features=(16,),
            n_latents=16,
            key_dim=64,
            embedding_dim=64,
        ),
        chunk=_chunk(256, 8192),
    ),
    "lightsaft-4096": _conditioned(
        4096, _LARGE, _GPOCM, _LIGHTSAFT, n_latents=16, key_dim=64, bias=True
    ),
    # LightSAFT+ ("advanced LightSAFT") and LASAFT-Net-v2.
    "lightsaft-plus": _lasaft_v2(
        2048,
        n_blocks=9,
        features=(16,),
        n_tfc_layers=4,
        n_latents=16,
        key_dim=64,
        embedding_dim=64,
    ),
    "lasaft-v2-light": _lasaft_v2(
        2048,
        n_blocks=7,
        features=(20,),
        n_latents=12,
        activation="leaky_relu",
        resampling_activation="leaky_relu",
        **_LISTENING,
    ),
    "lasaft-v2": _lasaft_v2(2048, **_SMALL, n_latents=16, **_LISTENING),
    "lasaft-v2-large": _lasaft_v2(4096, **_LARGE, n_latents=16, embedding_dim=64, **_LISTENING),
    # TFC-TDF-U-Net v2: KUIELab-MDX-Net has one for each source.
    "tfc-tdf-v2-bass": _tfc_tdf_v2("bass", 16_384),
    "tfc-tdf-v2-drums": _tfc_tdf_v2("drums", 4096),
    "tfc-tdf-v2-other": _tfc_tdf_v2("other", 8192),
    "tfc-tdf-v2-vocals": _tfc_tdf_v2("vocals", 6144),
}


def resolve_preset(name: str, arguments: Mapping[str, Any] | None = None) -> ModelConfig:
    """Return the preset `name` with `arguments` (nested mappings) laid over its fields.

    Raises:
        ConfigError: no such preset, or an argument that it does not have.
    """
    if name not in PRESETS:
        raise ConfigError(
            f"no preset {name!r}{did_you_mean(name, PRESETS)}; presets are {', '.join(PRESETS)}"
        )
    return from_mapping(ModelConfig, merge(to_mapping(PRESETS[name]), arguments or {}))


def initialisation_of(preset: str) -> Initialisation:
    """Return how the authors of a preset's network begin to train it.

    Source: the authors' code. The first generation of 2020 and LightSAFT redraw all weights by
    Xavier, LightSAFT+ and LASAFT-Net-v2 by Kaiming; KUIELab-MDX-Net, like ours, keeps PyTorch's.
    """
    if preset.startswith(("stemlight", "tfc-tdf-v2")):
        return "pytorch"
    if preset == "lightsaft-plus" or preset.startswith("lasaft-v2"):
        return "kaiming-normal"
    return "xavier-normal"
