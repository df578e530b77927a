"""A network on planes, wrapped so that it takes and gives waveforms."""

from __future__ import annotations

from einops import rearrange, repeat
from torch import Tensor, nn

from stemlight.models.builder import build_unet
from stemlight.models.config import ModelConfig
from stemlight.models.unet import UNet
from stemlight.shapes import Complex, Float, Int
from stemlight.stft_torch import Stft

__all__ = ["SpectrogramModel", "build_model"]


class SpectrogramModel(nn.Module):
    """STFT, network, inverse STFT: windows of a mixture in, windows of its sources out."""

    def __init__(self, stft: Stft, network: UNet, *, output_gain: float = 1.0) -> None:
        super().__init__()
        self.stft = stft
        self.network = network
        self.output_gain = output_gain

    def forward(
        self, mixture: Float[Tensor, "batch channels samples"], sources: Int[Tensor, " sources"]
    ) -> Float[Tensor, "batch sources channels samples"]:
        """Separate windows; `sources` are positions in the model's list of sources."""
        planes, phase = self.stft.analyse(mixture)
        return self.to_samples(self.network(planes, sources), mixture.shape[-1], phase)

    def to_samples(
        self,
        estimates: Float[Tensor, "batch sources planes frames bins"],
        n_samples: int,
        phase: Complex[Tensor, "batch channels frames bins"] | None,
    ) -> Float[Tensor, "batch sources channels samples"]:
        """Bring estimated planes back to waveforms, with the mixture's phase where it is needed."""
        n_sources = estimates.shape[1]
        if phase is not None:
            phase = repeat(phase, "b ... -> (b sources) ...", sources=n_sources)
        # In mixed precision the network gives bfloat16, which no Fourier transform takes.
        flat = rearrange(estimates.float(), "b sources ... -> (b sources) ...")
        samples = self.output_gain * self.stft.inverse(flat, n_samples, phase)
        return rearrange(samples, "(b sources) ... -> b sources ...", sources=n_sources)


def build_model(config: ModelConfig) -> SpectrogramModel:
    """Build a model with fresh weights."""
    stft = Stft(
        config.stft.n_fft,
        config.stft.hop_samples,
        packing=config.stft.packing,
        kept_bins=config.stft.kept_bins,
        representation=config.stft.representation,
        centered=config.stft.centered,
    )
    network = build_unet(config.network, stft.kept_bins)
    return SpectrogramModel(stft, network, output_gain=config.output_gain)
