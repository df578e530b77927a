"""Stores trained models in folders and builds them again, strictly."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save

from stemlight.errors import WeightsError
from stemlight.models.spectrogram import SpectrogramModel, build_model
from stemlight.weights.cards import (
    GRAPH_FILE,
    WEIGHTS_FILE,
    ModelCard,
    file_facts,
    read_card,
    verified_file,
    write_card,
)
from stemlight.weights.export import export_onnx

__all__ = ["load_model", "read_training_checkpoint", "save_model"]

_MODEL_PREFIX = "model.network."


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
        export_onnx(network, parts[GRAPH_FILE], n_bins=model.stft.kept_bins)
        sealed = dataclasses.replace(
            card,
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
    model = build_model(card.model_config())
    weights = load_file(verified_file(folder, card, WEIGHTS_FILE))
    _load_strictly(model, weights, f"the weights of {card.name!r}")
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
    _load_strictly(model, weights, str(path))
    return {"step": content["global_step"], "epoch": content["epoch"]}


def _load_strictly(model: SpectrogramModel, weights: dict[str, torch.Tensor], origin: str) -> None:
    try:
        model.network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        reason = json.dumps(" ".join(str(error).split()))[:300]
        raise WeightsError(f"{origin} do not fit the network: {reason}") from error
