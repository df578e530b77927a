"""Recipes: YAML files that say everything about a training run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from stemlight.configs import from_mapping, merge
from stemlight.errors import ConfigError
from stemlight.training.mixing import MixingConfig
from stemlight.training.task import LossConfig, OptimizerConfig

__all__ = ["DataConfig", "Recipe", "TrackFolder", "read_recipe"]


@dataclass(frozen=True, kw_only=True)
class TrackFolder:
    """A folder of tracks, below `DataConfig.root` unless absolute."""

    path: str
    only: tuple[str, ...] | None = None  # names of tracks; None: all
    exclude: tuple[str, ...] = ()
    renamed: dict[str, str] = field(default_factory=dict)  # file name without suffix: source
    optional: bool = False  # go on without it where it does not exist


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Where the music lies."""

    root: str
    train: tuple[TrackFolder, ...]
    validation: tuple[TrackFolder, ...]
    cache: str = "runs/decoded"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run; `arguments` are laid over the preset's fields."""

    name: str
    preset: str
    data: DataConfig
    n_steps: int
    steps_per_epoch: int
    batch_size: int
    train_frames: int  # frames of a training window
    arguments: dict[str, Any] = field(default_factory=dict)
    mixing: MixingConfig = field(default_factory=MixingConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema_decay: float = 0.998
    seed: int = 0
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"
    n_workers: int = 1
    output: str = "runs"

    def __post_init__(self) -> None:
        for name in ("n_steps", "steps_per_epoch", "batch_size", "train_frames"):
            if getattr(self, name) < 1:
                raise ConfigError(f"recipe.{name} must be at least 1, not {getattr(self, name)}")
        if self.n_steps % self.steps_per_epoch:
            raise ConfigError(
                f"n_steps {self.n_steps} must be a multiple of steps_per_epoch "
                f"{self.steps_per_epoch}"
            )


def read_recipe(path: Path, settings: Iterable[str] = ()) -> Recipe:
    """Read a YAML recipe and lay `settings` such as `optimizer.learning_rate=1e-3` over it.

    Raises:
        ConfigError: the file cannot be read, or has a field that no recipe has.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _loader(path.parent))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = str(error).replace("\n", " ")
        raise ConfigError(f"{path} is no readable recipe: {reason}") from error
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path} must hold a mapping of fields, not {type(content).__name__}")
    for setting in settings:
        content = merge(content, _parse_setting(setting))
    return from_mapping(Recipe, content)


def _loader(folder: Path) -> type[yaml.SafeLoader]:
    """Make a safe loader that also knows `!lines FILE`: the lines of a text file in `folder`."""

    class Loader(yaml.SafeLoader):
        pass

    def lines(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> list[str]:
        text = (folder / loader.construct_scalar(node)).read_text(encoding="utf-8")
        return [line for line in text.splitlines() if line.strip()]

    Loader.add_constructor("!lines", lines)
    return Loader


def _parse_setting(setting: str) -> dict[str, Any]:
    """Turn `a.b=1` into `{"a": {"b": 1}}`; the value is YAML."""
    key, separator, value = setting.partition("=")
    if not separator or not key:
        raise ConfigError(f"--set needs key=value, for example n_steps=1000; got {setting!r}")
    nested: Any = _number(yaml.safe_load(value))
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)


def _number(value: Any) -> Any:
    """Read `1e-3` as a number, which YAML 1.1 takes for text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
