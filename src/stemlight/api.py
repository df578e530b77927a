"""The library's front door: load a model, separate a song."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from stemlight.audio import Audio, Stems, read_audio
from stemlight.errors import MissingExtraError, UsageError, did_you_mean
from stemlight.separation import (
    Backend,
    Bag,
    Blend,
    Combiner,
    Ensemble,
    Mixer,
    Separator,
    load_mixer,
)
from stemlight.separation.foreign import is_foreign, load_foreign
from stemlight.separation.runtimes import Runtime
from stemlight.weights.cards import (
    GRAPH_FILE,
    INT8_GRAPH_FILE,
    EnsembleCard,
    ModelCard,
    read_card,
    verified_file,
)
from stemlight.weights.catalogue import DEFAULT_MODEL, find_model, usable_models

__all__ = ["Engine", "Precision", "list_models", "load", "model_card", "separate"]

Engine = Literal["onnx", "openvino", "torch"]
Precision = Literal["float32", "bfloat16", "int8"]

_MOST_THREADS = 1024

_PRECISIONS: dict[Engine, tuple[Precision, ...]] = {
    "onnx": ("float32", "int8"),
    "openvino": ("float32", "bfloat16"),
    "torch": ("float32", "bfloat16"),
}


def list_models() -> list[str]:
    """Return the names of all models that are here: inside this package, or fetched."""
    return list(usable_models())


def model_card(model: str | Path = DEFAULT_MODEL) -> ModelCard | EnsembleCard:
    """Return the card of a model, given by name, folder or `hf://owner/repo`.

    Raises:
        UsageError: there is no such model.
        WeightsError: its card cannot be read.
    """
    return read_card(find_model(model))


# Nine parameters, three more than the house allows: each is one choice of its own.
def load(
    model: str | Path = DEFAULT_MODEL,
    *,
    engine: Engine = "onnx",
    device: str = "auto",
    precision: Precision = "float32",
    n_threads: int = 0,
    batch_size: int = 1,
    offline: bool = False,
    low_latency: bool = False,
) -> Separator:
    """Load a model by name, folder or `hf://owner/repo[@revision]`, ready to separate.

    `demucs:NAME` and `openunmix:NAME` are models of other projects, which run on PyTorch whatever
    the engine; they need the extra of that name.

    `engine="torch"` needs the extra `torch` and runs on `device`: auto, cpu, cuda or mps; on cuda,
    in float32, it keeps the whole process from rounding to TF32. `engine="openvino"` needs the
    extra `openvino`. `engine="onnx"` runs on the cpu, or, told `device="cuda"`, with the package
    onnxruntime-gpu there. With `precision="bfloat16"`, of openvino and torch, networks are faster
    on processors made for it; with `"int8"`, of onnx, models that have an 8-bit graph, as the
    embedded one has, are faster on all. `docs/experiments.md` says what either costs.

    `n_threads` 0 takes all cores. Only `hf://` and other projects ever download anything, and not
    if `offline`. `low_latency` takes short windows, for streams: with the embedded model they are
    0.6 s late instead of 5.8, and cost 1.4 times the work and 0.2 dB.

    Raises:
        UsageError: no such model, engine, device or precision, or none that go together.
        WeightsError: the model's files are missing or damaged.
        MissingExtraError: the engine is not installed.
    """
    _check_choice("engine", engine, get_args(Engine))
    _check_choice("precision", precision, get_args(Precision))
    if precision not in _PRECISIONS[engine]:
        able = [name for name, known in _PRECISIONS.items() if precision in known]
        raise UsageError(
            f"the {engine} engine computes in {' or '.join(_PRECISIONS[engine])}, not in "
            f"{precision}; for that the engine must be {' or '.join(able)}"
        )
    if not 0 <= n_threads <= _MOST_THREADS:
        raise UsageError(
            f"n_threads must be at most {_MOST_THREADS}, or 0 for all cores, not {n_threads}"
        )
    choices = _Choices(engine, device, precision, n_threads, batch_size, offline, low_latency)
    if is_foreign(str(model)):
        return _open_foreign(str(model), choices)
    return _open(find_model(model, offline=offline), choices)


def separate(
    song: str | Path | Audio | np.ndarray,
    *,
    model: str | Path = DEFAULT_MODEL,
    sources: Sequence[str] | None = None,
    sample_rate_hz: int | None = None,
) -> Stems:
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
    return Stems({name: Audio(stem, rate_hz) for name, stem in stems.items()})


def _check_choice(kind: str, given: str, allowed: Sequence[str]) -> None:
    if given not in allowed:
        known = ", ".join(allowed)
        raise UsageError(f"no {kind} {given!r}{did_you_mean(given, allowed)}; choose from {known}")


@dataclass(frozen=True)
class _Choices:
    """How a model is run; the same for all members of a system."""

    engine: Engine
    device: str
    precision: Precision
    n_threads: int
    batch_size: int
    offline: bool
    low_latency: bool


def _open(folder: Path, choices: _Choices) -> Separator:
    card = read_card(folder)
    if isinstance(card, EnsembleCard):
        return _open_ensemble(folder, card, choices)
    make_engine = _torch_engine if choices.engine == "torch" else _graph_engine
    config = card.model_config()
    fixed = card.graph_layout == "mdx" and choices.engine != "torch"
    if choices.low_latency and fixed:
        raise UsageError(
            f"the graph of {card.name!r} takes windows of {config.n_frames} frames alone; "
            "add engine='torch' for a low latency"
        )
    plan = config.low_latency_chunk() if choices.low_latency else config.chunk
    return Separator(make_engine(folder, card, choices), plan, batch_size=choices.batch_size)


def _open_ensemble(folder: Path, card: EnsembleCard, choices: _Choices) -> Separator:
    for name in card.files:
        verified_file(folder, card, name)
    members = {
        name: _open_foreign(name, choices) if is_foreign(name) else _open(folder / name, choices)
        for name in card.members
    }
    combiner: Combiner = Blend(card.weights) if card.weights else Bag()
    if card.mixes:
        combiner = Mixer(load_mixer(folder))
    return Ensemble(members, combiner)


def _open_foreign(address: str, choices: _Choices) -> Separator:
    if choices.offline:
        raise UsageError(
            f"{address} is loaded by its own package, which may download it; leave offline out"
        )
    device = "cpu"
    if choices.engine == "torch":
        with _extra_needed("torch"):
            from stemlight.separation.torch_engine import choose_device
        device = str(choose_device(choices.device))
    elif choices.device not in ("auto", "cpu"):
        raise UsageError(
            f"{address} runs on {choices.device!r} with the torch engine alone; add engine='torch'"
        )
    if choices.precision != "float32":
        raise UsageError(f"{address} runs in float32 alone; leave precision out")
    backend, plan = load_foreign(address, device=device)
    return Separator(backend, plan, batch_size=choices.batch_size)


def _graph_engine(folder: Path, card: ModelCard, choices: _Choices) -> Backend:
    # Engines are imported where they are asked for: loading one must not need the other.
    from stemlight.models.transforms import build_stft
    from stemlight.separation.mdx_engine import MdxOnnxEngine
    from stemlight.separation.onnx_engine import OnnxEngine

    runtime = _openvino(choices) if choices.engine == "openvino" else _onnx_runtime(choices)
    config = card.model_config()
    in_bytes = choices.precision == "int8"
    if in_bytes and INT8_GRAPH_FILE not in card.files:
        raise UsageError(
            f"the model {card.name!r} has no 8-bit graph; leave precision out, or make one with "
            "stemlight export --int8"
        )
    graph = verified_file(folder, card, INT8_GRAPH_FILE if in_bytes else GRAPH_FILE)
    if card.graph_layout == "mdx":
        return MdxOnnxEngine(
            graph,
            source=config.sources[0],
            n_fft=config.stft.n_fft,
            hop_samples=config.stft.hop_samples,
            gain=config.output_gain,
            sample_rate_hz=config.sample_rate_hz,
            runtime=runtime,
        )
    return OnnxEngine(
        graph,
        stft=build_stft(config.stft, n_workers=choices.n_threads or -1),
        sources=config.sources,
        sample_rate_hz=config.sample_rate_hz,
        output_gain=config.output_gain,
        keeps_silence=config.network.estimate != "mapping",
        runtime=runtime,
    )


def _onnx_runtime(choices: _Choices) -> Runtime:
    from stemlight.separation.sessions import OnnxRuntime

    _check_device(choices, ("auto", "cpu", "cuda"))
    return OnnxRuntime(choices.n_threads, "cuda" if choices.device == "cuda" else "cpu")


def _openvino(choices: _Choices) -> Runtime:
    _check_device(choices, ("auto", "cpu"))
    with _extra_needed("openvino"):
        from stemlight.separation.openvino_runtime import OpenVino
    assert choices.precision != "int8", "load refuses what an engine cannot do"
    return OpenVino(choices.n_threads, choices.precision)


def _check_device(choices: _Choices, able: Sequence[str]) -> None:
    if choices.device not in able:
        raise UsageError(
            f"the {choices.engine} engine has no device {choices.device!r}; choose from "
            f"{', '.join(able)}, or add engine='torch'"
        )


def _torch_engine(folder: Path, card: ModelCard, choices: _Choices) -> Backend:
    with _extra_needed("torch"):
        import torch

        from stemlight.models.folding import prepare_for_inference
        from stemlight.separation.torch_engine import TorchEngine, choose_device, keep_float32
        from stemlight.weights.checkpoints import load_model
    device = choose_device(choices.device)
    if device.type == "cuda" and choices.precision == "float32":
        keep_float32()
    model, _ = load_model(folder)
    model.network = prepare_for_inference(model.network)
    if device.type == "cuda":  # whose convolutions want the channels last
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    config = card.model_config()
    assert choices.precision != "int8", "load refuses what an engine cannot do"
    return TorchEngine(
        model.to(device),
        sources=config.sources,
        sample_rate_hz=config.sample_rate_hz,
        precision=choices.precision,
        n_threads=choices.n_threads,
    )


@contextmanager
def _extra_needed(engine: Engine) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"the {engine} engine needs {error.name}, which is not installed; "
            f"run: pip install 'stemlight[{engine}]'"
        ) from error
    except ImportError as error:
        reason = " ".join(str(error).split())
        raise MissingExtraError(
            f"the {engine} engine cannot be imported ({reason}); "
            f"run: pip install --force-reinstall 'stemlight[{engine}]'"
        ) from error
