"""What a whole model is, and named ones. No PyTorch is needed to read a card, so none is here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stemlight.chunking import ChunkPlan
from stemlight.configs import (
    ConditionedUNetConfig,
    StftConfig,
    from_mapping,
    merge,
    to_mapping,
)
from stemlight.errors import ConfigError, did_you_mean

__all__ = ["PRESETS", "ModelConfig", "resolve_preset"]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A whole model: what it hears, how it sees a window, its network, and what it gives."""

    stft: StftConfig
    network: ConditionedUNetConfig
    chunk: ChunkPlan
    sources: tuple[str, ...] = ("vocals", "drums", "bass", "other")
    sample_rate_hz: int = 44_100

    def __post_init__(self) -> None:
        if len(self.sources) != self.network.n_sources:
            raise ConfigError(
                f"{len(self.sources)} sources ({', '.join(self.sources)}) do not fit a network of "
                f"{self.network.n_sources}; make network.n_sources {len(self.sources)}"
            )
        if self.chunk.chunk_samples % self.stft.hop_samples:
            raise ConfigError(
                f"chunk_samples must be a multiple of hop_samples {self.stft.hop_samples}, "
                f"not {self.chunk.chunk_samples}"
            )
        n_frames = 1 + self.chunk.chunk_samples // self.stft.hop_samples
        if n_frames % 2 ** (self.network.n_blocks // 2):
            raise ConfigError(
                f"a chunk of {n_frames} frames does not halve {self.network.n_blocks // 2} times; "
                f"chunk_samples is hop_samples times one less than a multiple of "
                f"{2 ** (self.network.n_blocks // 2)}"
            )


_HOP_SAMPLES = 1024


def _chunk(n_frames: int, trim_samples: int, overlap_samples: int = 0) -> ChunkPlan:
    return ChunkPlan(
        chunk_samples=_HOP_SAMPLES * (n_frames - 1),
        trim_samples=trim_samples,
        overlap_samples=overlap_samples,
    )


def _lightsaft(n_fft: int, chunk: ChunkPlan, **network: Any) -> ModelConfig:
    """Configure LightSAFT: latent sources in all blocks, one conditioner for all."""
    settings: dict[str, Any] = {
        "n_tfc_layers": 5,
        "latent_blocks": "all",
        "conditioner": "shared",
        "latent_order": "latents-first",
        "norm_after_widening": True,
        "resampling_activation": "identity",
    }
    return ModelConfig(
        stft=StftConfig(n_fft=n_fft, hop_samples=_HOP_SAMPLES),
        network=ConditionedUNetConfig(**(settings | network)),
        chunk=chunk,
    )


def _lasaft_v2(n_fft: int, **network: Any) -> ModelConfig:
    """Configure LASAFT-Net-v2 and LightSAFT+: plain encoder, latent sources in the decoder."""
    return ModelConfig(
        stft=StftConfig(n_fft=n_fft, hop_samples=_HOP_SAMPLES),
        network=ConditionedUNetConfig(**network),
        chunk=_chunk(128, 5120),
    )


_LISTENING = {"query_listens": True, "key_listens": True}

PRESETS: Mapping[str, ModelConfig] = {
    # Ours: LightSAFT+ on folded bins with one gain for each channel and bin.
    "stemlight-small": ModelConfig(
        stft=StftConfig(n_fft=4096, hop_samples=_HOP_SAMPLES, kept_bins=2048),
        network=ConditionedUNetConfig(
            n_blocks=9,
            features=(24, 32, 48, 64, 64),
            n_tfc_layers=2,
            n_latents=8,
            key_dim=16,
            embedding_dim=32,
            bn_factor=32,
            bins_per_fold=8,
            merge_skip="multiply",
            estimate="gain",
        ),
        chunk=_chunk(256, 8192, 8192),
    ),
    # The authors' configurations; parameter counts are those of their code.
    "lightsaft": _lightsaft(
        2048,
        _chunk(128, 5120),
        n_blocks=7,
        features=(24,),
        n_latents=6,
        key_dim=32,
        embedding_dim=32,
    ),
    "lightsaft-mdx": _lightsaft(
        2048,
        _chunk(256, 8192),
        n_blocks=9,
        features=(16,),
        n_latents=16,
        key_dim=64,
        embedding_dim=64,
    ),
    "lightsaft-4096": _lightsaft(
        4096,
        _chunk(128, 5120),
        n_blocks=9,
        features=(24,),
        n_latents=16,
        key_dim=64,
        embedding_dim=32,
        bias=True,
    ),
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
        n_tfc_layers=5,
        n_latents=12,
        key_dim=32,
        embedding_dim=32,
        activation="leaky_relu",
        resampling_activation="leaky_relu",
        **_LISTENING,
    ),
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
