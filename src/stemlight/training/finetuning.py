"""Where training starts from, and what of the network it changes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stemlight.configs import to_mapping
from stemlight.errors import ConfigError, WeightsError, did_you_mean
from stemlight.models.adapting import (
    add_low_rank,
    add_sources,
    conditioning_of,
    train_added_sources,
)
from stemlight.models.config import ModelConfig
from stemlight.models.initialisation import fresh_model
from stemlight.models.presets import initialisation_of, resolve_preset
from stemlight.models.spectrogram import SpectrogramModel, build_model
from stemlight.models.unet import UNet
from stemlight.training.recipe import Recipe
from stemlight.weights.cards import ModelCard, read_card
from stemlight.weights.catalogue import find_model
from stemlight.weights.checkpoints import (
    is_training_checkpoint,
    load_model,
    load_strictly,
    read_training_checkpoint,
)

__all__ = ["different_fields", "model_to_train", "restrict_training"]

_FREE = ("chunk", "output_gain")  # how a model is used, not what its weights are
_DEFAULT_RANK = 8


def model_to_train(recipe: Recipe) -> SpectrogramModel:
    """Build the recipe's model: fresh, as its authors begin, or with the weights it starts from.

    Fresh weights depend on the seed alone.

    Raises:
        UsageError: there is no model `start_from`, or it has to be fetched first.
        ConfigError: the recipe's network is another than that of `start_from`.
        WeightsError: the weights are damaged or do not fit.
    """
    config = recipe.model_config()
    if recipe.start_from is None:
        return fresh_model(config, initialisation_of(recipe.preset), seed=recipe.seed).train()
    old = _trained_model(recipe, recipe.start_from)
    if not recipe.new_sources:
        return old.train()
    old_sources = resolve_preset(recipe.preset, recipe.arguments).sources
    model = build_model(config)
    starts = {
        config.sources.index(new): _position(old_sources, twin)
        for new, twin in recipe.new_sources.items()
    }
    weights = add_sources(old.network.state_dict(), model.network, starts)
    load_strictly(model, weights, f"the weights of {recipe.start_from!r}")
    return model.train()


def restrict_training(network: UNet, recipe: Recipe) -> list[nn.Module] | None:
    """Freeze all that the recipe does not train.

    Returns:
        The parts that learn, which alone are in training mode; None where all do.

    Raises:
        ConfigError: the network has no such parts.
    """
    if recipe.train_only == "all":
        return None
    network.requires_grad_(False)
    parts: list[nn.Module] = []
    learning: list[nn.Parameter] = []
    n_old = network.n_sources - len(recipe.new_sources)
    if recipe.train_only == "conditioning":
        parts = conditioning_of(network)
        learning = [parameter for part in parts for parameter in part.parameters()]
        if not learning:
            raise ConfigError(
                f"train_only conditioning needs a conditioned network, and {recipe.preset} is none"
            )
    elif recipe.new_sources:
        learning = train_added_sources(network, n_old)
    if recipe.train_only == "low-rank":
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(recipe.seed)
            learning += add_low_rank(network, recipe.low_rank or _DEFAULT_RANK)
    for parameter in learning:
        parameter.requires_grad_(True)
    return parts


def _position(sources: tuple[str, ...], name: str) -> int:
    if name not in sources:
        raise ConfigError(
            f"new_sources begin as a source of start_from, which has no {name!r}"
            f"{did_you_mean(name, sources)}; its sources are {', '.join(sources)}"
        )
    return sources.index(name)


def _trained_model(recipe: Recipe, origin: str) -> SpectrogramModel:
    wanted = resolve_preset(recipe.preset, recipe.arguments)
    path = Path(origin)
    if path.is_file() and is_training_checkpoint(path):
        model = build_model(wanted)
        facts = read_training_checkpoint(path, model)["facts"]
        if "preset" in facts:
            found = resolve_preset(facts["preset"], facts["arguments"])
            _refuse_other_network(origin, found, wanted)
        return model
    folder = find_model(origin)
    card = read_card(folder)
    if not isinstance(card, ModelCard):
        raise WeightsError(
            f"start_from {origin!r} is a system of {', '.join(card.members)}; name the folder of "
            "one of these"
        )
    _refuse_other_network(origin, card.model_config(), wanted)
    return load_model(folder)[0]


def _refuse_other_network(origin: str, found: ModelConfig, wanted: ModelConfig) -> None:
    different = different_fields(found, wanted)
    if different:
        name, theirs, ours = different[0]
        more = f" and {len(different) - 1} more" if len(different) > 1 else ""
        raise ConfigError(
            f"start_from {origin!r} has {name} {_shown(theirs)} but the recipe "
            f"{_shown(ours)}{more}; give the recipe its preset and arguments"
        )


def different_fields(found: ModelConfig, wanted: ModelConfig) -> list[tuple[str, Any, Any]]:
    """Return the fields, with both values, that make weights of one no weights of the other."""
    ours, theirs = _flat(to_mapping(wanted)), _flat(to_mapping(found))
    return [(name, value, ours[name]) for name, value in theirs.items() if ours[name] != value]


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if prefix or name not in _FREE:
            part = isinstance(value, Mapping)
            flat |= _flat(value, f"{prefix}{name}.") if part else {f"{prefix}{name}": value}
    return flat


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else repr(value)
