"""What happens beside the steps of a run: averages, checkpoints, lines that tell how it goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, WeightAveraging
from torch import Tensor

from stemlight.training.batches import TimedLoader
from stemlight.training.recipe import ValidationConfig
from stemlight.training.task import SeparationTask

__all__ = ["HISTORY_FILE", "LAST_CHECKPOINT", "Average", "History", "checkpoint_callbacks"]

HISTORY_FILE = "history.jsonl"
LAST_CHECKPOINT = "last.ckpt"


class Average(WeightAveraging):
    """Averages weights and statistics exponentially, over few steps at first.

    Early weights are soon forgotten, and what does not change stays as it is to the last bit.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(avg_fn=_warming_average(decay))


def _warming_average(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def average(averaged: Tensor, current: Tensor, n_averaged: Tensor) -> Tensor:
        weight = torch.clamp((1 + n_averaged) / (10 + n_averaged), max=decay)
        return averaged + (current - averaged) * (1 - weight)

    return average


def checkpoint_callbacks(
    folder: Path, config: ValidationConfig, *, validates: bool
) -> list[ModelCheckpoint]:
    """Return what writes the last checkpoint after every epoch, and the best if there are any."""
    # Lightning's `save_last` skips epochs that are not the best; this one does not.
    last = ModelCheckpoint(
        dirpath=folder,
        filename=Path(LAST_CHECKPOINT).stem,
        enable_version_counter=False,
        save_on_train_epoch_end=True,
    )
    if not validates:
        return [last]
    monitor, mode, text = {
        "sdr": ("validation/sdr_db", "max", "{validation/sdr_db:.3f}dB"),
        "loss": ("validation/loss", "min", "{validation/loss:.5f}"),
    }[config.monitor]
    best = ModelCheckpoint(
        dirpath=folder,
        filename="best" if config.keep_best == 1 else f"best-{text}-step{{step}}",
        auto_insert_metric_name=False,
        enable_version_counter=False,
        monitor=monitor,
        mode=mode,
        save_top_k=config.keep_best,
        save_on_train_epoch_end=False,
    )
    return [best, last]


class History(Callback):
    """Tells and notes after each epoch what was learned, and what it cost.

    A line of `history.jsonl` holds steps, losses, SDR, learning rate, seconds of audio that all
    processes together trained on in a second, and the share of time spent waiting for data.
    """

    def __init__(
        self,
        folder: Path,
        *,
        batch_seconds: float,
        n_steps: int,
        report: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.batch_seconds = batch_seconds
        self.n_steps = n_steps
        self.report = report
        self._losses: list[Tensor] = []
        self._start_seconds = 0.0
        self._trained_seconds = 0.0
        self._first_step = 0
        self._waited_before = 0.0
        self._is_measured = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to measure."""
        self._losses = []
        self._is_measured = False
        self._first_step = trainer.global_step
        self._waited_before = self._waited(trainer)
        self._start_seconds = perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Note the loss, without waiting for a GPU."""
        assert isinstance(pl_module, SeparationTask)
        assert pl_module.last_loss is not None
        self._losses.append(pl_module.last_loss)
        # Validation follows the last step of an epoch and is no part of its time.
        self._trained_seconds = perf_counter() - self._start_seconds

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Wait for a GPU to finish the steps that it was given."""
        self._measure_steps()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write a line and tell another; a resumed run first ends an epoch of which all is told."""
        if not self._losses:
            return
        if not self._is_measured:
            self._measure_steps()
        loss = torch.stack(self._losses).mean()
        if trainer.world_size > 1:
            reduced = trainer.strategy.reduce(loss, reduce_op="mean")
            assert isinstance(reduced, Tensor)
            loss = reduced
        if not trainer.is_global_zero:
            return
        n_steps = trainer.global_step - self._first_step
        spent = max(self._trained_seconds, 1e-9)
        line = {
            "step": trainer.global_step,
            "epoch": trainer.current_epoch,
            "loss": float(loss),
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "audio_seconds_per_second": n_steps * self.batch_seconds / spent,
            "waiting_share": min(1.0, (self._waited(trainer) - self._waited_before) / spent),
            **self._validation(trainer),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / HISTORY_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.report(self._told(line))

    def _measure_steps(self) -> None:
        self._is_measured = True
        if torch.cuda.is_available():
            torch.cuda.synchronize()
            self._trained_seconds = perf_counter() - self._start_seconds

    def _waited(self, trainer: pl.Trainer) -> float:
        loader = trainer.train_dataloader
        return loader.waited_seconds if isinstance(loader, TimedLoader) else 0.0

    def _validation(self, trainer: pl.Trainer) -> dict[str, float]:
        every = trainer.check_val_every_n_epoch or 1
        if (trainer.current_epoch + 1) % every:
            return {}
        prefix = "validation/"
        return {
            f"validation_{name.removeprefix(prefix)}": float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(prefix)
        }

    def _told(self, line: dict[str, Any]) -> str:
        told = f"step {line['step']} of {self.n_steps}: loss {line['loss']:.5f}"
        if "validation_sdr_db" in line:
            stems = [
                f"{name.removeprefix('validation_sdr_').removesuffix('_db')} {value:.2f}"
                for name, value in line.items()
                if name.startswith("validation_sdr_") and name != "validation_sdr_db"
            ]
            told += (
                f"; validation loss {line['validation_loss']:.5f}, SDR "
                f"{line['validation_sdr_db']:.2f} dB ({', '.join(stems)})"
            )
        return (
            f"{told}; {line['audio_seconds_per_second']:.1f} s of audio per second, "
            f"{line['waiting_share']:.0%} of the time waiting for data"
        )
