"""The PyTorch engine: the models as modules, for research, training and accelerators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch

from stemlight.errors import UsageError
from stemlight.models.spectrogram import SpectrogramModel
from stemlight.shapes import Float32

__all__ = ["TorchEngine", "choose_device", "keep_float32"]


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


def keep_float32() -> None:
    """Keep PyTorch from rounding float32 to TF32 on NVIDIA's processors, in this process.

    It does so in convolutions unless told otherwise, and then engines do not give the same stems.
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False


class TorchEngine:
    """Runs a `SpectrogramModel` on its own device, in evaluation mode.

    In `bfloat16` the network computes in it (autocast); the transforms stay in float32.
    """

    def __init__(
        self,
        model: SpectrogramModel,
        *,
        sources: Sequence[str],
        sample_rate_hz: int,
        precision: Literal["float32", "bfloat16"] = "float32",
        n_threads: int = 0,
    ) -> None:
        """Wrap a model; `n_threads` other than 0 sets PyTorch's threads for the whole process."""
        if n_threads:
            torch.set_num_threads(n_threads)
        self.model = model
        self.sources = tuple(sources)
        self.sample_rate_hz = sample_rate_hz
        self.precision = precision
        self.n_channels = 2

    @property
    def device(self) -> torch.device:
        """Where the model is now."""
        return self.model.stft.window.device

    def separate_chunks(
        self, mixture: Float32[np.ndarray, "batch channels samples"], sources: Sequence[str]
    ) -> Float32[np.ndarray, "batch sources channels samples"]:
        """Separate windows; see `stemlight.separation.Backend`."""
        wanted = torch.tensor([self.sources.index(name) for name in sources], device=self.device)
        was_training = self.model.training
        self.model.eval()
        reduced = self.precision == "bfloat16"
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=reduced),
        ):
            estimates = self.model(self._to_device(mixture), wanted)
        self.model.train(was_training)
        return self._to_host(estimates)

    def _to_device(self, mixture: np.ndarray) -> torch.Tensor:
        samples = torch.from_numpy(mixture)
        if self.device.type != "cuda":
            return samples.to(self.device)
        # Pinned memory is copied while the host goes on; `mixture` itself may be anywhere.
        return samples.pin_memory().to(self.device, non_blocking=True)

    def _to_host(self, estimates: torch.Tensor) -> np.ndarray:
        if self.device.type != "cuda":
            return estimates.cpu().numpy()
        pinned = torch.empty(estimates.shape, dtype=estimates.dtype, pin_memory=True)
        pinned.copy_(estimates)
        # The pinned block goes back to its pool with `pinned`; the stems live as long as they like.
        return pinned.numpy().copy()
