"""What of a mixture one bin of one frame of an estimate depends on.

Computed, it is what the wiring allows. Measured, it is how much the estimate would change if a
place of the mixture became louder by a small part: the gradient times what is there. The gradient
alone would be largest where there is next to nothing, because networks compress levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from stemlight.errors import UsageError
from stemlight.inspection.places import kept_bins
from stemlight.inspection.subject import Subject
from stemlight.models.config import ModelConfig, UNetConfig
from stemlight.shapes import Float, Float32

__all__ = ["FieldSpan", "MeasuredField", "computed_field", "measured_field", "span_of_share"]

_MOST_FRAMES = 128  # of a measurement; gradients hold all feature maps at once
_NOISE = 0.1


@dataclass(frozen=True, kw_only=True)
class FieldSpan:
    """First and last of the frames and bins that an output depends on."""

    frames: tuple[int, int]
    bins: tuple[int, int]

    def seconds(self, config: ModelConfig) -> float:
        """Return how much sound these frames see: their windows overlap."""
        first, last = self.frames
        samples = (last - first) * config.stft.hop_samples + config.stft.n_fft
        return samples / config.sample_rate_hz


@dataclass(frozen=True, kw_only=True)
class MeasuredField:
    """How much each place of a mixture counts for the estimate at `frame` and `bin`."""

    frame: int
    bin: int
    influence: Float[np.ndarray, "frames bins"]
    """Gradient times planes, as a length over the planes; the largest is 1."""

    def span(self) -> FieldSpan:
        """Return the places that have any influence; where none has, that of the estimate."""
        if not self.influence.any():
            return FieldSpan(frames=(self.frame, self.frame), bins=(self.bin, self.bin))
        rows, columns = (np.flatnonzero(self.influence.any(axis=axis)) for axis in (1, 0))
        return FieldSpan(
            frames=(int(rows[0]), int(rows[-1])), bins=(int(columns[0]), int(columns[-1]))
        )


def computed_field(config: ModelConfig, n_frames: int, frame: int, bin: int) -> FieldSpan:
    """Return what an output may depend on, in a window of `n_frames`."""
    network = config.network
    n_bins = kept_bins(config)
    # Group and instance norms, and bands, take the level of the whole window.
    is_global = network.norm != "batch" or network.head == "bands"
    frames = _of_axis(network, "frames", frame, frame)
    first, last = (0, n_frames - 1) if is_global else frames
    if is_global or network.transformation != "none":  # fully connected over the bins
        bins = (0, n_bins - 1)
    else:
        bins = _bins_of(network, bin)
    return FieldSpan(
        frames=(max(first, 0), min(last, n_frames - 1)),
        bins=(max(bins[0], 0), min(bins[1], n_bins - 1)),
    )


def measured_field(
    subject: Subject,
    *,
    source: str,
    hz: float,
    mixture: Float32[np.ndarray, "2 samples"] | None = None,
    seed: int = 0,
) -> MeasuredField:
    """Differentiate the estimate at `hz` in the middle of a window by the mixture's planes.

    The mixture is taken around its loudest place, or is noise if there is none.
    """
    config, model = subject.known_config(), subject.known_model()
    if source not in subject.sources:
        raise UsageError(
            f"{subject.name!r} has no source {source!r}; it has {', '.join(subject.sources)}"
        )
    multiple = config.network.frame_multiple
    n_frames = min(config.n_frames, -(-_MOST_FRAMES // multiple) * multiple)
    samples = _window(mixture, config.stft.window_samples(n_frames), seed)
    planes = model.stft(samples[None]).detach().requires_grad_()
    n_bins = planes.shape[-1]
    frame = n_frames // 2
    bin = min(round(hz * config.stft.n_fft / config.sample_rate_hz), n_bins - 1)
    wanted = torch.tensor([subject.sources.index(source)])
    output = model.network(planes, wanted)[0, 0, :, frame, bin].sum()
    (gradient,) = torch.autograd.grad(output, planes)
    lengths = (gradient * planes.detach())[0].norm(dim=0).double().numpy()
    return MeasuredField(frame=frame, bin=bin, influence=lengths / max(lengths.max(), 1e-300))


def span_of_share(weights: Float[np.ndarray, " places"], share: float) -> tuple[int, int]:
    """Return first and last place of the middle `share` of all weight."""
    summed = np.cumsum(weights) / weights.sum()
    outside = (1 - share) / 2
    first = int(np.searchsorted(summed, outside))
    last = int(np.searchsorted(summed, 1 - outside))
    return first, min(last, len(weights) - 1)


def _window(
    mixture: Float32[np.ndarray, "2 _"] | None, n_samples: int, seed: int
) -> Float[torch.Tensor, "2 samples"]:
    if mixture is None or not mixture.any():
        noise = np.random.default_rng(seed).standard_normal((2, n_samples))
        return torch.from_numpy(_NOISE * noise).float()
    loudest = int(np.argmax(np.square(mixture).sum(axis=0)))
    first = min(max(loudest - n_samples // 2, 0), max(mixture.shape[1] - n_samples, 0))
    piece = mixture[:, first : first + n_samples]
    return torch.from_numpy(np.pad(piece, ((0, 0), (0, n_samples - piece.shape[1]))))


def _of_axis(network: UNetConfig, axis: str, first: int, last: int) -> tuple[int, int]:
    """Follow an interval of the decoder's output back to the head's output."""
    number = 0 if axis == "frames" else 1
    kernel = (network.kernel_frames, network.kernel_bins)[number]
    reach = network.n_tfc_layers * (kernel // 2)

    def through_level(level: int, first: int, last: int) -> tuple[int, int]:
        first, last = first - reach, last + reach
        if level == network.n_levels:  # the middle has one block, not two
            return first, last
        stride = network.strides(level)[number]
        below = through_level(level + 1, first // stride, last // stride)
        # The skip reads the same places, so it widens nothing but where the stride cuts off.
        first, last = min(first, stride * below[0]), max(last, stride * below[1] + stride - 1)
        return first - reach, last + reach

    return through_level(0, first, last)


def _bins_of(network: UNetConfig, bin: int) -> tuple[int, int]:
    """Follow a bin back through tail, network and head, where no layer sees all bins."""
    if network.head == "pairs":  # a bin comes from two positions, each of which reads two bins
        first, last = _of_axis(network, "bins", bin - 1, bin)
        return first, last + 1
    if network.head == "pointwise":
        return _of_axis(network, "bins", bin, bin)
    fold = network.bins_per_fold or 1
    first, last = _of_axis(network, "bins", bin // fold, bin // fold)
    return first * fold, (last + 1) * fold - 1
