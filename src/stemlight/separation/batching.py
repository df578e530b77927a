"""Runs windows of any channel layout through a backend, in batches of a fixed number of rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stemlight.separation.backend import Backend
from stemlight.separation.layouts import ChannelLayout
from stemlight.shapes import Float32

__all__ = ["WindowBatcher"]


class WindowBatcher:
    """Collects windows until a batch is full, runs it, and gives the separated windows in order.

    A row is one channel group of one window: all groups of a window may share a batch, and a batch
    may hold groups of several windows. Batches are cut at fixed rows, so how the signal was pushed
    cannot change what a backend is given, and only the last batch is shorter.
    """

    def __init__(
        self,
        backend: Backend,
        layout: ChannelLayout,
        *,
        sources: Sequence[str],
        batch_size: int,
    ) -> None:
        self._backend = backend
        self._layout = layout
        self._sources = tuple(sources)
        self._batch_size = batch_size
        self._waiting: list[Float32[np.ndarray, "2 samples"]] = []
        self._separated: list[Float32[np.ndarray, "sources 2 samples"]] = []

    def push(
        self, window: Float32[np.ndarray, "channels samples"]
    ) -> list[Float32[np.ndarray, "sources channels samples"]]:
        """Return the windows that are separated now: none until a batch is full, then several."""
        self._waiting.extend(self._layout.spread(window))
        while len(self._waiting) >= self._batch_size:
            self._run(self._batch_size)
        return self._gather()

    def flush(self) -> list[Float32[np.ndarray, "sources channels samples"]]:
        """Run what waits as a shorter batch and return the last windows."""
        if self._waiting:
            self._run(len(self._waiting))
        return self._gather()

    def _run(self, n_rows: int) -> None:
        mixture = np.stack(self._waiting[:n_rows])
        del self._waiting[:n_rows]
        expected = (n_rows, len(self._sources), *mixture.shape[1:])
        stems = self._backend.separate_chunks(mixture, self._sources)
        assert stems.shape == expected, f"backend gave {stems.shape}, not {expected}"
        assert stems.dtype == np.float32, f"backend gave {stems.dtype}, not float32"
        self._separated.extend(stems)

    def _gather(self) -> list[Float32[np.ndarray, "sources channels samples"]]:
        n_groups = len(self._layout.groups)
        n_rows = len(self._separated) // n_groups * n_groups
        windows = [
            self._layout.gather(self._separated[row : row + n_groups])
            for row in range(0, n_rows, n_groups)
        ]
        del self._separated[:n_rows]
        return windows
