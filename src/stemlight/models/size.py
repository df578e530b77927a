"""What a network costs: parameters, multiply-adds, memory; counted, nothing is computed."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from stemlight.models.config import ModelConfig
from stemlight.models.spectrogram import build_model

__all__ = ["NetworkSize", "network_size"]


@dataclass(frozen=True, kw_only=True)
class NetworkSize:
    """Size of a network, and what one window of it takes."""

    n_parameters: int
    gmac_per_window: float  # 10^9 multiply-adds of convolutions and matrix products
    gmac_per_second: float  # of music that a window contributes
    weight_bytes: int
    peak_map_bytes: int  # of all feature maps that PyTorch holds at once, in float32

    @property
    def memory_bytes(self) -> int:
        """Weights and feature maps together: what a window takes, without the program itself."""
        return self.weight_bytes + self.peak_map_bytes


class _LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows how much the tensors that operations give take up while they are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        for tensor in output if isinstance(output, tuple | list) else (output,):
            if isinstance(tensor, Tensor):
                self._follow(tensor)
        return output

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, n_bytes = storage._cdata, storage.nbytes()
        if key in self._known:  # a view
            return
        self._known.add(key)
        self._live += n_bytes
        self.peak = max(self.peak, self._live)
        weakref.finalize(storage, self._forget, key, n_bytes)

    def _forget(self, key: int, n_bytes: int) -> None:
        self._known.discard(key)
        self._live -= n_bytes


def network_size(config: ModelConfig, *, n_sources: int = 1) -> NetworkSize:
    """Count for one window and `n_sources` sources; on PyTorch's meta device, so it is quick."""
    with torch.device("meta"):
        model = build_model(config).eval()
        planes = torch.empty(1, config.stft.n_planes, config.n_frames, model.stft.kept_bins)
        sources = torch.empty(n_sources, dtype=torch.int64)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.network(planes, sources)
        with torch.no_grad(), _LiveBytes() as maps:
            model.network(planes, sources)
    gmac = counter.get_total_flops() / 2e9
    parameters = list(model.network.parameters())
    return NetworkSize(
        n_parameters=sum(parameter.numel() for parameter in parameters),
        gmac_per_window=gmac,
        gmac_per_second=gmac / (config.chunk.hop_samples / config.sample_rate_hz),
        weight_bytes=sum(p.numel() * p.element_size() for p in parameters),
        peak_map_bytes=maps.peak,
    )
