"""Turns MDX-Net graphs into model folders: the graph as it is, and its weights read out of it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save

from stemlight.configs import Activation, StftConfig
from stemlight.errors import ConfigError, MissingExtraError, UsageError, WeightsError
from stemlight.models.config import ModelConfig, UNetConfig
from stemlight.models.presets import PRESETS
from stemlight.separation.mdx_engine import MdxOnnxEngine, MdxShape, known_n_fft, read_mdx_shape
from stemlight.separation.sessions import OnnxRuntime
from stemlight.weights.cards import GRAPH_FILE, WEIGHTS_FILE, ModelCard, file_facts, write_card
from stemlight.weights.import_cards import ImportOptions, source_in_name, unsealed_card

if TYPE_CHECKING:
    from stemlight.weights.mdx_graph import MdxNetwork

__all__ = ["import_graph", "unet_config_of"]

_BASE = PRESETS["tfc-tdf-v2-vocals"]
_NO_PARAMETERS = ("running_mean", "running_var", "num_batches_tracked")
_SLOPES: dict[float, Activation] = {0.0: "relu", 0.01: "leaky_relu"}


def import_graph(path: Path, folder: Path, options: ImportOptions) -> ModelCard:
    """Write a model folder with the graph and, if they can be read, its weights.

    Without weights, the onnx engine runs it all the same; the card's summary says what is missing.

    Raises:
        WeightsError: the file is no MDX-Net graph.
        UsageError: it does not tell enough, or is told what does not fit it.
    """
    if options.preset is not None or options.arguments:
        raise UsageError(f"--preset and --set belong to checkpoints; {path.name} is a graph")
    shape = read_mdx_shape(path)
    config = _surroundings(path, shape, options)
    graph = folder / GRAPH_FILE
    shutil.copyfile(path, graph)
    _check_copy(path, graph, config)
    network, missing = _network_of(path)
    if network is not None:
        config, missing = _with_network(config, network)
    card = dataclasses.replace(unsealed_card(config, path, options), graph_layout="mdx")
    files = {GRAPH_FILE: file_facts(graph)}
    if network is None or missing:
        summary = f"{card.summary} For the onnx engine alone: {missing}."
        card = dataclasses.replace(card, summary=summary)
    else:
        n_parameters = _write_weights(network, folder / WEIGHTS_FILE)
        card = dataclasses.replace(card, n_parameters=n_parameters)
        files[WEIGHTS_FILE] = file_facts(folder / WEIGHTS_FILE)
    sealed = dataclasses.replace(card, files=files)
    write_card(sealed, folder)
    return sealed


def _surroundings(path: Path, shape: MdxShape, options: ImportOptions) -> ModelConfig:
    """Return what surrounds the network, with a network that takes any number of frames."""
    hop_samples = options.hop_samples or _BASE.stft.hop_samples
    n_fft = options.n_fft or known_n_fft(path)
    if n_fft is None:
        raise UsageError(
            f"{path.name} does not tell its n_fft, which its makers do: at least "
            f"{2 * (shape.dim_f - 1)}, often 4096 to 16384. Import it with --n-fft, for example: "
            f"stemlight import {path.name} --n-fft {2 * shape.dim_f}"
        )
    source = options.source or source_in_name(path.stem)
    if source is None:
        raise UsageError(
            f"the name {path.name} does not tell which source it estimates. Import it with "
            f"--source, for example: stemlight import {path.name} --source vocals"
        )
    try:
        stft = StftConfig(
            n_fft=n_fft,
            hop_samples=hop_samples,
            packing="channel-major",
            kept_bins=shape.dim_f,
        )
        chunk = dataclasses.replace(
            _BASE.chunk,
            chunk_samples=stft.window_samples(shape.dim_t),
            trim_samples=n_fft // 2,
        )
    except ConfigError as error:
        raise UsageError(f"n_fft {n_fft} does not fit {path.name}: {error}") from error
    return dataclasses.replace(
        _BASE,
        stft=stft,
        chunk=chunk,
        sources=(source,),
        network=dataclasses.replace(_BASE.network, halved_frames=()),
        output_gain=options.output_gain,
    )


def _check_copy(path: Path, copy: Path, config: ModelConfig) -> None:
    """Open the copy as the engine will: weights that lie in other files are not there."""
    try:
        MdxOnnxEngine(
            copy,
            source=config.sources[0],
            n_fft=config.stft.n_fft,
            hop_samples=config.stft.hop_samples,
            gain=config.output_gain,
            runtime=OnnxRuntime(n_threads=1),
        )
    except UsageError as error:
        raise UsageError(str(error).replace(str(copy), str(path))) from error
    except WeightsError as error:
        raise WeightsError(
            f"{path} runs only where it lies, as when its weights are in other files; make it one "
            "file with onnx.save(onnx.load(old), new)"
        ) from error


def _network_of(path: Path) -> tuple[MdxNetwork | None, str]:
    """Read the weights out of a graph, or say why they cannot be read."""
    try:
        from stemlight.weights.mdx_graph import read_mdx_network

        return read_mdx_network(path), ""
    except MissingExtraError as error:
        return None, f"{error}, and import it again"
    except WeightsError as error:
        return None, str(error).removeprefix(f"{path} is ")


def _with_network(config: ModelConfig, network: MdxNetwork) -> tuple[ModelConfig, str]:
    try:
        return dataclasses.replace(config, network=unet_config_of(network)), ""
    except (ConfigError, WeightsError) as error:
        return config, str(error)


def _write_weights(network: MdxNetwork, path: Path) -> int:
    """Write the weights by our names and return how many parameters they are."""
    from stemlight.weights.mdx_graph import to_state_dict

    state = to_state_dict(network)
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in state.items()}))
    return sum(array.size for name, array in state.items() if not name.endswith(_NO_PARAMETERS))


def unet_config_of(network: MdxNetwork) -> UNetConfig:
    """Return the config of a network whose weights were read out of a graph.

    Raises:
        WeightsError: its activations are none of ours.
    """
    if network.negative_slope not in _SLOPES:
        raise WeightsError(
            f"the activations of the graph have the slope {network.negative_slope} below zero; "
            f"networks here have {' or '.join(map(str, _SLOPES))}"
        )
    activation = _SLOPES[network.negative_slope]
    return UNetConfig(
        n_blocks=2 * network.n_levels + 1,
        features=tuple(network.growth_channels * (i + 1) for i in range(network.n_levels + 1)),
        n_sources=1,
        n_tfc_layers=network.n_layers,
        dense=False,
        kernel_frames=network.kernel_size,
        kernel_bins=network.kernel_size,
        transformation="tdf" if network.bn_factor is not None else "none",
        bn_factor=network.bn_factor or None,
        min_bn_units=1,
        bias=network.bias,
        head="pointwise",
        merge_skip=network.merge,
        activation=activation,
        resampling_activation=activation,
    )
