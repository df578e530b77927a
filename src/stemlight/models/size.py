"""What a network costs: parameters, multiply-adds, memory; counted, nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from stemlight.models.config import ModelConfig
from stemlight.models.spectrogram import build_model

__all__ = ["NetworkSize", "network_size"]

_BYTES_PER_FLOAT = 4


@dataclass(frozen=True, kw_only=True)
class NetworkSize:
    """Size of a network, and what one window of it takes."""

    n_parameters: int
    gmac_per_window: float  # 10^9 multiply-adds of convolutions and matrix products
    gmac_per_second: float  # of music that a window contributes, without overlap
    largest_map_bytes: int  # of the largest tensor that a layer gives, in float32

    @property
    def parameter_bytes(self) -> int:
        """Bytes of the weights in float32."""
        return self.n_parameters * _BYTES_PER_FLOAT


def network_size(config: ModelConfig, *, n_sources: int = 1) -> NetworkSize:
    """Count for one window and `n_sources` sources; on PyTorch's meta device, so it is quick."""
    largest = 0

    def note(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel())

    with torch.device("meta"):
        model = build_model(config).eval()
        planes = torch.empty(1, config.stft.n_planes, config.n_frames, model.stft.kept_bins)
        sources = torch.empty(n_sources, dtype=torch.int64)
        for module in model.network.modules():
            module.register_forward_hook(note)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.network(planes, sources)
    gmac = counter.get_total_flops() / 2e9
    return NetworkSize(
        n_parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        gmac_per_window=gmac,
        gmac_per_second=gmac / (config.chunk.kept_samples / config.sample_rate_hz),
        largest_map_bytes=largest * _BYTES_PER_FLOAT,
    )
