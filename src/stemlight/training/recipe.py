"""Recipes: YAML files that say everything about a training run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from stemlight.configs import from_mapping, merge, to_mapping
from stemlight.errors import ConfigError
from stemlight.models.config import ModelConfig
from stemlight.models.presets import resolve_preset
from stemlight.tracks import Split
from stemlight.training.losses import LossConfig
from stemlight.training.mixing import MixingConfig
from stemlight.training.optimizers import OptimizerConfig
from stemlight.training.recipe_files import SEPARATORS, read_fields

__all__ = [
    "DataConfig",
    "HardwareConfig",
    "MixingChange",
    "Recipe",
    "TrackFolder",
    "Trained",
    "ValidationConfig",
    "read_recipe",
    "refuse_drawing",
]

_SEEDS = 2**32

Trained = Literal["all", "conditioning", "new-sources", "low-rank"]
"""Which weights are trained. conditioning: the embedding and what makes modulations of it;
new-sources: the rows of the embedding of new sources alone; low-rank: a small update of every
convolution and linear layer, merged into it when the model is exported, and the rows of new
sources, if there are any. All else keeps its weights, statistics of norms included, to the
last bit."""


@dataclass(frozen=True, kw_only=True)
class TrackFolder:
    """A folder of tracks, below `DataConfig.root` unless absolute; sound files, or prepared."""

    path: str
    split: Split | None = None
    """Of a folder as MUSDB18's, with `train` and `test` in it: which of its splits."""
    only: tuple[str, ...] | None = None  # names of tracks; None: all
    exclude: tuple[str, ...] = ()
    renamed: dict[str, str] = field(default_factory=dict)  # file name without suffix: source
    optional: bool = False  # go on without it where it does not exist
    weight: float = 1.0
    """How many times as often its tracks are drawn as others of their length."""
    from_step: int = 0
    """The step of the run that first draws of its tracks."""

    def __post_init__(self) -> None:
        _not_negative(f"from_step of {self.path}", self.from_step)
        if not 0 < self.weight < math.inf:
            raise ConfigError(
                f"the weight of {self.path} must be more than 0, not {self.weight}; leave a folder "
                "out that is not wanted"
            )


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the music lies."""

    root: str
    train: tuple[TrackFolder, ...]
    validation: tuple[TrackFolder, ...]
    cache: str = "runs/decoded"

    def __post_init__(self) -> None:
        refuse_drawing(self.validation, "data.validation is read whole")

    def reached(self, n_steps: int) -> DataConfig:
        """Return what the first steps of a run draw of."""
        train = tuple(folder for folder in self.train if folder.from_step < n_steps)
        return replace(self, train=train)

    def training_names(self) -> list[str]:
        """Name what is trained on, as a card does."""
        names = [
            Path(self.root).name if Path(folder.path) == Path() else folder.path
            for folder in self.train
        ]
        return [
            name if folder.split is None else f"{name}, split {folder.split}"
            for name, folder in zip(names, self.train, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class MixingChange:
    """What is mixed in another way from a step on."""

    from_step: int
    mixing: dict[str, Any]  # fields of `MixingConfig` that change; all others stay

    def __post_init__(self) -> None:
        _at_least_one("later_mixing from_step", self.from_step)


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """When whole tracks are separated and scored, and what follows from it."""

    every_n_epochs: int = 1
    monitor: Literal["sdr", "loss"] = "sdr"
    """What is better: a higher mean SDR, or a lower loss, of the validation tracks."""
    keep_best: int = 1
    """How many of the best checkpoints stay, beside the last."""
    patience: int | None = None
    """Training ends after so many validations in a row without a better one; None: never early."""

    def __post_init__(self) -> None:
        for name in ("every_n_epochs", "keep_best"):
            _at_least_one(f"validation.{name}", getattr(self, name))
        if self.patience is not None:
            _at_least_one("validation.patience", self.patience)


@dataclass(frozen=True, kw_only=True)
class HardwareConfig:
    """What a run computes on. Nothing here changes what is learned, but for rounding."""

    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: int = 1
    """Processes on each machine, one for each GPU; `torchrun` says it itself."""
    nodes: int = 1
    """Machines."""
    strategy: Literal["auto", "ddp", "fsdp"] = "auto"
    """ddp: every process has the whole network; fsdp: its weights are spread over them. auto: ddp
    where there are several processes."""
    compile: bool = False
    """Let PyTorch compile the network."""
    channels_last: bool = False
    """Keep features last in memory, which convolutions of NVIDIA's GPUs like."""
    tf32: bool = True
    """Let NVIDIA's GPUs round the factors of float32 products to TF32."""

    def __post_init__(self) -> None:
        for name in ("devices", "nodes"):
            _at_least_one(f"hardware.{name}", getattr(self, name))

    @property
    def n_processes(self) -> int:
        """How many processes train together."""
        return self.devices * self.nodes


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run; `arguments` are laid over the preset's fields.

    A batch is what one step sees, however many processes and parts share it: their number must
    divide `batch_size`.
    """

    name: str
    preset: str
    data: DataConfig
    n_steps: int
    steps_per_epoch: int
    batch_size: int
    train_frames: int  # frames of a training window
    arguments: dict[str, Any] = field(default_factory=dict)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    later_mixing: tuple[MixingChange, ...] = ()
    """What changes of `mixing` on the way, one change laid over the other."""
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    hardware: HardwareConfig = field(default_factory=HardwareConfig)
    targets: Literal["all", "one"] = "all"
    """Which sources a step asks of each item: all, with one pass of an unconditioned encoder, or
    one that is drawn anew for each, as the papers train conditioned networks."""
    accumulate: int = 1
    """Parts that a batch is computed in, one after the other, to need less memory."""
    ema_decay: float | None = 0.998
    """Of the average over all steps that is validated and exported; None: the last weights."""
    start_from: str | None = None
    """A model's name or folder, or a checkpoint, whose weights training starts from."""
    train_only: Trained = "all"
    low_rank: int | None = None
    """Rank of the updates of train_only low-rank; None: 8."""
    new_sources: dict[str, str] = field(default_factory=dict)
    """Sources that `start_from` does not have, each with one of its sources that it begins as."""
    seed: int = 0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"
    n_workers: int = 1
    """Processes that make mixtures, for each process that trains; 0: itself."""
    output: str = "runs"

    def __post_init__(self) -> None:
        for name in ("n_steps", "steps_per_epoch", "batch_size", "train_frames", "accumulate"):
            _at_least_one(f"recipe.{name}", getattr(self, name))
        if not self.name:
            raise ConfigError("recipe.name must not be empty: it is that of the run's folder")
        _not_negative("recipe.n_workers", self.n_workers)
        if not 0 <= self.seed < _SEEDS:
            raise ConfigError(f"recipe.seed must lie in 0..{_SEEDS - 1}, not {self.seed}")
        if self.n_steps % self.steps_per_epoch:
            raise ConfigError(
                f"n_steps {self.n_steps} must be a multiple of steps_per_epoch "
                f"{self.steps_per_epoch}"
            )
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ConfigError(
                f"ema_decay must lie between 0 and 1, or be null for none, not {self.ema_decay}"
            )
        steps = [change.from_step for change in self.later_mixing]
        if sorted(set(steps)) != steps:
            raise ConfigError(f"the steps of later_mixing must rise, not be {steps}")
        self.mixings()  # refuses what no mixing can be
        self._check_start()

    def _check_start(self) -> None:
        if self.start_from is None and (self.train_only != "all" or self.new_sources):
            raise ConfigError(
                "train_only and new_sources need trained weights; name a model with start_from"
            )
        if self.low_rank is not None:
            if self.train_only != "low-rank":
                raise ConfigError(f"low_rank belongs to train_only low-rank, not {self.train_only}")
            _at_least_one("recipe.low_rank", self.low_rank)
        if self.train_only == "new-sources" and not self.new_sources:
            raise ConfigError(
                "train_only new-sources needs new_sources, for example {guitar: other}"
            )

    def unreached(self) -> Iterator[str]:
        """Tell of each change on the way that the run is too short for."""
        changes = [(f"{folder.path} joins", folder.from_step) for folder in self.data.train]
        changes += [("mixing changes", change.from_step) for change in self.later_mixing]
        for what, step in changes:
            if step >= self.n_steps:
                yield f"{what} at step {step}, which a run of {self.n_steps} does not reach"

    def mixings(self) -> dict[int, MixingConfig]:
        """Return how is mixed, by the step that each way begins with."""
        found = {0: self.mixing}
        fields = to_mapping(self.mixing)
        for change in self.later_mixing:
            fields = merge(fields, change.mixing)
            found[change.from_step] = from_mapping(MixingConfig, fields)
        return found

    @property
    def model_arguments(self) -> dict[str, Any]:
        """All that is laid over the preset's fields: `arguments`, and the new sources."""
        if not self.new_sources:
            return self.arguments
        old = resolve_preset(self.preset, self.arguments).sources
        for name in set(old) & set(self.new_sources):
            raise ConfigError(f"{name!r} of new_sources is no new source; leave it out")
        sources = [*old, *self.new_sources]
        added = {"sources": sources, "network": {"n_sources": len(sources)}}
        return merge(self.arguments, added)

    def model_config(self) -> ModelConfig:
        """Return the model that the run trains."""
        return resolve_preset(self.preset, self.model_arguments)


