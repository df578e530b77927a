"""Opens graphs with ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from stemlight.errors import WeightsError

__all__ = ["open_session"]

_ERRORS_ONLY = 3


def open_session(
    graph: Path, *, n_threads: int = 0, optimize: bool = True
) -> onnxruntime.InferenceSession:
    """Load a graph for the CPU; `n_threads` 0 lets ONNX Runtime take all cores.

    A graph that is only looked at need not be optimised, which takes time.

    Raises:
        WeightsError: the file is missing or no graph that ONNX Runtime can run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.log_severity_level = _ERRORS_ONLY
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has an exception type for every status
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{graph} cannot be run by ONNX Runtime: {reason}") from error
