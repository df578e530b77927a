"""What one training step and one validation do, for Lightning to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import lightning.pytorch as pl
import numpy as np
import torch
import torch.distributed as dist
from einops import rearrange
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from stemlight.evaluation import Scores, TrackScore, score_track
from stemlight.models.spectrogram import SpectrogramModel
from stemlight.training.batches import TargetedExample
from stemlight.training.losses import LossConfig, SeparationLoss, Truth
from stemlight.training.optimizers import (
    OptimizerConfig,
    Patience,
    kept_of_optimizer,
    learning_rate_factor,
    make_optimizer,
)

__all__ = ["SeparationTask", "Settings", "ValidationTrack"]

Separate = Callable[[np.ndarray], Mapping[str, np.ndarray]]

_STATE = "stemlight"
_RANK_STRIDE = 1_000_000  # more epochs than any run has
_SEED_STRIDE = 100_003  # and more processes


class ValidationTrack(NamedTuple):
    """A whole track; the number tells tracks of one name apart."""

    number: int
    name: str
    mixture: np.ndarray
    references: Mapping[str, np.ndarray]


class Settings(NamedTuple):
    """What a recipe says of the steps themselves."""

    n_steps: int
    loss: LossConfig
    optimizer: OptimizerConfig
    one_target: bool = False
    monitor: str = "sdr"
    patience: int | None = None
    """Validations without a better one after which training ends."""
    window_samples: int = 1 << 17
    """Of the windows in which the loss of a validation track is computed."""
    compiled: bool = False
    fused: bool = False
    seed: int = 0
    """Of dropout."""


class SeparationTask(pl.LightningModule):
    """Trains a model on random mixtures, all asked sources at once or one of each item.

    A batch is a collated `TargetedExample`. Asked all at once, sources share one pass of an
    unconditioned encoder. Validation separates whole tracks with `separate`, the very path that
    users run, and logs SDR and loss.

    `trained` are the parts of the network that learn where not all do: the others keep their
    statistics, too.
    """

    def __init__(
        self,
        model: SpectrogramModel,
        settings: Settings,
        *,
        sources: Sequence[str],
        separate: Separate,
        trained: Sequence[nn.Module] | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Take a model; `facts` are plain values that all checkpoints shall hold."""
        super().__init__()
        self.model = model
        self.settings = settings
        self.sources = tuple(sources)
        self.separate = separate
        self.facts = dict(facts or {})
        self.loss = SeparationLoss(
            settings.loss, model.stft, sources, mean_over_processes=self._mean_over_processes
        )
        self.last_loss: Tensor | None = None
        self._trained = None if trained is None else list(trained)
        self._patience = Patience(higher_is_better=settings.monitor == "sdr")
        self._plateau = Patience(higher_is_better=settings.monitor == "sdr")
        self._plateau_factor = 1.0
        self._tracks: list[tuple[int, TrackScore, float]] = []
        self._compiled: Callable[[Tensor, Tensor], Tensor] | None = None

    # Training

    def on_fit_start(self) -> None:
        """Compile what shall be; copies of this module were made before."""
        if self.settings.compiled:
            self._compiled = torch.compile(self._network)

    def on_train_start(self) -> None:
        """End at once where a run is resumed that had ended early."""
        self._stop_if_exhausted()

    def on_train_epoch_start(self) -> None:
        """Make an epoch's random numbers depend on seed and epoch, so that runs resume exactly."""
        process = self.global_rank + _SEED_STRIDE * self.settings.seed
        number = self.current_epoch + _RANK_STRIDE * process
        torch.manual_seed(number % 2**63)
        if self._trained is None:
            self.train()
            return
        self.eval()
        for part in self._trained:
            part.train()

    def on_train_batch_start(self, *_: Any) -> None:
        """Make loggers count the steps of a resumed run as those of an unbroken one."""
        # Lightning counts one more each time that a run goes on after a whole epoch.
        self.trainer.fit_loop.epoch_loop._batches_that_stepped = self.trainer.global_step

    def training_step(self, batch: TargetedExample) -> Tensor:
        """Return the loss of a batch."""
        n_samples = batch.stems.shape[-1]
        with torch.autocast(batch.stems.device.type, enabled=False):
            planes, phase = self.model.stft.analyse(batch.mixture)
        network = self._compiled or self._network
        estimates = network(planes, batch.sources)
        with torch.autocast(batch.stems.device.type, enabled=False):
            estimates = estimates.float()
            waveforms = self.model.to_samples(estimates, n_samples, phase)
            truth = Truth(waveforms=batch.stems, known=batch.known, sources=batch.sources)
            loss, terms = self.loss(truth, waveforms, estimates)
        self.last_loss = loss.detach()
        self.log("train/loss", loss, prog_bar=True, batch_size=len(batch.stems))
        for name, term in terms.items():
            self.log(f"train/{name}", term, batch_size=len(batch.stems))
        return loss

    def _network(self, planes: Tensor, sources: Tensor) -> Tensor:
        if self.settings.one_target:
            return self.model.network.forward_pairs(planes, sources[:, 0]).unsqueeze(1)
        estimates: Tensor = self.model.network(planes, sources[0])
        return estimates

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Set up the optimizer and its schedule, which moves every step."""
        config, n_steps = self.settings.optimizer, self.settings.n_steps
        optimizer = make_optimizer(
            self.parameters(),
            config,
            matrices=_hidden_matrices(self.model.network),
            fused=self.settings.fused,
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: learning_rate_factor(step, n_steps, config) * self._plateau_factor,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _mean_over_processes(self, count: Tensor) -> Tensor:
        # Processes share batches of training, but each has validation tracks of its own.
        if not self._has_company or not self.trainer.training:
            return count
        mean = self.trainer.strategy.reduce(count, reduce_op="mean")
        assert isinstance(mean, Tensor)
        return mean

    @property
    def _has_company(self) -> bool:
        return self._trainer is not None and self.trainer.world_size > 1

    # Validation

    def validation_step(self, track: ValidationTrack) -> None:
        """Separate a whole track and keep its score."""
        # In float32, as users do, whatever training computes in.
        with torch.autocast(self.device.type, enabled=False):
            estimates = self.separate(track.mixture)
        score = score_track(track.name, track.references, estimates)
        self._tracks.append((track.number, score, self._track_loss(track.references, estimates)))

    def _track_loss(
        self, references: Mapping[str, np.ndarray], estimates: Mapping[str, np.ndarray]
    ) -> float:
        """Return the mean loss over the windows of a track; silent sources do not count."""
        wanted = _stacked([references[name] for name in self.sources])
        found = _stacked([estimates[name] for name in self.sources])
        size = self.settings.window_samples
        losses = []
        for first in range(0, max(1, wanted.shape[-1] - size + 1), size):
            window = wanted[..., first : first + size].to(self.device)
            guess = found[..., first : first + size].to(self.device)
            missing = size - window.shape[-1]
            truth = Truth(
                waveforms=nn.functional.pad(window, (0, missing)),
                known=wanted.ne(0).flatten(2).any(dim=2).to(self.device),
                sources=torch.arange(len(self.sources), device=self.device).unsqueeze(0),
            )
            loss, _ = self.loss(truth, nn.functional.pad(guess, (0, missing)))
            losses.append(float(loss))
        return sum(losses) / len(losses)

    def on_validation_epoch_end(self) -> None:
        """Log the mean SDR of each stem and their average, and the loss; see what follows."""
        tracks = _of_all_processes(self._tracks) if self._has_company else self._tracks
        self._tracks = []
        scores = Scores(tracks=[score for _, score, _ in tracks])
        loss = sum(loss for _, _, loss in tracks) / len(tracks)
        stems = {f"validation/sdr_{stem}_db": value for stem, value in scores.mean_sdr_db.items()}
        # All processes have the same values; Lightning wants to be told that they agree.
        self.log_dict({**stems, "validation/loss": loss}, sync_dist=self._has_company)
        average_db = scores.average_sdr_db
        self.log("validation/sdr_db", average_db, prog_bar=True, sync_dist=self._has_company)
        self._heed(average_db if self.settings.monitor == "sdr" else loss)

    def _heed(self, value: float) -> None:
        """Let the rate fall or the run end where validation does not get better."""
        self._patience.update(value)
        self._plateau.update(value)
        config = self.settings.optimizer
        if config.schedule == "plateau" and self._plateau.n_worse >= config.plateau_patience:
            self._plateau.n_worse = 0
            before = self._plateau_factor
            self._plateau_factor = max(config.final_share, before * config.plateau_factor)
            # The schedule has already set the rate of the next step.
            for group in self.trainer.optimizers[0].param_groups:
                group["lr"] *= self._plateau_factor / before
        self._stop_if_exhausted()

    def _stop_if_exhausted(self) -> None:
        patience = self.settings.patience
        if patience is not None and self._patience.n_worse >= patience:
            self.trainer.should_stop = True

    # Checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the facts, and how patient the run still is."""
        checkpoint[_STATE] = {
            "facts": self.facts,
            "optimizer": kept_of_optimizer(self.settings.optimizer),
            "patience": self._patience.state_dict(),
            "plateau": self._plateau.state_dict(),
            "plateau_factor": self._plateau_factor,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the patience that was left; runs of before had none."""
        state = checkpoint.get(_STATE)
        if state is not None:
            self._patience.load_state_dict(state["patience"])
            self._plateau.load_state_dict(state["plateau"])
            self._plateau_factor = state["plateau_factor"]


def _stacked(stems: Sequence[np.ndarray]) -> Tensor:
    return rearrange(
        torch.from_numpy(np.stack(stems)), "sources channels samples -> 1 sources channels samples"
    )


def _of_all_processes(
    tracks: list[tuple[int, TrackScore, float]],
) -> list[tuple[int, TrackScore, float]]:
    """Gather what every process has scored; a track that two of them had counts once."""
    gathered: list[list[tuple[int, TrackScore, float]]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(gathered, tracks)
    by_number = {track[0]: track for part in gathered for track in part}
    return [by_number[number] for number in sorted(by_number)]


def _hidden_matrices(network: nn.Module) -> list[nn.Parameter | None]:
    """Return the weights of all layers but the first and the last, and the embedding."""
    ends = ("head", "tail", "embedding")
    layers = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    return [
        module._parameters["weight"]
        for name, module in network.named_modules()
        if isinstance(module, layers)
        and name.partition(".")[0] not in ends
        and "weight" in module._parameters  # and not made of others
    ]
