"""What a network costs, in words: for `stemlight info`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemlight.models.config import ModelConfig

__all__ = ["Facts", "facts_of_configs", "grouped"]

Facts = list[tuple[str, str]]

_MIB = 2**20


def facts_of_configs(configs: Sequence[ModelConfig]) -> Facts:
    """Tell size, work, band limits, latency and memory of a network, or of several side by side."""
    limits = [
        f"{source} {config.band_limit_hz:.0f} Hz" for config in configs for source in config.sources
    ]
    latency_seconds = max(
        config.chunk.latency_samples / config.sample_rate_hz for config in configs
    )
    window_seconds = max(config.chunk.chunk_samples / config.sample_rate_hz for config in configs)
    return [
        *_computed(configs),
        ("band limit", ", ".join(limits)),
        ("latency", f"{latency_seconds:.2f} s at most, in windows of {window_seconds:.2f} s"),
    ]


def _computed(configs: Sequence[ModelConfig]) -> Facts:
    """Count with PyTorch, which alone knows what its layers do."""
    try:
        from stemlight.models.size import network_size
    except ModuleNotFoundError:
        missing = "not counted without PyTorch; pip install 'stemlight[torch]'"
        return [(name, missing) for name in ("parameters", "work", "memory")]
    whole = [network_size(config, n_sources=config.network.n_sources) for config in configs]
    work = f"{sum(size.gmac_per_second for size in whole):.2f} GMAC per second of music"
    if len(configs) == 1 and configs[0].network.n_sources > 1:
        single = network_size(configs[0])
        work = (
            f"{single.gmac_per_second:.2f} GMAC per second of music for one stem, "
            f"{whole[0].gmac_per_second:.2f} for all {configs[0].network.n_sources}"
        )
    # Members run one after the other: all weights stay, the feature maps of one at a time do.
    n_bytes = sum(size.weight_bytes for size in whole) + max(s.peak_map_bytes for s in whole)
    return [
        ("parameters", grouped(sum(size.n_parameters for size in whole))),
        ("work", work),
        ("memory", f"{n_bytes / _MIB:.0f} MiB of weights and feature maps for a window"),
    ]


def grouped(number: int) -> str:
    """Write a number with its thousands apart."""
    return f"{number:,}".replace(",", " ")
