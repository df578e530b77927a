"""What a run may be resumed with: its own checkpoint, and a recipe that goes on with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from stemlight.errors import ConfigError, WeightsError
from stemlight.models.presets import resolve_preset
from stemlight.training.finetuning import different_fields
from stemlight.training.optimizers import kept_of_optimizer
from stemlight.training.recipe import Recipe
from stemlight.weights.checkpoints import is_training_checkpoint

__all__ = ["refuse_other_run"]


def refuse_other_run(checkpoint: Path, recipe: Recipe) -> None:
    """Refuse to resume with a recipe whose changes would break the run, or do nothing.

    Raises:
        WeightsError: the checkpoint is damaged.
        ConfigError: the recipe has another network or optimizer, or averages where the run did not.
    """
    if not is_training_checkpoint(checkpoint):
        raise WeightsError(
            f"{checkpoint} is damaged; remove it to begin anew, or start_from another checkpoint"
        )
    content = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    for name, was, wanted in _differences(content, recipe):
        raise ConfigError(
            f"{checkpoint} was trained with {name} {was} and the recipe has {wanted}; set it back "
            "to resume, or make a new run that has this checkpoint as start_from"
        )


def _differences(content: Mapping[str, Any], recipe: Recipe) -> list[tuple[str, Any, Any]]:
    """Return fields with what the run was begun with and what the recipe says."""
    state = content.get("stemlight", {})  # earlier versions wrote less, or none
    pairs: list[tuple[str, Any, Any]] = []
    if "facts" in state:
        facts = state["facts"]
        found = resolve_preset(facts["preset"], facts["arguments"])
        pairs += different_fields(found, recipe.model_config())
    wanted = kept_of_optimizer(recipe.optimizer)
    pairs += [
        (f"optimizer.{name}", was, wanted[name])
        for name, was in state.get("optimizer", {}).items()
        if was != wanted[name]
    ]
    was_averaged = "averaging_state" in content
    if was_averaged != (recipe.ema_decay is not None):
        pairs.append(("ema_decay", "a number" if was_averaged else None, recipe.ema_decay))
    return pairs
