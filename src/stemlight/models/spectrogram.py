"""A network on planes, wrapped so that it takes and gives waveforms."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn

from stemlight.models.conditioned import build_conditioned_unet
from stemlight.models.presets import ModelConfig
from stemlight.models.unet import ConditionedUNet
from stemlight.shapes import Float, Int
from stemlight.stft_torch import Stft

__all__ = ["SpectrogramModel", "build_model"]


class SpectrogramModel(nn.Module):
    """STFT, network, inverse STFT: windows of a mixture in, windows of its sources out."""

    def __init__(self, stft: Stft, network: ConditionedUNet) -> None:
        super().__init__()
        self.stft = stft
        self.network = network

    def forward(
        self, mixture: Float[Tensor, "batch channels samples"], sources: Int[Tensor, " sources"]
    ) -> Float[Tensor, "batch sources channels samples"]:
        """Separate windows; `sources` are positions in the model's list of sources."""
        estimates: Tensor = self.network(self.stft(mixture), sources)
        flat = rearrange(estimates, "batch sources ... -> (batch sources) ...")
        samples = self.stft.inverse(flat, mixture.shape[-1])
        return rearrange(
            samples, "(batch sources) ... -> batch sources ...", sources=sources.shape[0]
        )


def build_model(config: ModelConfig) -> SpectrogramModel:
    """Build a model with fresh weights."""
    stft = Stft(
        config.stft.n_fft,
        config.stft.hop_samples,
        packing=config.stft.packing,
        kept_bins=config.stft.kept_bins,
    )
    return SpectrogramModel(stft, build_conditioned_unet(config.network, stft.kept_bins))
