"""The library's front door: load a model, separate a song."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from stemlight.audio import Audio, read_audio
from stemlight.errors import MissingExtraError, UsageError, did_you_mean
from stemlight.separation import Backend, Separator
from stemlight.weights.cards import GRAPH_FILE, ModelCard, read_card, verified_file
from stemlight.weights.catalogue import DEFAULT_MODEL, embedded_models, find_model

__all__ = ["Engine", "load", "model_card", "models", "separate"]

Engine = Literal["onnx", "torch"]


def models() -> list[str]:
    """Return the names of all models that need nothing but this package."""
    return list(embedded_models())


def model_card(model: str | Path = DEFAULT_MODEL) -> ModelCard:
    """Return the card of a model, given by name or folder.

    Raises:
        UsageError: there is no such model.
        WeightsError: its card cannot be read.
    """
    return read_card(find_model(model))


def load(
    model: str | Path = DEFAULT_MODEL,
    *,
    engine: Engine = "onnx",
    device: str = "auto",
    n_threads: int = 0,
    batch_size: int = 1,
) -> Separator:
    """Load a model by name or folder, ready to separate.

    `engine="torch"` needs the extra `torch` and runs on `device`: auto, cpu, cuda or mps.
    `n_threads` 0 takes all cores.

    Raises:
        UsageError: no such model, engine or device.
        WeightsError: the model's files are missing or damaged.
        MissingExtraError: the engine is not installed.
    """
    if engine not in get_args(Engine):
        raise UsageError(
            f"no engine {engine!r}{did_you_mean(engine, get_args(Engine))}; "
            f"engines are {', '.join(get_args(Engine))}"
        )
    folder = find_model(model)
    card = read_card(folder)
    make_engine = _onnx_engine if engine == "onnx" else _torch_engine
    return Separator(
        make_engine(folder, card, device, n_threads),
        card.model_config().chunk,
        batch_size=batch_size,
    )


def separate(
    song: str | Path | Audio | np.ndarray,
    *,
    model: str | Path = DEFAULT_MODEL,
    sources: Sequence[str] | None = None,
    sample_rate_hz: int | None = None,
) -> dict[str, Audio]:
    """Separate a song: a file, an `Audio`, or floating-point samples `(channels, samples)`.

    `sources` are all that the model has unless named; `sample_rate_hz` belongs to an array and is
    the model's unless given. For long files and for many, use `load` and its `stream`.

    Raises:
        InputError: the file cannot be read, or holds no sound.
        UsageError: an unknown source or model.
    """
    separator = load(model)
    if isinstance(song, str | Path):
        song = read_audio(Path(song))
    if isinstance(song, Audio):
        return separator(song, sources=sources, sample_rate_hz=sample_rate_hz)
    rate_hz = separator.sample_rate_hz if sample_rate_hz is None else sample_rate_hz
    stems = separator(song, sources=sources, sample_rate_hz=rate_hz)
    return {name: Audio(stem, rate_hz) for name, stem in stems.items()}


def _onnx_engine(folder: Path, card: ModelCard, device: str, n_threads: int) -> Backend:
    # Engines are imported where they are asked for: loading one must not need the other.
    from stemlight.separation.onnx_engine import OnnxEngine
    from stemlight.stft import Stft

    if device not in ("auto", "cpu"):
        raise UsageError(f"the onnx engine runs on the cpu, not on {device!r}; add engine='torch'")
    config = card.model_config()
    stft = Stft(
        config.stft.n_fft,
        config.stft.hop_samples,
        packing=config.stft.packing,
        kept_bins=config.stft.kept_bins,
        n_workers=n_threads or -1,
    )
    return OnnxEngine(
        verified_file(folder, card, GRAPH_FILE),
        stft=stft,
        sources=config.sources,
        sample_rate_hz=config.sample_rate_hz,
        n_threads=n_threads,
    )


def _torch_engine(folder: Path, card: ModelCard, device: str, n_threads: int) -> Backend:
    try:
        from stemlight.separation.torch_engine import TorchEngine, choose_device
        from stemlight.weights.checkpoints import load_model
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the torch engine needs {error.name}, which is not installed; "
            "run: pip install 'stemlight[torch]'"
        ) from error
    model, _ = load_model(folder)
    config = card.model_config()
    return TorchEngine(
        model.to(choose_device(device)),
        sources=config.sources,
        sample_rate_hz=config.sample_rate_hz,
        n_threads=n_threads,
    )