def refuse_drawing(folders: Iterable[TrackFolder], why: str) -> None:
    """Refuse what says when and how often tracks are drawn, of folders that nobody draws of.

    Raises:
        ConfigError: a folder has a weight or a first step.
    """
    for folder in folders:
        for name in ("weight", "from_step"):
            if getattr(folder, name) != getattr(TrackFolder, name):
                raise ConfigError(f"{why}; leave {name} of {folder.path} out")


def _not_negative(name: str, count: int) -> None:
    if count < 0:
        raise ConfigError(f"{name} must be at least 0, not {count}")


def _at_least_one(name: str, count: int) -> None:
    if count < 1:
        raise ConfigError(f"{name} must be at least 1, not {count}")


def read_recipe(path: Path, settings: Iterable[str] = ()) -> Recipe:
    """Read a YAML recipe and lay `settings` such as `optimizer.learning_rate=1e-3` over it.

    Raises:
        ConfigError: the file cannot be read, or has a field that no recipe has; or it is of a
            mixer, see `mixer_recipe`.
    """
    fields = read_fields(path, settings)
    if SEPARATORS in fields:
        raise ConfigError(
            f"{path} is the recipe of a mixer over trained separators, which only stemlight train "
            "reads; give the recipe of a network"
        )
    return from_mapping(Recipe, fields)
