"""Writes models that nobody trained: every preset and every system, complete and deterministic.

They say nothing about sound, but all about size, speed and form: for tests of a service, for
measurements, and as the beginning of a training elsewhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemlight.models.initialisation import fresh_model
from stemlight.models.presets import initialisation_of, resolve_preset
from stemlight.separation.mixers import KUIELAB_ORDER, MixerWeights, save_mixer
from stemlight.weights.cards import EnsembleCard, ModelCard, TrainingData
from stemlight.weights.checkpoints import save_model
from stemlight.weights.systems import (
    SYSTEMS,
    EnsembleFacts,
    complete_folder,
    foreign_data,
    seal_ensemble,
    two_weights,
)

__all__ = ["save_untrained_model", "save_untrained_system"]

_OURS = "ours"
_LICENCE = "none needed: random numbers, not trained"
_TRAINING_DATA = (TrainingData(name="none", terms="untrained"),)


def save_untrained_model(
    preset: str,
    folder: Path,
    *,
    arguments: Mapping[str, Any] | None = None,
    seed: int = 0,
    name: str | None = None,
) -> ModelCard:
    """Write a model folder with fresh weights, drawn as the network's authors do.

    Raises:
        ConfigError: no such preset, or an argument that it does not have.
    """
    config = resolve_preset(preset, arguments)
    card = ModelCard(
        name=name or preset,
        summary=f"Untrained: random weights of the preset {preset}, seed {seed}.",
        preset=preset,
        arguments=dict(arguments or {}),
        licence=_LICENCE,
        band_limit_hz=dict.fromkeys(config.sources, round(config.band_limit_hz, 1)),
        training_data=_TRAINING_DATA,
    )
    return save_model(fresh_model(config, initialisation_of(preset), seed=seed), card, folder)


def save_untrained_system(
    system: str,
    folder: Path,
    *,
    arguments: Mapping[str, Any] | None = None,
    seed: int = 0,
    name: str | None = None,
) -> EnsembleCard:
    """Write the folder of a system of `SYSTEMS`; a mixer in it passes all estimates through.

    `arguments` are for all networks alike; each has a seed of its own, counted from `seed`.

    Raises:
        ConfigError: an argument that the networks do not have.
        OutputError: the folder cannot be written.
    """
    config = SYSTEMS[system]
    facts = EnsembleFacts(
        name=name or system,
        summary=f"Untrained: random weights, seed {seed}. {config.summary}",
        licence=_LICENCE,
        training_data=_TRAINING_DATA,
    )
    with complete_folder(folder) as partial:
        # A blend averages the networks, which together are one member of it, with its partner.
        inner = partial if config.blend is None else partial / _OURS
        for number, (source, preset) in enumerate(config.members.items()):
            save_untrained_model(
                preset,
                inner / source,
                arguments=arguments,
                seed=seed + number,
                name=f"{facts.name}-{source}",
            )
        if config.mixer:
            save_mixer(MixerWeights.pass_through(KUIELAB_ORDER, KUIELAB_ORDER), inner)
        if config.blend is None:
            return seal_ensemble(inner, list(config.members), facts)
        ours = dataclasses.replace(facts, name=f"{facts.name}-{_OURS}")
        seal_ensemble(inner, list(config.members), ours)
        partner = config.blend.partner
        whole = dataclasses.replace(
            facts,
            licence=f"{_OURS}: {_LICENCE}; {partner}: its authors say",
            training_data=(*_TRAINING_DATA, foreign_data(partner)),
            weights=two_weights(_OURS, partner, config.blend.shares),
        )
        return seal_ensemble(partial, (_OURS, partner), whole)
