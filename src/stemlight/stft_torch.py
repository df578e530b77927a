"""Short-time Fourier transform in PyTorch, for training and the torch engine.

`stemlight.stft` is the same transform in NumPy, for separation without PyTorch; a test pins the
two to each other. Both hold a spectrogram as real planes: real and imaginary parts of every audio
channel, stacked in one of two orders (`stemlight.configs.Packing`).

Source: section 2.1 of the LaSAFT, LightSAFT and TFC-TDF-U-Net code bases: periodic Hann window of
n_fft samples, frames centred on multiples of the hop, the signal reflected at its ends, no scaling.
"""

from __future__ import annotations

import torch
from einops import rearrange
from torch import Tensor, nn

from stemlight.configs import Packing
from stemlight.shapes import Complex, Float

__all__ = ["Stft", "pack_planes", "unpack_planes"]

_PATTERNS: dict[str, str] = {
    "complex-major": "batch (complex channels) frames bins",
    "channel-major": "batch (channels complex) frames bins",
}


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

    A window of `hop_samples * (n_frames - 1)` samples gives `n_frames` frames. Bins from
    `kept_bins` on are dropped by `forward` and are zero for `inverse`.
    """

    window: Tensor

    def __init__(
        self, n_fft: int, hop_samples: int, *, packing: Packing, kept_bins: int | None = None
    ) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_samples = hop_samples
        self.packing: Packing = packing
        self.n_bins = n_fft // 2 + 1
        self.kept_bins = self.n_bins if kept_bins is None else kept_bins
        # Not in the state dict: it follows from n_fft.
        self.register_buffer("window", torch.hann_window(n_fft), persistent=False)

    def forward(
        self, mixture: Float[Tensor, "batch channels samples"]
    ) -> Float[Tensor, "batch planes frames bins"]:
        """Transform a batch of windows into planes of the kept bins."""
        batch = mixture.shape[0]
        spectrogram = torch.stft(
            rearrange(mixture, "batch channels samples -> (batch channels) samples"),
            self.n_fft,
            self.hop_samples,
            window=self.window,
            center=True,
            pad_mode="reflect",
            return_complex=True,
        )[:, : self.kept_bins]
        return pack_planes(
            rearrange(
                spectrogram,
                "(batch channels) bins frames -> batch channels frames bins",
                batch=batch,
            ),
            self.packing,
        )

    def inverse(
        self, planes: Float[Tensor, "batch planes frames bins"], n_samples: int
    ) -> Float[Tensor, "batch channels samples"]:
        """Transform planes back into `n_samples` samples."""
        spectrogram = unpack_planes(planes.float(), self.packing)
        missing_bins = self.n_bins - spectrogram.shape[-1]
        spectrogram = nn.functional.pad(spectrogram, (0, missing_bins))
        samples = torch.istft(
            rearrange(spectrogram, "batch channels frames bins -> (batch channels) bins frames"),
            self.n_fft,
            self.hop_samples,
            window=self.window,
            center=True,
            length=n_samples,
        )
        return rearrange(
            samples, "(batch channels) samples -> batch channels samples", batch=planes.shape[0]
        )
