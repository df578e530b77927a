"""What a measurement ran on: processor and versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path

__all__ = ["describe_machine", "peak_mib"]

_PACKAGES = (
    "stemlight",
    "numpy",
    "scipy",
    "onnxruntime",
    "openvino",
    "torch",
    "openunmix",
    "demucs",
)


def describe_machine() -> list[str]:
    """Return lines that name processor, system and the versions of what is measured."""
    versions = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        f"Processor: {_processor()}, {n_cores} cores to run on; {platform.system()}.",
        f"Versions: {', '.join(versions)}.",
    ]


def peak_mib() -> float:
    """Return the most memory that this process ever had resident.

    Not what `getrusage` says where `/proc` is there: that one also counts the process that started
    this one.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii"))
        if found:
            return int(found[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if platform.system() == "Darwin" else 1024)


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text(encoding="utf-8"))
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()
