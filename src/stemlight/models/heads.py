"""The two ends of a network: planes to features, and features to estimated planes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from einops import rearrange
from torch import Tensor, nn

from stemlight.blocks.tfc_tdf import conv_norm, make_activation, make_norm
from stemlight.configs import Activation, Estimate, Norm
from stemlight.shapes import Float

__all__ = [
    "BandHead",
    "BandTail",
    "FoldedHead",
    "FoldedTail",
    "apply_estimate",
    "n_bins_of",
    "pair_bins_head",
    "pair_bins_tail",
    "pointwise_head",
    "pointwise_tail",
]

Planes = Float[Tensor, "batch planes frames bins"]

_QUIETEST = 1e-7  # power of a bin below which level differences carry nothing; keeps sqrt smooth
_QUIETEST_WINDOW = 1e-5  # mean power of a window; about -80 dBFS with 4096 samples a frame
_FALL = 0.75  # exponent by which magnitudes of music fall with frequency: 4.5 dB an octave
_LEVEL_BIN = 100  # where magnitudes of a window at level 1 are about 1


def pair_bins_head(
    n_planes: int, n_features: int, activation: Activation, norm: Norm = "batch"
) -> nn.Sequential:
    """Read neighbouring bins in pairs: `bins` become `bins - 1`, an even number."""
    convolution = nn.Conv2d(n_planes, n_features, kernel_size=(1, 2))
    return conv_norm(convolution, n_features, activation, norm)


def pair_bins_tail(n_features: int, n_planes: int) -> nn.Module:
    """Undo the shape of `pair_bins_head`: `bins` become `bins + 1`."""
    return nn.Conv2d(n_features, n_planes, kernel_size=(1, 2), padding=(0, 1))


def pointwise_head(
    n_planes: int, n_features: int, activation: Activation, norm: Norm = "batch"
) -> nn.Sequential:
    """Read every bin alone, for a number of kept bins that halves well (TFC-TDF-U-Net v2)."""
    convolution = nn.Conv2d(n_planes, n_features, kernel_size=1)
    return conv_norm(convolution, n_features, activation, norm)


def pointwise_tail(n_features: int, n_planes: int) -> nn.Module:
    """Write every bin alone."""
    return nn.Conv2d(n_features, n_planes, kernel_size=1)


class FoldedHead(nn.Module):
    """Compressed magnitudes of left, right, middle and side, with neighbouring bins as features.

    The fourth root of the power halves the range in decibels, so that quiet high bins count
    beside loud low ones; middle and side bring the phase between the channels, which is all of the
    phase that a gain can use. Every bin has its own scale and offset, learned. Folding `fold` bins
    into features makes all further maps `fold` times smaller.
    """

    def __init__(self, n_features: int, n_bins: int, *, fold: int, activation: Activation) -> None:
        super().__init__()
        self.fold = fold
        self.bin_scale = nn.Parameter(torch.ones(n_bins))
        self.bin_offset = nn.Parameter(torch.zeros(n_bins))
        self.mix = conv_norm(nn.Conv2d(4 * fold, n_features, kernel_size=1), n_features, activation)

    def forward(self, planes: Planes) -> Float[Tensor, "batch features frames folded_bins"]:
        """Map complex-major stereo planes to features."""
        compressed = _compressed_views(planes) * self.bin_scale + self.bin_offset
        features: Tensor = self.mix(
            rearrange(compressed, "b view t (bins fold) -> b (view fold) t bins", fold=self.fold)
        )
        return features


def _compressed_views(planes: Planes) -> Float[Tensor, "batch views frames bins"]:
    """Return compressed magnitudes of left, right, middle and side."""
    left_right = rearrange(planes, "b (complex c) t bins -> complex b c t bins", c=2)
    left, right = left_right[:, :, :1], left_right[:, :, 1:]
    views = torch.cat((left, right, left + right, left - right), dim=2)
    power = views[0].square() + views[1].square()
    return torch.sqrt(torch.sqrt(power + _QUIETEST))


class FoldedTail(nn.Module):
    """Features to some outputs for each bin; undoes the shape of `FoldedHead`."""

    def __init__(self, n_features: int, n_outputs: int, *, fold: int) -> None:
        super().__init__()
        self.fold = fold
        self.mix = nn.Conv2d(n_features, n_outputs * fold, kernel_size=1)

    def forward(
        self, features: Float[Tensor, "batch features frames folded_bins"]
    ) -> Float[Tensor, "batch outputs frames bins"]:
        """Spread the folded bins out again."""
        return rearrange(
            self.mix(features), "b (out fold) t bins -> b out t (bins fold)", fold=self.fold
        )


class BandHead(nn.Module):
    """What `FoldedHead` sees, with narrow bands where music is dense and wide ones above.

    `bands` are groups, from low to high, of some number of bands with the same number of bins. A
    group shares its weights, because voices move through its bands; each band has its own offsets.
    That asks for bins of about the same level: each window is divided by its own, and the scales of
    the bins begin as music falls with frequency. So the level of a song does not matter.
    """

    def __init__(
        self, n_features: int, *, bands: Sequence[tuple[int, int]], activation: Activation
    ) -> None:
        super().__init__()
        self.bands = tuple(bands)
        n_bins = n_bins_of(bands)
        # The first two bins lie below what music has.
        bins = torch.arange(n_bins).clamp(min=2)
        self.bin_scale = nn.Parameter((bins / _LEVEL_BIN) ** (_FALL / 2))
        self.bin_offset = nn.Parameter(torch.zeros(n_bins))
        self.mixes = nn.ModuleList(
            _BandGroup(n_bands, 4 * width, n_features) for n_bands, width in bands
        )
        self.norm = nn.Sequential(make_norm("batch", n_features), make_activation(activation))

    def forward(self, planes: Planes) -> Float[Tensor, "batch features frames bands"]:
        """Map complex-major stereo planes to features."""
        power = planes.square().mean(dim=(1, 2, 3), keepdim=True)
        planes = planes * torch.rsqrt(power + _QUIETEST_WINDOW)
        compressed = _compressed_views(planes) * self.bin_scale + self.bin_offset
        parts = torch.split(compressed, [count * width for count, width in self.bands], dim=-1)
        mixed = [
            mix(rearrange(part, "b view t (n width) -> b n t (view width)", n=mix.n_bands))
            for mix, part in zip(self.mixes, parts, strict=True)
        ]
        joined = rearrange(torch.cat(mixed, dim=1), "b n t features -> b features t n")
        features: Tensor = self.norm(joined)
        return features


class BandTail(nn.Module):
    """Features of bands to some outputs for each bin; undoes the shape of `BandHead`."""

    def __init__(
        self, n_features: int, n_outputs: int, *, bands: Sequence[tuple[int, int]]
    ) -> None:
        super().__init__()
        self.bands = tuple(bands)
        self.mixes = nn.ModuleList(
            _BandGroup(n_bands, n_features, n_outputs * width) for n_bands, width in bands
        )

    def forward(
        self, features: Float[Tensor, "batch features frames bands"]
    ) -> Float[Tensor, "batch outputs frames bins"]:
        """Spread the bands out into bins."""
        parts = torch.split(features, [count for count, _ in self.bands], dim=-1)
        spread = [
            rearrange(
                mix(rearrange(part, "b features t n -> b n t features")),
                "b n t (out width) -> b out t (n width)",
                width=width,
            )
            for mix, part, (_, width) in zip(self.mixes, parts, self.bands, strict=True)
        ]
        return torch.cat(spread, dim=-1)


def n_bins_of(bands: Iterable[tuple[int, int]]) -> int:
    """Return how many bins all bands have together."""
    return sum(n_bands * width for n_bands, width in bands)


class _BandGroup(nn.Module):
    """A fully connected layer that the bands of a group share, but for their offsets."""

    def __init__(self, n_bands: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.n_bands = n_bands
        bound = 1 / math.sqrt(n_in)  # as PyTorch's linear layers begin
        self.weight = nn.Parameter(torch.empty(n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_bands, 1, n_out).uniform_(-bound, bound))

    def forward(
        self, inputs: Float[Tensor, "batch bands frames n_in"]
    ) -> Float[Tensor, "batch bands frames n_out"]:
        return inputs @ self.weight + self.bias


def apply_estimate(
    estimate: Estimate,
    planes: Float[Tensor, "*#batch planes frames bins"],
    output: Float[Tensor, "*#batch outputs frames bins"],
) -> Float[Tensor, "*_ planes frames bins"]:
    """Turn the network's output into estimated planes of the source.

    Leading axes are broadcast: one mixture may stand for all of its sources.
    """
    if estimate == "mapping":
        return output
    if estimate == "masking":
        return planes * output
    parts = rearrange(planes, "... (complex c) t bins -> ... complex c t bins", complex=2)
    if estimate == "gain":
        estimates = parts * torch.sigmoid(output).unsqueeze(-4)
    else:
        # What sounds on both sides can be had by subtracting one from the other, which no gain can.
        own, from_other = output[..., :2, :, :], output[..., 2:, :, :]
        estimates = parts * torch.sigmoid(own).unsqueeze(-4)
        estimates = estimates + parts.flip(-3) * from_other.unsqueeze(-4)
    return rearrange(estimates, "... complex c t bins -> ... (complex c) t bins")
