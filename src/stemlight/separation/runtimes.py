"""What runs a graph, as the engines see it: planes in, planes out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from stemlight.shapes import Float32

__all__ = ["RunGraph", "Runtime"]

RunGraph = Callable[
    [Float32[np.ndarray, "batch planes _ _"]], list[Float32[np.ndarray, "batch planes _ _"]]
]
"""An opened graph: takes its one input, returns all of its outputs. May be called by threads."""


@runtime_checkable  # so that the type checks of the tests can ask
class Runtime(Protocol):
    """Opens graphs of one input."""

    @property
    def n_threads(self) -> int:
        """Threads of each run; 0 takes all cores."""

    def __call__(self, graph: Path | bytes) -> RunGraph:
        """Open a file, or the bytes of one.

        Raises:
            WeightsError: it is missing, or no graph that can be run.
        """
