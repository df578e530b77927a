"""What training makes small: a weighted sum of errors of waveforms and of spectrograms.

Each term is a mean error of each source of each item, `(batch, sources)`; what is not known of an
item enters no term.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields

import torch
from einops import rearrange
from torch import Tensor, nn

from stemlight.errors import ConfigError, did_you_mean
from stemlight.shapes import Bool, Float, Int
from stemlight.stft_torch import Stft

__all__ = ["LossConfig", "SeparationLoss", "Truth"]

Waveforms = Float[Tensor, "batch sources channels samples"]
Planes = Float[Tensor, "batch sources planes frames bins"]
Errors = Float[Tensor, "batch sources"]

_QUIET = 1e-6  # mean square of -60 dB: below it, log-SDR no longer tells errors apart
_TERMS = ("waveform", "planes", "waveform_squared", "planes_squared", "log_sdr", "resolutions")


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the terms of the loss; a term of weight 0 costs nothing.

    Planes are scaled by `1 / sqrt(n_fft)` first, which brings errors of waveforms and of planes to
    one size for noise.
    """

    waveform: float = 1.0
    """Mean absolute error of the waveform."""
    planes: float = 2.0
    """Mean absolute error of the planes that the network estimates."""
    waveform_squared: float = 0.0
    """Mean squared error of the waveform."""
    planes_squared: float = 0.0
    """Mean squared error of the planes, as the first papers train."""
    log_sdr: float = 0.0
    """Negative SDR of the waveform in dB, over 10; see `max_sdr_db`."""
    resolutions: float = 0.0
    """Mean absolute error of complex spectrograms of several resolutions."""
    max_sdr_db: float = 30.0
    """Where log_sdr levels off: what is nearly right already shall not outweigh what is not."""
    n_ffts: tuple[int, ...] = (4096, 2048, 1024, 512)
    """The resolutions; frames lie a quarter of one apart."""
    source_weights: dict[str, float] = field(default_factory=dict)
    """Factor for all errors of a source; 1 for those that are not named."""

    def __post_init__(self) -> None:
        for name in _TERMS:
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"loss.{name} must be at least 0, not {getattr(self, name)}")
        if not any(getattr(self, name) for name in _TERMS):
            raise ConfigError(f"loss needs a term of more than 0: {', '.join(_TERMS)}")
        defaults = {part.name: part.default for part in fields(self)}
        for name, term in (("max_sdr_db", "log_sdr"), ("n_ffts", "resolutions")):
            if not getattr(self, term) and getattr(self, name) != defaults[name]:
                raise ConfigError(f"loss.{name} belongs to loss.{term}, which is 0")
        if not self.n_ffts or any(n_fft < 4 or n_fft % 4 for n_fft in self.n_ffts):
            raise ConfigError(
                f"loss.n_ffts must be multiples of 4, at least one, not {list(self.n_ffts)}"
            )
        for name, weight in self.source_weights.items():
            if not 0 <= weight < math.inf:
                raise ConfigError(f"loss.source_weights.{name} must be at least 0, not {weight}")

    def weights_of(self, sources: Sequence[str]) -> list[float]:
        """Return the weight of each source.

        Raises:
            ConfigError: a weight is for a source that is not among them.
        """
        for name in self.source_weights:
            if name not in sources:
                raise ConfigError(
                    f"loss.source_weights names {name!r}{did_you_mean(name, sources)}; sources are "
                    f"{', '.join(sources)}"
                )
        return [self.source_weights.get(name, 1.0) for name in sources]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a batch should have been separated into."""

    waveforms: Waveforms
    known: Bool[Tensor, "batch sources"]
    sources: Int[Tensor, "batch sources"]
    """Which source is which: positions in the model's list."""


