"""Runs a recipe: decodes its tracks, trains, validates, writes checkpoints that resume exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar, WeightAveraging
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader

from stemlight.errors import ConfigError, InputError, did_you_mean
from stemlight.models.config import ModelConfig
from stemlight.models.presets import resolve_preset
from stemlight.models.spectrogram import build_model
from stemlight.separation import Separator
from stemlight.separation.torch_engine import TorchEngine
from stemlight.tracks import TrackFiles, find_tracks
from stemlight.training.arrays import decode_tracks
from stemlight.training.material import TrainingExample
from stemlight.training.mixing import RandomMixtures, StepSampler
from stemlight.training.recipe import DataConfig, Recipe, TrackFolder
from stemlight.training.task import SeparationTask, ValidationTrack

__all__ = ["LAST_CHECKPOINT", "collect_tracks", "train"]

LAST_CHECKPOINT = "last.ckpt"


def collect_tracks(
    data: DataConfig, folders: Sequence[TrackFolder], sources: Sequence[str]
) -> list[TrackFiles]:
    """Find the tracks of some folders.

    Raises:
        InputError: a folder is missing and not optional.
        ConfigError: `only` or `exclude` names a track that the folder does not have.
    """
    tracks: list[TrackFiles] = []
    for folder in folders:
        path = Path(data.root) / folder.path
        if folder.optional and not path.is_dir():
            continue
        found = find_tracks(path, sources=sources, renamed=folder.renamed)
        names = [track.name for track in found]
        for name in (*(folder.only or ()), *folder.exclude):
            if name not in names:
                raise ConfigError(f"{path} has no track {name!r}{did_you_mean(name, names)}")
        tracks += [
            track
            for track in found
            if (folder.only is None or track.name in folder.only)
            and track.name not in folder.exclude
        ]
    return tracks


def train(
    recipe: Recipe, *, resume: bool = False, report: Callable[[str], None] = lambda line: None
) -> Path:
    """Train to the end of the recipe and return the path of the last checkpoint.

    Writes `<output>/<name>/last.ckpt` after every epoch, and the best by validation SDR beside it.

    Raises:
        InputError: there is nothing to resume, or tracks are missing.
        ConfigError: a run of this name exists and `resume` is not set.
    """
    folder = Path(recipe.output) / recipe.name
    checkpoint = folder / LAST_CHECKPOINT
    if resume and not checkpoint.exists():
        raise InputError(f"{checkpoint} does not exist; train without --resume first")
    if not resume and checkpoint.exists():
        raise ConfigError(
            f"{checkpoint} exists; add --resume to go on with it, or choose another name"
        )
    # The model's first weights depend on the seed alone.
    torch.manual_seed(recipe.seed)
    config = resolve_preset(recipe.preset, recipe.arguments)
    data = _Data.load(recipe, config, report)
    model = build_model(config)
    engine = TorchEngine(model, sources=config.sources, sample_rate_hz=config.sample_rate_hz)
    separator = Separator(engine, config.chunk)
    task = SeparationTask(
        model,
        sources=config.sources,
        separate=separator,
        n_steps=recipe.n_steps,
        loss=recipe.loss,
        optimizer=recipe.optimizer,
    )
    _trainer(recipe, folder).fit(
        task,
        datamodule=_DataModule(data, recipe),
        ckpt_path=checkpoint if resume else None,
        weights_only=False,
    )
    return checkpoint


def _trainer(recipe: Recipe, folder: Path) -> pl.Trainer:
    return pl.Trainer(
        max_steps=recipe.n_steps,
        precision=recipe.precision,
        gradient_clip_val=recipe.optimizer.clip_norm,
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        log_every_n_steps=10,
        default_root_dir=folder,
        logger=TensorBoardLogger(save_dir=folder, name="log", version=""),
        callbacks=[
            WeightAveraging(avg_fn=_warming_average(recipe.ema_decay)),
            _checkpoints(folder, "best", monitor="validation/sdr_db", mode="max"),
            # Lightning's `save_last` skips epochs that are not the best; this one does not.
            _checkpoints(folder, Path(LAST_CHECKPOINT).stem),
            RichProgressBar(),
        ],
    )


def _warming_average(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Average exponentially, over few steps at first: early weights are soon forgotten."""

    def average(averaged: Tensor, current: Tensor, n_averaged: Tensor) -> Tensor:
        weight = torch.clamp((1 + n_averaged) / (10 + n_averaged), max=decay)
        return averaged * weight + current * (1 - weight)

    return average


def _checkpoints(folder: Path, filename: str, **which: Any) -> ModelCheckpoint:
    return ModelCheckpoint(dirpath=folder, filename=filename, enable_version_counter=False, **which)


@dataclass(frozen=True, kw_only=True)
class _Data:
    mixtures: RandomMixtures
    validation: list[ValidationTrack]

    @classmethod
    def load(cls, recipe: Recipe, config: ModelConfig, report: Callable[[str], None]) -> _Data:
        tracks = collect_tracks(recipe.data, recipe.data.train, config.sources)
        held_out = collect_tracks(recipe.data, recipe.data.validation, config.sources)
        both = {track.name for track in tracks} & {track.name for track in held_out}
        if both:
            raise ConfigError(f"{sorted(both)[0]!r} is in both training and validation; exclude it")
        arrays = decode_tracks(
            tracks,
            Path(recipe.data.cache),
            sample_rate_hz=config.sample_rate_hz,
            report=lambda name: report(f"decoding {name}"),
        )
        mixtures = RandomMixtures(
            arrays,
            config.sources,
            n_samples=config.stft.window_samples(recipe.train_frames),
            sample_rate_hz=config.sample_rate_hz,
            config=recipe.mixing,
            seed=recipe.seed,
        )
        validation: list[ValidationTrack] = [
            (track.name, *track.read(config.sources, config.sample_rate_hz)) for track in held_out
        ]
        return cls(mixtures=mixtures, validation=validation)


class _DataModule(pl.LightningDataModule):
    """Starts each epoch's items where the last one ended, counted in steps since the beginning."""

    def __init__(self, data: _Data, recipe: Recipe) -> None:
        super().__init__()
        self.data = data
        self.recipe = recipe

    def train_dataloader(self) -> DataLoader[TrainingExample]:
        trainer = self.trainer
        first = trainer.global_step * self.recipe.batch_size if trainer is not None else 0
        return DataLoader(
            self.data.mixtures,
            batch_size=self.recipe.batch_size,
            sampler=StepSampler(first, self.recipe.steps_per_epoch * self.recipe.batch_size),
            num_workers=self.recipe.n_workers,
            pin_memory=torch.cuda.is_available(),
        )

    def val_dataloader(self) -> DataLoader[object]:
        # Tracks stay arrays: they go through the separator as a user's song does.
        return DataLoader(self.data.validation, batch_size=None, collate_fn=_as_it_is)  # type: ignore[arg-type]


def _as_it_is(track: object) -> object:
    return track
