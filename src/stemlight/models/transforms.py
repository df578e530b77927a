"""The transform that a model's configuration asks for, without PyTorch."""

from __future__ import annotations

from stemlight.configs import StftConfig
from stemlight.stft import Stft

__all__ = ["build_stft"]


def build_stft(config: StftConfig, *, n_workers: int = 1) -> Stft:
    """Build a transform whose work `n_workers` threads share; -1 stands for all cores."""
    return Stft(
        config.n_fft,
        config.hop_samples,
        packing=config.packing,
        kept_bins=config.kept_bins,
        representation=config.representation,
        centered=config.centered,
        n_workers=n_workers,
    )
