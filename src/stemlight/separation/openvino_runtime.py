"""Opens graphs with OpenVINO, which computes in bfloat16 on processors that can."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import openvino

from stemlight.errors import UsageError, WeightsError
from stemlight.separation.runtimes import RunGraph

__all__ = ["OpenVino"]

_HINTS = {"float32": "f32", "bfloat16": "bf16"}


@dataclass(frozen=True)
class OpenVino:
    """The runtime of the extra `openvino`, on the CPU.

    Raises:
        UsageError: the processor has no instructions for bfloat16.
    """

    n_threads: int = 0
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        if self.precision == "bfloat16" and "BF16" not in able:
            raise UsageError(
                "this processor does not compute in bfloat16, so nothing would be faster; "
                "leave precision out"
            )

    def __call__(self, graph: Path | bytes) -> RunGraph:
        """See `Runtime`."""
        settings = {
            "INFERENCE_NUM_THREADS": self.n_threads,
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            # As bytes: OpenVINO tells the format of a file by its suffix.
            content = graph if isinstance(graph, bytes) else graph.read_bytes()
            core = openvino.Core()
            compiled = core.compile_model(core.read_model(content), "CPU", settings)
        except OSError as error:
            raise WeightsError(f"cannot read {graph!s}: {error.strerror}") from error
        except RuntimeError as error:
            lines = [line for line in str(error).splitlines() if line.strip()]
            name = "the graph" if isinstance(graph, bytes) else graph
            raise WeightsError(f"{name} cannot be run by OpenVINO: {lines[-1]}") from error
        of_thread = threading.local()  # a request runs one thing at a time

        def run(planes: np.ndarray) -> list[np.ndarray]:
            if not hasattr(of_thread, "request"):
                of_thread.request = compiled.create_infer_request()
            results = of_thread.request.infer([planes], share_inputs=True)
            return [results[port] for port in compiled.outputs]

        return run
