"""Short-time Fourier transform in PyTorch, for training and the torch engine.

`stemlight.stft` is the same transform in NumPy, for separation without PyTorch; a test pins the
two to each other. Both hold a spectrogram as real planes: real and imaginary parts of every audio
channel, stacked in one of two orders (`stemlight.configs.Packing`), or magnitudes.

Source: section 2.1 of the LaSAFT, LightSAFT and TFC-TDF-U-Net code bases: periodic Hann window of
n_fft samples, no scaling, frames centred on multiples of the hop and the signal reflected at its
ends (or, in the oldest, neither).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn

from stemlight.configs import Packing, Representation
from stemlight.shapes import Complex, Float

__all__ = ["Analysis", "Stft", "pack_planes", "unpack_planes"]

_PATTERNS: dict[str, str] = {
    "complex-major": "batch (complex channels) frames bins",
    "channel-major": "batch (channels complex) frames bins",
}

_LEAST_ENVELOPE = 1e-8  # of summed squared windows, where nothing but a window's edge reaches


class Analysis(NamedTuple):
    """What a network sees of a window, and the phases that it does not see, as unit numbers."""

    planes: Float[Tensor, "batch planes frames bins"]
    phase: Complex[Tensor, "batch channels frames bins"] | None


def pack_planes(
    spectrogram: Complex[Tensor, "batch channels frames bins"], packing: Packing
) -> Float[Tensor, "batch planes frames bins"]:
    """Stack real and imaginary parts of all channels as real planes, in the order `packing`."""
    parts = torch.view_as_real(spectrogram)
    return rearrange(parts, f"batch channels frames bins complex -> {_PATTERNS[packing]}")


def unpack_planes(
    planes: Float[Tensor, "batch planes frames bins"], packing: Packing
) -> Complex[Tensor, "batch channels frames bins"]:
    """Undo `pack_planes`."""
    parts = rearrange(
        planes, f"{_PATTERNS[packing]} -> batch channels frames bins complex", complex=2
    )
    return torch.view_as_complex(parts.contiguous())


class Stft(nn.Module):
    """Waveform to planes and back, for windows of a whole number of hops.

    Centred, a window of `hop_samples * (n_frames - 1)` samples gives `n_frames` frames; otherwise
    it takes `n_fft` samples more. Bins from `kept_bins` on are dropped by `forward` and are zero
    for `inverse`.
    """

    window: Tensor

    def __init__(
        self,
        n_fft: int,
        hop_samples: int,
        *,
        packing: Packing,
        kept_bins: int | None = None,
        representation: Representation = "complex",
        centered: bool = True,
    ) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_samples = hop_samples
        self.packing: Packing = packing
        self.representation: Representation = representation
        self.centered = centered
        self.n_bins = n_fft // 2 + 1
        self.kept_bins = self.n_bins if kept_bins is None else kept_bins
        # Not in the state dict: it follows from n_fft.
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(
        self, mixture: Float[Tensor, "batch channels samples"]
    ) -> Float[Tensor, "batch planes frames bins"]:
        """Transform a batch of windows into planes of the kept bins."""
        return self.analyse(mixture).planes

    def analyse(self, mixture: Float[Tensor, "batch channels samples"]) -> Analysis:
        """Transform a batch of windows into planes, and what else `inverse` needs."""
        spectrogram = self._spectrogram(mixture)
        if self.representation == "complex":
            return Analysis(pack_planes(spectrogram, self.packing), None)
        magnitude = spectrogram.abs()
        # Where there is no sound there is no phase; zero stands for it.
        phase = torch.where(magnitude > 0, spectrogram / magnitude, torch.ones_like(spectrogram))
        return Analysis(magnitude, phase)

    def _spectrogram(self, mixture: Tensor) -> Complex[Tensor, "batch channels frames bins"]:
        spectrogram = torch.stft(
            rearrange(mixture, "batch channels samples -> (batch channels) samples"),
            self.n_fft,
            self.hop_samples,
            window=self.window,
            center=self.centered,
            pad_mode="reflect",
            return_complex=True,
        )[:, : self.kept_bins]
        return rearrange(
            spectrogram, "(b channels) bins frames -> b channels frames bins", b=mixture.shape[0]
        )

    def inverse(
        self,
        planes: Float[Tensor, "batch planes frames bins"],
        n_samples: int,
        phase: Complex[Tensor, "batch channels frames bins"] | None = None,
    ) -> Float[Tensor, "batch channels samples"]:
        """Transform planes back into `n_samples` samples; magnitudes need the mixture's phase."""
        if self.representation == "complex":
            spectrogram = unpack_planes(planes.float(), self.packing)
        else:
            assert phase is not None, "magnitudes alone make no waveform; give the phase"
            spectrogram = planes.float() * phase
        spectrogram = nn.functional.pad(spectrogram, (0, self.n_bins - spectrogram.shape[-1]))
        flat = rearrange(spectrogram, "batch channels frames bins -> (batch channels) bins frames")
        if self.centered:
            samples = torch.istft(
                flat, self.n_fft, self.hop_samples, window=self.window, length=n_samples
            )
        else:
            samples = self._overlap_add(flat, n_samples)
        return rearrange(
            samples, "(batch channels) samples -> batch channels samples", batch=planes.shape[0]
        )

    def _overlap_add(self, spectrogram: Tensor, n_samples: int) -> Tensor:
        """Invert frames that are not centred: torch.istft refuses a window that starts at zero."""
        window = rearrange(self.window, "samples -> samples 1")
        frames = torch.fft.irfft(spectrogram, self.n_fft, dim=1) * window
        envelope = self._fold(window.square().expand(1, -1, frames.shape[-1]), n_samples)
        return self._fold(frames, n_samples) / envelope.clamp(min=_LEAST_ENVELOPE)

    def _fold(self, frames: Float[Tensor, "batch samples frames"], n_samples: int) -> Tensor:
        folded = nn.functional.fold(
            frames, (1, n_samples), kernel_size=(1, self.n_fft), stride=(1, self.hop_samples)
        )
        return rearrange(folded, "batch 1 1 samples -> batch samples")
