"""Stores trained models in folders and builds them again, strictly."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file, save

from stemlight.configs import from_mapping, to_mapping
from stemlight.errors import WeightsError
from stemlight.models.spectrogram import SpectrogramModel, build_model
from stemlight.weights.cards import (
    GRAPH_FILE,
    WEIGHTS_FILE,
    EnsembleCard,
    ModelCard,
    file_facts,
    read_card,
    verified_file,
    write_card,
)
from stemlight.weights.export import export_onnx
from stemlight.weights.systems import (
    MIXER_FILES,
    complete_folder,
    ensemble_files,
    stored_members,
)

__all__ = ["load_model", "load_strictly", "read_training_checkpoint", "renew_model", "save_model"]

_MODEL_PREFIX = "model.network."

_AnyCard = TypeVar("_AnyCard", ModelCard, EnsembleCard)


def save_model(model: SpectrogramModel, card: ModelCard, folder: Path) -> ModelCard:
    """Write weights, graph and card into `folder`; the card comes last and seals the others.

    Returns:
        The card as written, with the files' hashes and the count of parameters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network = model.network
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    parts = {name: folder / f".{name}.part" for name in (WEIGHTS_FILE, GRAPH_FILE)}
    try:
        # `save_file` would make a file that its owner alone can read.
        parts[WEIGHTS_FILE].write_bytes(save(weights))
        export_onnx(model, parts[GRAPH_FILE], card.model_config().sources)
        sealed = dataclasses.replace(
            card,
            graph_layout="stemlight",  # whatever it was in a card that came from elsewhere
            files={name: file_facts(part) for name, part in parts.items()},
            n_parameters=sum(parameter.numel() for parameter in network.parameters()),
        )
        for name, part in parts.items():
            part.replace(folder / name)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    write_card(sealed, folder)
    return sealed


def load_model(folder: Path) -> tuple[SpectrogramModel, ModelCard]:
    """Build the model of a folder with its weights, in evaluation mode.

    Raises:
        WeightsError: a file is missing or damaged, or the weights do not fit the card's preset.
    """
    card = read_card(folder)
    if not isinstance(card, ModelCard):
        raise WeightsError(f"{folder} is a system of {', '.join(card.members)}; load one of these")
    if WEIGHTS_FILE not in card.files:
        raise WeightsError(
            f"the model {card.name!r} has its weights in a graph alone, which the onnx engine "
            f"runs. {card.summary}"
        )
    model = build_model(card.model_config())
    weights = load_file(verified_file(folder, card, WEIGHTS_FILE))
    load_strictly(model, weights, f"the weights of {card.name!r}")
    return model.eval(), card


def read_training_checkpoint(path: Path, model: SpectrogramModel) -> dict[str, Any]:
    """Load the averaged weights of a training checkpoint into `model`.

    Returns:
        What else the checkpoint says of its run: `step` and `epoch`.

    Raises:
        WeightsError: the file is no checkpoint, or of another network.
    """
    try:
        # Tensors and plain values only: a checkpoint must not run code.
        content = torch.load(path, map_location="cpu", weights_only=True)
        state = content["state_dict"]
    except Exception as error:  # torch raises many types for a file that is no checkpoint
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path} is no training checkpoint: {reason}") from error
    weights = {
        name.removeprefix(_MODEL_PREFIX): tensor
        for name, tensor in state.items()
        if name.startswith(_MODEL_PREFIX)
    }
    load_strictly(model, weights, str(path))
    return {"step": content["global_step"], "epoch": content["epoch"]}


def renew_model(
    source: Path, folder: Path, changes: Mapping[str, Any] | None = None
) -> ModelCard | EnsembleCard:
    """Write a model again, its graph made anew of its weights; of a system, all members.

    Cards keep what they say but for `changes`, which are for that of the whole. `folder` may be
    `source`.

    Raises:
        WeightsError: a file is missing or damaged, or there are no weights but in a graph.
        ConfigError: a change that no card has.
        OutputError: a system cannot be written.
    """
    found = read_card(source)
    if isinstance(found, ModelCard):
        model, card = load_model(source)
        return save_model(model, _changed(card, changes), folder)
    for name in found.files:
        verified_file(source, found, name)
    with complete_folder(folder) as partial:
        for member in stored_members(found):
            renew_model(source / member, partial / member)
        for name in MIXER_FILES:
            if name in found.files:
                shutil.copyfile(source / name, partial / name)
        files = ensemble_files(partial, found.members)
        sealed = dataclasses.replace(_changed(found, changes), files=files)
        write_card(sealed, partial)
    return sealed


def _changed(card: _AnyCard, changes: Mapping[str, Any] | None) -> _AnyCard:
    return from_mapping(type(card), to_mapping(card) | dict(changes or {}))


def load_strictly(model: SpectrogramModel, weights: dict[str, torch.Tensor], origin: str) -> None:
    """Load weights that must fit the network name by name and shape by shape.

    Raises:
        WeightsError: they do not; the message begins with `origin`.
    """
    try:
        model.network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        reason = json.dumps(" ".join(str(error).split()))[:300]
        raise WeightsError(f"{origin} do not fit the network: {reason}") from error
