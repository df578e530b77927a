"""The PyTorch engine: the models as modules, for research, training and accelerators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from stemlight.models.spectrogram import SpectrogramModel
from stemlight.shapes import Float32

__all__ = ["TorchEngine"]


class TorchEngine:
    """Runs a `SpectrogramModel` on its own device, in evaluation mode and full precision."""

    def __init__(
        self, model: SpectrogramModel, *, sources: Sequence[str], sample_rate_hz: int
    ) -> None:
        self.model = model
        self.sources = tuple(sources)
        self.sample_rate_hz = sample_rate_hz
        self.n_channels = 2

    def separate_chunks(
        self, mixture: Float32[np.ndarray, "batch channels samples"], sources: Sequence[str]
    ) -> Float32[np.ndarray, "batch sources channels samples"]:
        """Separate windows; see `stemlight.separation.Backend`."""
        device = self.model.stft.window.device
        wanted = torch.tensor([self.sources.index(name) for name in sources], device=device)
        was_training = self.model.training
        self.model.eval()
        with torch.inference_mode(), torch.autocast(device.type, enabled=False):
            estimates = self.model(torch.from_numpy(mixture).to(device), wanted)
        self.model.train(was_training)
        samples: np.ndarray = estimates.cpu().numpy()
        return samples
