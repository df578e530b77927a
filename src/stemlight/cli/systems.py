"""What the commands that score call a system: a model, a baseline, or a folder of estimates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stemlight.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from stemlight.comparison import System

__all__ = ["BASELINES", "ESTIMATES", "ModelOptions", "open_system", "open_systems"]

BASELINES = ("mixture", "hpss", "oracle-irm")
ESTIMATES = "estimates:"


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How models are run; the arguments of `stemlight.load`."""

    engine: str = "onnx"
    device: str = "auto"
    precision: str = "float32"
    n_threads: int = 0


def open_systems(options: ModelOptions, names: list[str]) -> tuple[System, ...]:
    """Open all systems of a call.

    Raises:
        UsageError: One is named twice, or there is no such system.
        StemlightError: A model cannot be loaded, or a folder of estimates not be read.
    """
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name!r} is named {names.count(name)} times; name each system once")
    return tuple(open_system(options, name) for name in names)


def open_system(options: ModelOptions, name: str) -> System:
    """Open a system by its name: one of `BASELINES`, `estimates:DIR`, or what `load` takes."""
    from stemlight.comparison import (
        EstimatesFolder,
        HarmonicPercussive,
        IdealRatioMask,
        MixtureAsEstimate,
    )

    if name == "mixture":
        return MixtureAsEstimate()
    if name == "hpss":
        return HarmonicPercussive()
    if name == "oracle-irm":
        return IdealRatioMask()
    if name.startswith(ESTIMATES):
        folder = name.removeprefix(ESTIMATES)
        if not folder:
            raise UsageError(f"{ESTIMATES} names no folder; give {ESTIMATES}DIR")
        return EstimatesFolder(Path(folder), name=name)
    return _model(options, name)


def _model(options: ModelOptions, name: str) -> System:
    from stemlight.api import load
    from stemlight.comparison import ModelSystem
    from stemlight.weights.fingerprints import model_fingerprint

    try:
        separator = load(
            name,
            engine=options.engine,  # type: ignore[arg-type]
            device=options.device,
            precision=options.precision,  # type: ignore[arg-type]
            n_threads=options.n_threads,
        )
    except UsageError as error:
        if hint := did_you_mean(name, BASELINES):
            raise UsageError(f"{error}{hint}") from error
        raise
    return ModelSystem(
        name=name,
        sources=separator.sources,
        sample_rate_hz=separator.sample_rate_hz,
        fingerprint=model_fingerprint(
            name, engine=options.engine, device=options.device, precision=options.precision
        ),
        separator=lambda mixture, rate_hz: separator(mixture, sample_rate_hz=rate_hz),
    )
