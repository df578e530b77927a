"""What one training step and one validation do, for Lightning to run."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import lightning.pytorch as pl
import numpy as np
import torch
from einops import rearrange
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from stemlight.evaluation import Scores, TrackScore, score_track
from stemlight.models.spectrogram import SpectrogramModel
from stemlight.training.material import TrainingExample

__all__ = [
    "LossConfig",
    "OptimizerConfig",
    "SeparationTask",
    "ValidationTrack",
    "learning_rate_factor",
]

ValidationTrack = tuple[str, np.ndarray, Mapping[str, np.ndarray]]
Separate = Callable[[np.ndarray], Mapping[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights of the mean absolute errors of waveforms and of planes.

    Planes are scaled by `1 / sqrt(n_fft)`, which brings both terms to one size for noise.
    """

    waveform: float = 1.0
    planes: float = 2.0


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """AdamW with a linear warm-up, a plateau, and half a cosine down to the final share."""

    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    warmup_steps: int = 50
    decay_from: float = 0.5  # share of all steps after which the rate falls
    final_share: float = 0.02
    clip_norm: float = 1.0


def learning_rate_factor(step: int, n_steps: int, config: OptimizerConfig) -> float:
    """Return the share of the full learning rate at `step` of `n_steps`."""
    warmup = min(1.0, (step + 1) / max(1, config.warmup_steps))
    fall_from = config.decay_from * n_steps
    progress = min(1.0, max(0.0, step - fall_from) / max(1.0, n_steps - fall_from))
    cosine = (1 + math.cos(math.pi * progress)) / 2
    return warmup * (config.final_share + (1 - config.final_share) * cosine)


class SeparationTask(pl.LightningModule):
    """Trains all sources of a model at once on random mixtures.

    A batch is a collated `TrainingExample`. All sources share one pass of the encoder. Validation
    separates whole tracks with `separate`, the very path that users run, and logs SDR.
    """

    def __init__(
        self,
        model: SpectrogramModel,
        *,
        sources: Sequence[str],
        separate: Separate,
        n_steps: int,
        loss: LossConfig,
        optimizer: OptimizerConfig,
    ) -> None:
        super().__init__()
        self.model = model
        self.sources = tuple(sources)
        self.separate = separate
        self.n_steps = n_steps
        self.loss_config = loss
        self.optimizer_config = optimizer
        self._track_scores: list[TrackScore] = []

    def on_train_epoch_start(self) -> None:
        """Make an epoch's random numbers depend on the epoch alone, so that runs resume exactly."""
        torch.manual_seed(self.current_epoch)

    def training_step(self, batch: TrainingExample) -> Tensor:
        """Return the loss of a batch."""
        stems = batch.stems
        stft = self.model.stft
        n_samples = stems.shape[-1]
        with torch.autocast(stems.device.type, enabled=False):
            planes, phase = stft.analyse(batch.mixture)
            target_planes = stft(rearrange(stems, "batch sources ... -> (batch sources) ..."))
        wanted = torch.arange(len(self.sources), device=stems.device)
        estimates = self.model.network(planes, wanted)
        with torch.autocast(stems.device.type, enabled=False):
            estimates = estimates.float()
            waveforms = self.model.to_samples(estimates, n_samples, phase)
            waveform_error = (waveforms - stems).abs().mean()
            flat = rearrange(estimates, "batch sources ... -> (batch sources) ...")
            planes_error = (flat - target_planes).abs().mean() / math.sqrt(stft.n_fft)
        loss = self.loss_config.waveform * waveform_error + self.loss_config.planes * planes_error
        self.log("train/loss", loss, prog_bar=True)
        self.log("train/waveform_l1", waveform_error)
        return loss

    def validation_step(self, track: ValidationTrack) -> None:
        """Separate a whole track and keep its score."""
        name, mixture, references = track
        self._track_scores.append(score_track(name, references, self.separate(mixture)))

    def on_validation_epoch_end(self) -> None:
        """Log the mean SDR of each stem and their average."""
        scores = Scores(tracks=self._track_scores)
        self._track_scores = []
        for stem, value in scores.mean_sdr_db.items():
            self.log(f"validation/sdr_{stem}_db", value)
        self.log("validation/sdr_db", scores.average_sdr_db, prog_bar=True)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Set up AdamW and its schedule, which moves every step."""
        config = self.optimizer_config
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: learning_rate_factor(step, self.n_steps, config)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
