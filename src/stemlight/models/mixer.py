"""Mixers: small networks that improve estimates made apart, knowing all of them and the mixture.

Source: KUIELab-MDX-Net, section "Mixer". The paper's is one linear layer on each sample by itself;
"more complex models", which it leaves to the future, are a branch of convolutions beside it.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from stemlight.errors import ConfigError
from stemlight.shapes import Float

__all__ = ["MixerConfig", "WaveformMixer", "build_mixer"]


@dataclass(frozen=True, kw_only=True)
class MixerConfig:
    """Shape of a mixer; the defaults are the paper's for four sources."""

    n_estimates: int = 4
    n_sources: int = 4
    hidden_channels: int = 32
    kernel_samples: int = 1
    n_layers: int = 1
    bias: bool = False

    def __post_init__(self) -> None:
        for name in ("n_estimates", "n_sources", "hidden_channels", "n_layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.kernel_samples < 1 or self.kernel_samples % 2 == 0:
            raise ConfigError(f"kernel_samples must be odd, 1 or more, not {self.kernel_samples}")


class WaveformMixer(nn.Module):
    """A linear layer over the channels of all estimates and the mixture, and a branch beside it.

    The branch is `n_layers` convolutions over time with ReLU between. A single one of 1 sample
    without bias would repeat the linear layer, and is left out. The branch starts at zero and the
    linear layer at the first `n_sources` estimates, so a new mixer changes nothing.

    The signal lies between zeros, once, before the first convolution: padded at each, a block cut
    out of a signal could never give what the whole signal gives.

    Without bias the mixer is positively homogeneous: a louder song is mixed as a quieter one.
    """

    def __init__(
        self,
        n_estimates: int,
        n_sources: int,
        *,
        hidden_channels: int = 32,
        kernel_samples: int = 1,
        n_layers: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        n_inputs, n_outputs = 2 * n_estimates + 2, 2 * n_sources
        self.linear = nn.Linear(n_inputs, n_outputs, bias=False)
        with torch.no_grad():
            self.linear.weight.copy_(torch.eye(n_outputs, n_inputs))
        is_linear_only = n_layers == 1 and kernel_samples == 1 and not bias
        widths = [n_inputs, *[hidden_channels] * (n_layers - 1), n_outputs]
        self.convolutions = nn.ModuleList(
            nn.Conv1d(wide_in, wide_out, kernel_samples, bias=bias)
            for wide_in, wide_out in itertools.pairwise(widths)
            if not is_linear_only
        )
        for parameter in [] if is_linear_only else self.convolutions[-1].parameters():
            nn.init.zeros_(parameter)
        self.halo_samples = len(self.convolutions) * (kernel_samples // 2)

    def forward(
        self, signals: Float[Tensor, "batch signals channels samples"]
    ) -> Float[Tensor, "batch sources channels samples"]:
        """Mix estimates and, last, the mixture, all stereo."""
        inputs = rearrange(
            signals, "batch signals channels samples -> batch (signals channels) samples"
        )
        mixed = F.conv1d(
            inputs, rearrange(self.linear.weight, "outputs inputs -> outputs inputs 1")
        )
        branch = F.pad(inputs, (self.halo_samples, self.halo_samples))
        for number, convolution in enumerate(self.convolutions):
            branch = convolution(F.relu(branch) if number else branch)
        if len(self.convolutions):
            mixed = mixed + branch
        return rearrange(
            mixed, "batch (sources channels) samples -> batch sources channels samples", channels=2
        )


def build_mixer(config: MixerConfig) -> WaveformMixer:
    """Build a mixer that changes nothing yet."""
    return WaveformMixer(
        config.n_estimates,
        config.n_sources,
        hidden_channels=config.hidden_channels,
        kernel_samples=config.kernel_samples,
        n_layers=config.n_layers,
        bias=config.bias,
    )