class SeparationLoss(nn.Module):
    """The weighted sum of a `LossConfig`'s terms, as a mean over all known sources of all items.

    `mean_over_processes` is given the number of known sources where several processes share a
    batch: divided by its mean, the mean of their losses is the loss of the whole.
    """

    weights: Tensor

    def __init__(
        self,
        config: LossConfig,
        stft: Stft,
        sources: Sequence[str],
        *,
        mean_over_processes: Callable[[Tensor], Tensor] = lambda count: count,
    ) -> None:
        super().__init__()
        self.config = config
        self.stft = stft
        self.mean_over_processes = mean_over_processes
        self.register_buffer("weights", torch.tensor(config.weights_of(sources)), persistent=False)
        self.spectrograms = nn.ModuleList(
            Stft(n_fft, n_fft // 4, packing="complex-major")
            for n_fft in (config.n_ffts if config.resolutions else ())
        )

    def forward(
        self, truth: Truth, waveforms: Waveforms, planes: Planes | None = None
    ) -> tuple[Tensor, Mapping[str, Tensor]]:
        """Return the loss and its terms, each unweighted, by name.

        Without `planes` those of the waveforms stand for them.
        """
        errors = self._errors(truth, waveforms, planes)
        weights = torch.where(truth.known, self.weights[truth.sources], 0.0)
        n_known = self.mean_over_processes(truth.known.sum().float()).clamp(min=1)
        terms = {name: (error * weights).sum() / n_known for name, error in errors.items()}
        total = sum(getattr(self.config, name) * term for name, term in terms.items())
        assert isinstance(total, Tensor)
        return total, {name: term.detach() for name, term in terms.items()}

    def _errors(
        self, truth: Truth, waveforms: Waveforms, planes: Planes | None
    ) -> dict[str, Errors]:
        config, wanted = self.config, truth.waveforms
        errors = {}
        if config.waveform:
            errors["waveform"] = _mean((waveforms - wanted).abs())
        if config.waveform_squared:
            errors["waveform_squared"] = _mean((waveforms - wanted).square())
        if config.planes or config.planes_squared:
            own = self._planes(waveforms) if planes is None else planes
            difference = (own - self._planes(wanted)) / math.sqrt(self.stft.n_fft)
            if config.planes:
                errors["planes"] = _mean(difference.abs())
            if config.planes_squared:
                errors["planes_squared"] = _mean(difference.square())
        if config.log_sdr:
            errors["log_sdr"] = _negative_log_sdr(waveforms, wanted, config.max_sdr_db)
        if config.resolutions:
            errors["resolutions"] = self._over_resolutions(waveforms - wanted)
        return errors

    def _planes(self, waveforms: Waveforms) -> Planes:
        flat = self.stft(rearrange(waveforms, "batch sources ... -> (batch sources) ..."))
        return rearrange(flat, "(b s) ... -> b s ...", s=waveforms.shape[1])

    def _over_resolutions(self, difference: Waveforms) -> Errors:
        """Average the errors of all resolutions; the transform is linear, so it sees one signal."""
        flat = rearrange(difference, "batch sources ... -> (batch sources) ...")
        errors = [
            spectrogram(flat).abs().mean(dim=(1, 2, 3)) / math.sqrt(n_fft)
            for n_fft, spectrogram in zip(self.config.n_ffts, self.spectrograms, strict=True)
        ]
        mean = torch.stack(errors).mean(dim=0)
        return rearrange(mean, "(b s) -> b s", s=difference.shape[1])


def _mean(errors: Tensor) -> Errors:
    return errors.flatten(2).mean(dim=2)


def _negative_log_sdr(waveforms: Waveforms, wanted: Waveforms, max_sdr_db: float) -> Errors:
    """Return the SDR in bels, negative; a share of the signal counts as error in any case.

    Silence has no SDR; there the term falls with the level of what should be silent.

    Source: "Unsupervised sound separation using mixture invariant training" (2020), section 3, for
    the soft threshold.
    """
    signal = _mean(wanted.square())
    error = _mean((waveforms - wanted).square())
    least = 10 ** (-max_sdr_db / 10) * signal
    return torch.log10((error + least + _QUIET) / (signal + _QUIET))
