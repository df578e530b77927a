"""Runs a recipe: finds its tracks, trains, validates, writes checkpoints that resume exactly."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback, RichProgressBar
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from stemlight.errors import ConfigError, InputError
from stemlight.models.config import ModelConfig
from stemlight.separation import Separator
from stemlight.separation.torch_engine import TorchEngine
from stemlight.training.batches import BatchShare, TargetedExamples, TimedLoader
from stemlight.training.callbacks import (
    LAST_CHECKPOINT,
    Average,
    History,
    checkpoint_callbacks,
)
from stemlight.training.data import FoundTrack, RecipeTracks, ValidationTracks, mixed_sources
from stemlight.training.endings import told_endings
from stemlight.training.finetuning import model_to_train, restrict_training
from stemlight.training.hardware import present_hardware, rounding, strategy_of
from stemlight.training.mixing import RandomMixtures
from stemlight.training.recipe import Recipe
from stemlight.training.resuming import refuse_other_run
from stemlight.training.sharding import ShardedTask, refuse_unsharded
from stemlight.training.stages import StagedMixtures
from stemlight.training.synced_norms import synchronise_norms
from stemlight.training.task import SeparationTask, Settings

__all__ = ["LAST_CHECKPOINT", "is_first_process", "train"]

_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")


def train(
    recipe: Recipe, *, resume: bool = False, report: Callable[[str], None] = lambda line: None
) -> Path:
    """Train to the end of the recipe and return the path of the last checkpoint.

    Writes `<output>/<name>/last.ckpt` after every epoch, the best by validation beside it, and a
    line of `history.jsonl` with losses, scores and speed. `report` is told a line for each epoch.

    With several processes each calls this; the first writes.

    Raises:
        InputError: there is nothing to resume, or tracks are missing.
        ConfigError: a run of this name exists and `resume` is not set, or it was begun with
            another recipe; or the recipe asks for what its network, its data or the machine
            cannot do.
        WeightsError: the checkpoint to resume from is damaged.
        OutputError: the run's files cannot be written.
    """
    folder = Path(recipe.output) / recipe.name
    checkpoint = folder / LAST_CHECKPOINT
    if resume and not checkpoint.exists():
        raise InputError(f"{checkpoint} does not exist; train without --resume first")
    if not resume and checkpoint.exists() and is_first_process():
        raise ConfigError(
            f"{checkpoint} exists; add --resume to go on with it, or choose another name"
        )
    if resume:
        refuse_other_run(checkpoint, recipe)
    recipe = replace(recipe, hardware=present_hardware(recipe.hardware))
    if recipe.hardware.strategy == "fsdp":
        refuse_unsharded(recipe)
    _share_of_batches(recipe, lambda: 0)  # refused before processes are started
    config = recipe.model_config()
    _refuse_window(recipe, config)
    with (
        told_endings(recipe, folder),
        rounding(recipe.hardware),
        warnings.catch_warnings(),
    ):
        data = _Data.load(recipe, config, report)
        # Lightning warns of few workers, few steps, its own deprecations and folders that exist.
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", "FSDP2-wrapped module")
        _trainer(recipe, folder, config, data, report).fit(
            _task(recipe, config),
            datamodule=_DataModule(data, recipe),
            ckpt_path=checkpoint if resume else None,
            weights_only=True,  # a checkpoint must not run code
        )
    return checkpoint


def is_first_process() -> bool:
    """Say whether this is the one of several processes that writes and prints."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


# The task


def _task(recipe: Recipe, config: ModelConfig) -> SeparationTask:
    model = model_to_train(recipe)
    trained = restrict_training(model.network, recipe)
    hardware, on_gpu = recipe.hardware, recipe.hardware.accelerator == "cuda"
    if hardware.n_processes > 1:
        synchronise_norms(model.network, on_gpu=on_gpu)
    if hardware.channels_last:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    engine = TorchEngine(model, sources=config.sources, sample_rate_hz=config.sample_rate_hz)
    settings = Settings(
        n_steps=recipe.n_steps,
        loss=recipe.loss,
        optimizer=recipe.optimizer,
        one_target=recipe.targets == "one",
        monitor=recipe.validation.monitor,
        patience=recipe.validation.patience,
        window_samples=config.stft.window_samples(recipe.train_frames),
        compiled=hardware.compile,
        # Fused, Adam undoes the scale of gradients itself, after they would have been clipped.
        fused=on_gpu and recipe.precision != "16-mixed",
        seed=recipe.seed,
    )
    kind = ShardedTask if hardware.strategy == "fsdp" else SeparationTask
    return kind(
        model,
        settings,
        sources=config.sources,
        separate=Separator(engine, config.chunk),
        trained=trained,
        facts={"preset": recipe.preset, "arguments": recipe.model_arguments},
    )


def _refuse_window(recipe: Recipe, config: ModelConfig) -> None:
    """Refuse mixtures that the network cannot halve, or that are too short for a transform."""
    multiple, n_frames = config.network.frame_multiple, recipe.train_frames
    if n_frames % multiple:
        raise ConfigError(f"train_frames must be a multiple of {multiple}, not {n_frames}")
    n_ffts = [config.stft.n_fft] if config.stft.centered else []
    if recipe.loss.resolutions:
        n_ffts += recipe.loss.n_ffts
    window_samples = config.stft.window_samples(n_frames)
    longest = max(n_ffts, default=0)
    # Signals are reflected at their ends, by half a frame.
    if longest // 2 >= window_samples:
        raise ConfigError(
            f"train_frames {n_frames} gives {window_samples} samples, too few for an n_fft of "
            f"{longest}; make it larger"
        )


