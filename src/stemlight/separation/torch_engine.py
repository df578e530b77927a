"""The PyTorch engine: the models as modules, for research, training and accelerators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from stemlight.errors import UsageError
from stemlight.models.spectrogram import SpectrogramModel
from stemlight.shapes import Float32

__all__ = ["TorchEngine", "choose_device"]


def choose_device(name: str) -> torch.device:
    """Return the device `name`; `auto` takes the first that is there of cuda, mps and cpu.

    Raises:
        UsageError: the device is unknown or not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    available = [device for device, is_there in there.items() if is_there]
    if name == "auto":
        return torch.device(available[0])
    if name not in available:
        raise UsageError(f"no device {name!r} here; devices are auto, {', '.join(available)}")
    return torch.device(name)


class TorchEngine:
    """Runs a `SpectrogramModel` on its own device, in evaluation mode and full precision."""

    def __init__(
        self,
        model: SpectrogramModel,
        *,
        sources: Sequence[str],
        sample_rate_hz: int,
        n_threads: int = 0,
    ) -> None:
        """Wrap a model; `n_threads` other than 0 sets PyTorch's threads for the whole process."""
        if n_threads:
            torch.set_num_threads(n_threads)
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
