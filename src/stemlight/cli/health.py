"""What `stemlight doctor` looks at before it listens: packages, engines, models, room."""

from __future__ import annotations

import contextlib
import importlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from stemlight._version import __version__
from stemlight.errors import StemlightError

__all__ = ["Finding", "machine", "models", "packages", "room", "usable_threads"]

_NEEDED = ("numpy", "scipy", "onnxruntime", "soundfile", "soxr", "av", "safetensors", "mutagen")
_REINSTALL = "run: pip install --force-reinstall stemlight"
_LEAST_FREE_BYTES = 10**9
_GB = 1e9


@dataclass(frozen=True)
class Finding:
    """One line of the examination."""

    name: str
    value: str
    problem: str | None = None
    """What is wrong and what to do; None if nothing is."""


def packages() -> Iterator[Finding]:
    """Yield versions of Python and of what stemlight needs; each package is really imported."""
    yield Finding("stemlight", __version__)
    yield Finding(
        "python", f"{platform.python_version()} ({sys.executable}) on {platform.platform()}"
    )
    for name in _NEEDED:
        try:
            module = importlib.import_module(name)
            yield Finding(name, f"{metadata.version(name)}{_library_of(name, module)}")
        except Exception as error:  # shared libraries fail in ways of their own
            line = " ".join(f"{type(error).__name__}: {error}".split())
            yield Finding(name, "broken", f"{name} cannot be used ({line}); {_REINSTALL}")


def _library_of(name: str, module: Any) -> str:
    """Name the library in C that does a package's work."""
    if name == "soundfile":
        return f" (libsndfile {module.__libsndfile_version__})"
    if name == "av":
        return f" (FFmpeg {module.ffmpeg_version_info})"
    return ""


def machine() -> Iterator[Finding]:
    """Yield processors, engines and their devices; PyTorch is asked where it is installed."""
    n_all, n_ours = os.cpu_count() or 1, usable_threads()
    limits = [f"{key}={os.environ[key]}" for key in ("OMP_NUM_THREADS",) if key in os.environ]
    yield Finding("threads", ", ".join([f"{n_ours} of {n_all} usable", *limits]))
    with contextlib.suppress(Exception):  # told among the packages
        import onnxruntime

        providers = [
            name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()
        ]
        yield Finding("engine onnx", f"here: {', '.join(providers)} (auto takes the CPU)")
    yield _openvino()
    yield _torch()


def usable_threads() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _openvino() -> Finding:
    name = "engine openvino"
    try:
        import openvino

        able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    except ModuleNotFoundError:
        return Finding(
            name, "not installed; for bfloat16 on processors: pip install 'stemlight[openvino]'"
        )
    except Exception as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())
        advice = "reinstall it, or pip uninstall openvino: the onnx engine needs none"
        return Finding(name, "broken", f"openvino cannot be used ({line}); {advice}")
    precisions = ["float32", *(["bfloat16"] if "BF16" in able else [])]
    return Finding(name, f"here: openvino {openvino.__version__}: {', '.join(precisions)}")


def _torch() -> Finding:
    name = "engine torch"
    missing = Finding(name, "not installed; for GPUs and training: pip install 'stemlight[torch]'")
    try:
        version = metadata.version("torch")
    except metadata.PackageNotFoundError:
        return missing
    try:
        import torch

        devices = ["cpu"]
        if torch.cuda.is_available():
            devices += [
                f"cuda ({torch.cuda.get_device_name(index)})"
                for index in range(torch.cuda.device_count())
            ]
        if torch.backends.mps.is_available():
            devices.append("mps")
    except ModuleNotFoundError as error:
        if error.name == "torch":
            return missing
        raise
    except Exception as error:
        line = " ".join(f"{type(error).__name__}: {error}".split())
        advice = "reinstall it, or pip uninstall torch: the onnx engine needs none"
        return Finding(name, f"{version}, broken", f"torch cannot be used ({line}); {advice}")
    return Finding(name, f"here: torch {version}: {', '.join(devices)}")


def models() -> Iterator[Finding]:
    """Yield the cache and every model that is here, verified against its card."""
    from stemlight.weights.catalogue import embedded_models, usable_models
    from stemlight.weights.hub import CACHE_VARIABLE, cache_folder, verify_model

    cache = cache_folder()
    n_bytes = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    problem = None
    there = next(path for path in (cache, *cache.parents) if path.exists())
    if not os.access(there, os.W_OK):
        problem = (
            f"nothing can be written to the cache {cache}; make it writable, or choose another "
            f"folder with {CACHE_VARIABLE}"
        )
    yield Finding("cache", f"{cache} ({n_bytes / _GB:.2f} GB)", problem)
    embedded = embedded_models()
    for name, folder in usable_models().items():
        repair = _REINSTALL
        if name not in embedded:
            repair = f"run: stemlight models remove {name} && stemlight models fetch {name}"
        try:
            verify_model(folder)
            where = "inside the package" if name in embedded else "in the cache"
            yield Finding(f"model {name}", f"{where}, intact")
        except (StemlightError, OSError) as error:
            yield Finding(f"model {name}", "damaged", f"model {name}: {error}; {repair}")


def room() -> Iterator[Finding]:
    """Yield the free space of the current and of the temporary folder."""
    places = {"disk here": Path.cwd(), "disk for temporary files": Path(tempfile.gettempdir())}
    for name, place in places.items():
        n_free = shutil.disk_usage(place).free
        problem = None
        if n_free < _LEAST_FREE_BYTES:
            problem = f"only {n_free / _GB:.2f} GB are free at {place}; free some space"
        elif not os.access(place, os.W_OK) and name != "disk here":
            problem = f"nothing can be written to {place}; choose another folder with TMPDIR"
        yield Finding(name, f"{n_free / _GB:.1f} GB free at {place}", problem)