# The trainer


def _trainer(
    recipe: Recipe,
    folder: Path,
    config: ModelConfig,
    data: _Data,
    report: Callable[[str], None],
) -> pl.Trainer:
    hardware = recipe.hardware
    validates = bool(data.validation)
    if not validates:
        _refuse_blindness(recipe)
    window_samples = config.stft.window_samples(recipe.train_frames)
    callbacks: list[Callback] = [
        *([] if recipe.ema_decay is None else [Average(recipe.ema_decay)]),
        *checkpoint_callbacks(folder, recipe.validation, validates=validates),
        History(
            folder,
            batch_seconds=recipe.batch_size * window_samples / config.sample_rate_hz,
            n_steps=recipe.n_steps,
            report=report,
        ),
    ]
    shows_bar = sys.stderr.isatty()
    return pl.Trainer(
        accelerator=hardware.accelerator,
        devices=hardware.devices,
        num_nodes=hardware.nodes,
        strategy=strategy_of(hardware),
        use_distributed_sampler=False,  # `BatchShare` shares batches out
        max_steps=recipe.n_steps,
        precision=recipe.precision,
        gradient_clip_val=recipe.optimizer.clip_norm,
        accumulate_grad_batches=recipe.accumulate,
        check_val_every_n_epoch=recipe.validation.every_n_epochs,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        default_root_dir=folder,
        logger=TensorBoardLogger(save_dir=folder, name="log", version=""),
        callbacks=[*callbacks, *([RichProgressBar()] if shows_bar else [])],
        enable_progress_bar=shows_bar,
        enable_model_summary=shows_bar,
    )


def _refuse_blindness(recipe: Recipe) -> None:
    """Refuse what cannot be decided without validation tracks."""
    if recipe.validation.patience is not None or recipe.optimizer.schedule == "plateau":
        raise ConfigError(
            "validation.patience and optimizer.schedule plateau need tracks to validate on; name "
            "some in data.validation"
        )


# The data


@dataclass(frozen=True, kw_only=True)
class _Data:
    examples: TargetedExamples
    validation: Sequence[FoundTrack]
    config: ModelConfig

    @classmethod
    def load(cls, recipe: Recipe, config: ModelConfig, report: Callable[[str], None]) -> _Data:
        sources, rate = config.sources, config.sample_rate_hz
        heard = mixed_sources(recipe, sources)
        for line in recipe.unreached():
            report(line)
        found = RecipeTracks.find(recipe.data.reached(recipe.n_steps), heard, rate)
        tracks = found.open_training_tracks(
            Path(recipe.data.cache), sample_rate_hz=rate, sources=heard, report=report
        )
        mixtures = StagedMixtures(
            tracks,
            recipe.mixings(),
            items_per_step=recipe.batch_size,
            make=lambda drawn, mixing: RandomMixtures(
                drawn,
                sources,
                n_samples=config.stft.window_samples(recipe.train_frames),
                sample_rate_hz=rate,
                config=mixing,
                seed=recipe.seed,
            ),
        )
        n_old = len(sources) - len(recipe.new_sources)
        asked = range(n_old if recipe.train_only == "new-sources" else 0, len(sources))
        examples = TargetedExamples(mixtures, recipe.targets, asked, seed=recipe.seed)
        return cls(examples=examples, validation=found.validation, config=config)


def _share_of_batches(
    recipe: Recipe, first_item: Callable[[], int], *, rank: int = 0
) -> BatchShare:
    return BatchShare(
        first_item=first_item,
        n_batches=recipe.steps_per_epoch,
        batch_size=recipe.batch_size,
        n_parts=recipe.accumulate,
        n_processes=recipe.hardware.n_processes,
        rank=rank,
    )


class _DataModule(pl.LightningDataModule):
    """Gives each process its share of batches and of validation tracks."""

    def __init__(self, data: _Data, recipe: Recipe) -> None:
        super().__init__()
        self.data = data
        self.recipe = recipe

    def train_dataloader(self) -> TimedLoader:
        trainer, recipe = self.trainer, self.recipe
        assert trainer is not None
        share = _share_of_batches(
            recipe, lambda: trainer.global_step * recipe.batch_size, rank=trainer.global_rank
        )
        return TimedLoader(
            self.data.examples,
            batch_size=share.share,
            sampler=share,
            num_workers=recipe.n_workers,
            persistent_workers=recipe.n_workers > 0,
            pin_memory=recipe.hardware.accelerator == "cuda",
        )

    def val_dataloader(self) -> DataLoader[Any] | list[Any]:
        if not self.data.validation:
            return []
        config, trainer = self.data.config, self.trainer
        assert trainer is not None
        # A network that is spread over processes runs in all of them at once.
        shared = self.recipe.hardware.strategy != "fsdp"
        tracks = ValidationTracks(
            self.data.validation,
            config.sources,
            config.sample_rate_hz,
            rank=trainer.global_rank if shared else 0,
            n_processes=trainer.world_size if shared else 1,
        )
        # Tracks stay arrays: they go through the separator as a user's song does.
        return DataLoader(tracks, batch_size=None, collate_fn=_as_it_is)


def _as_it_is(track: object) -> object:
    return track
