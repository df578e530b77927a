"""Opens graphs with ONNX Runtime."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime

from stemlight.errors import UsageError, WeightsError
from stemlight.separation.runtimes import RunGraph

__all__ = ["OnnxRuntime", "open_session"]

_FATAL_ONLY = 4  # errors become exceptions, which say as much
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True)
class OnnxRuntime:
    """The runtime that needs no extra; on `cuda` it needs the package onnxruntime-gpu.

    Raises:
        UsageError: this ONNX Runtime does not know the device.
    """

    n_threads: int = 0
    device: Literal["cpu", "cuda"] = "cpu"

    def __post_init__(self) -> None:
        if _PROVIDERS[self.device] not in onnxruntime.get_available_providers():
            raise UsageError(
                f"this ONNX Runtime does not run on {self.device!r}; put onnxruntime-gpu in its "
                "place, or use engine='torch'"
            )

    def __call__(self, graph: Path | bytes) -> RunGraph:
        """See `Runtime`."""
        providers = list(dict.fromkeys((_PROVIDERS[self.device], _PROVIDERS["cpu"])))
        session = open_session(graph, n_threads=self.n_threads, providers=providers)
        # ONNX Runtime falls back in silence where a driver or library is missing.
        if session.get_providers()[0] != providers[0]:
            raise UsageError(
                f"ONNX Runtime cannot use {self.device!r} here: its driver or libraries are "
                "missing; repair them, or use device='cpu'"
            )
        (given,) = session.get_inputs()

        def run(planes: np.ndarray) -> list[np.ndarray]:
            return list(session.run(None, {given.name: planes}))

        return run


def open_session(
    graph: Path | bytes,
    *,
    n_threads: int = 0,
    optimize: bool = True,
    providers: Sequence[str] = (_PROVIDERS["cpu"],),
) -> onnxruntime.InferenceSession:
    """Load a graph, from a file or from bytes; `n_threads` 0 lets ONNX Runtime take all cores.

    All sessions of the process share the memory in which they compute, so that a system of four
    networks needs as much as the largest of them. A graph that is only looked at need not be
    optimised, which takes time.

    Raises:
        WeightsError: the file is missing or no graph that ONNX Runtime can run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.log_severity_level = _FATAL_ONLY
    # Threads that wait in a loop for the next operator take what others could use: our transforms,
    # and whatever else runs (`bench.spinning`).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    _register_shared_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    content = graph if isinstance(graph, bytes) else str(graph)
    try:
        return onnxruntime.InferenceSession(content, options, providers=list(providers))
    except Exception as error:  # ONNX Runtime has an exception type for every status
        reason = str(error).splitlines()[0]
        name = "the graph" if isinstance(graph, bytes) else graph
        raise WeightsError(f"{name} cannot be run by ONNX Runtime: {reason}") from error


@functools.cache  # once in a process: ONNX Runtime refuses a second time
def _register_shared_memory() -> None:
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg({}))
