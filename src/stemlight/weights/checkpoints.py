"""Stores trained models in folders and builds them again, strictly."""

from __future__ import annotations

import copy
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
from stemlight.models.adapting import merge_additions
from stemlight.models.presets import resolve_preset
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
from stemlight.weights.export import export_onnx, is_halved
from stemlight.weights.systems import (
    MIXER_FILES,
    complete_folder,
    ensemble_files,
    stored_members,
)

__all__ = [
    "is_training_checkpoint",
    "load_model",
    "load_strictly",
    "load_trained",
    "read_training_checkpoint",
    "renew_model",
    "save_model",
]

_MODEL_PREFIX = "model.network."
_FACTS = ("stemlight", "facts")  # where a run keeps what it says of itself

_AnyCard = TypeVar("_AnyCard", ModelCard, EnsembleCard)


def save_model(
    model: SpectrogramModel, card: ModelCard, folder: Path, *, half: bool = False
) -> ModelCard:
    """Write weights, graph and card into `folder`; the card comes last and seals the others.

    Args:
        half: Round matrices and kernels to 16 bits, so that files are half as large. Networks
            compute in 32 bits as ever.

    Returns:
        The card as written, with the files' hashes and the count of parameters.
    """
    folder.mkdir(parents=True, exist_ok=True)
    network = model.network
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    if half:
        weights = {name: _halved(tensor) for name, tensor in weights.items()}
        model = copy.deepcopy(model)  # the caller's weights stay as they are
        model.network.load_state_dict(weights)
    parts = {name: folder / f".{name}.part" for name in (WEIGHTS_FILE, GRAPH_FILE)}
    try:
        # `save_file` would make a file that its owner alone can read.
        parts[WEIGHTS_FILE].write_bytes(save(weights))
        export_onnx(model, parts[GRAPH_FILE], card.model_config().sources, half=half)
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


def _halved(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half() if is_halved(tensor.numpy(force=True)) else tensor


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
    """Load the averaged weights of a training checkpoint into `model`, additions merged.

    Returns:
        What else the checkpoint says of its run: `step`, `epoch`, and as `facts` what the run says
        of itself.

    Raises:
        WeightsError: the file is no checkpoint, or of another network.
    """
    return _load_checkpoint(path, _checkpoint_content(path), model)


def load_trained(path: Path) -> tuple[SpectrogramModel, dict[str, Any]]:
    """Build the model of a training checkpoint as the checkpoint tells, in evaluation mode.

    Returns:
        The model, and what `read_training_checkpoint` returns.

    Raises:
        WeightsError: the file is no checkpoint, or does not tell of which network.
    """
    content = _checkpoint_content(path)
    facts = _facts(content)
    if "preset" not in facts:
        raise WeightsError(
            f"{path} does not tell what network it is of; make a model of it with its recipe: "
            "stemlight export CHECKPOINT --recipe RECIPE -o FOLDER"
        )
    model = build_model(resolve_preset(facts["preset"], facts["arguments"]))
    return model.eval(), _load_checkpoint(path, content, model)


def _checkpoint_content(path: Path) -> dict[str, Any]:
    try:
        # Tensors and plain values only: a checkpoint must not run code.
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        content["state_dict"]
    except Exception as error:  # torch raises many types for a file that is no checkpoint
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path} is no training checkpoint: {reason}") from error
    return content


def _load_checkpoint(
    path: Path, content: Mapping[str, Any], model: SpectrogramModel
) -> dict[str, Any]:
    weights = {
        name.removeprefix(_MODEL_PREFIX): tensor
        for name, tensor in content["state_dict"].items()
        if name.startswith(_MODEL_PREFIX)
    }
    load_strictly(model, merge_additions(weights, model.network.state_dict()), str(path))
    progress = {name: content[key] for name, key in (("step", "global_step"), ("epoch", "epoch"))}
    return {**progress, "facts": _facts(content)}


def _facts(content: Mapping[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = content.get(_FACTS[0], {}).get(_FACTS[1], {})
    return facts


def is_training_checkpoint(path: Path) -> bool:
    """Say whether a file is a checkpoint of `stemlight train`, and not one of other projects."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return any(name.startswith(_MODEL_PREFIX) for name in content["state_dict"])
    except Exception:  # torch raises many types for a file that is no checkpoint
        return False


def renew_model(
    source: Path,
    folder: Path,
    changes: Mapping[str, Any] | None = None,
    *,
    half: bool = False,
) -> ModelCard | EnsembleCard:
    """Write a model again, its graph made anew of its weights; of a system, all members.

    Cards keep what they say but for `changes`, which are for that of the whole. `folder` may be
    `source`. `half` is that of `save_model`.

    Raises:
        WeightsError: a file is missing or damaged, or there are no weights but in a graph.
        ConfigError: a change that no card has.
        OutputError: a system cannot be written.
    """
    found = read_card(source)
    if isinstance(found, ModelCard):
        model, card = load_model(source)
        return save_model(model, _changed(card, changes), folder, half=half)
    for name in found.files:
        verified_file(source, found, name)
    with complete_folder(folder) as partial:
        for member in stored_members(found):
            renew_model(source / member, partial / member, half=half)
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
