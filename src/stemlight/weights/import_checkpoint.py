"""Turns checkpoints of the authors' code into model folders; needs PyTorch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from stemlight.configs import from_mapping, merge, to_mapping
from stemlight.errors import ConfigError, UsageError, WeightsError
from stemlight.models.config import ModelConfig
from stemlight.models.presets import resolve_preset
from stemlight.models.spectrogram import SpectrogramModel, build_model
from stemlight.weights.cards import ModelCard
from stemlight.weights.checkpoints import load_strictly, save_model
from stemlight.weights.import_cards import ImportOptions, source_in_name, unsealed_card
from stemlight.weights.official import convert_state_dict
from stemlight.weights.recognition import recognise
from stemlight.weights.torch_files import TorchFile, read_torch_file

__all__ = ["import_checkpoint"]

_MOST_N_FFT, _MOST_WINDOW_SAMPLES = 2**17, 2**25  # nobody's network is near


def import_checkpoint(path: Path, folder: Path, options: ImportOptions) -> ModelCard:
    """Write a model folder made of a checkpoint or a state dict.

    Raises:
        WeightsError: the file is damaged, of no known network, or could run code.
        UsageError: it does not tell enough, or is told what does not fit it.
        ConfigError: no such preset or field, or a value that a field cannot have.
    """
    content = read_torch_file(path)
    for name, array in content.state_dict.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise WeightsError(f"{path} is damaged: {name} has numbers that are not finite")
    config = _config_of(path, content, options)
    if options.n_fft not in (None, config.stft.n_fft):
        raise UsageError(f"--n-fft {options.n_fft}: {path.name} has {config.stft.n_fft} already")
    if options.source is not None and len(config.sources) == 1:
        config = dataclasses.replace(config, sources=(options.source,))
    if options.output_gain != 1:
        config = dataclasses.replace(config, output_gain=options.output_gain)
    card = unsealed_card(config, path, options)
    model = _build(path, config, is_recognised=not (options.preset or options.arguments))
    state = {name: torch.from_numpy(array) for name, array in content.state_dict.items()}
    load_strictly(model, convert_state_dict(state), str(path))
    return save_model(model, card, folder)


def _config_of(path: Path, content: TorchFile, options: ImportOptions) -> ModelConfig:
    if options.preset is not None:
        return resolve_preset(options.preset, options.arguments)
    shapes = {name: array.shape for name, array in content.state_dict.items()}
    stft = options.arguments.get("stft")
    stft = stft if isinstance(stft, Mapping) else {}
    told = {
        "n_fft": options.n_fft or stft.get("n_fft"),
        "hop_length": options.hop_samples or stft.get("hop_samples"),
    }
    told = {name: value for name, value in told.items() if value is not None}
    source = options.source or source_in_name(path.stem)
    try:
        found = recognise(shapes, {**content.hyper_parameters, **told}, source=source)
    except WeightsError as error:
        raise WeightsError(
            f"{path} is not recognised: {error}; if it is a known network, name it with --preset"
        ) from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return from_mapping(ModelConfig, merge(to_mapping(found), options.arguments))


def _build(path: Path, config: ModelConfig, *, is_recognised: bool) -> SpectrogramModel:
    if config.stft.n_fft > _MOST_N_FFT or config.chunk.chunk_samples > _MOST_WINDOW_SAMPLES:
        raise WeightsError(
            f"{path} has an n_fft of {config.stft.n_fft} and windows of "
            f"{config.chunk.chunk_samples} samples, which no network has"
        )
    try:
        return build_model(config)
    except ConfigError as error:
        if is_recognised:
            raise WeightsError(f"{path} fits no network: {error}") from error
        raise
