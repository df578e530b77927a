"""Opens graphs with ONNX Runtime."""

from __future__ import annotations

import functools
from pathlib import Path

import onnxruntime

from stemlight.errors import WeightsError

__all__ = ["open_session"]

_ERRORS_ONLY = 3


def open_session(
    graph: Path, *, n_threads: int = 0, optimize: bool = True
) -> onnxruntime.InferenceSession:
    """Load a graph for the CPU; `n_threads` 0 lets ONNX Runtime take all cores.

    All sessions of the process share the memory in which they compute, so that a system of four
    networks needs as much as the largest of them. A graph that is only looked at need not be
    optimised, which takes time.

    Raises:
        WeightsError: the file is missing or no graph that ONNX Runtime can run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.log_severity_level = _ERRORS_ONLY
    _register_shared_memory()
    options.add_session_config_entry("session.use_env_allocators", "1")
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has an exception type for every status
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{graph} cannot be run by ONNX Runtime: {reason}") from error


@functools.cache  # once in a process: ONNX Runtime refuses a second time
def _register_shared_memory() -> None:
    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(place, onnxruntime.OrtArenaCfg({}))
