"""The middle of a separation: a mixture at the model's rate in, finished samples of stems out.

One network is one pipeline: cut into windows -> backend -> overlap-add. Several pipelines and what
combines them are a pipeline again. What is around it (resampling, the complement, exact lengths) is
`SeparationStream`'s and knows neither.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from stemlight.chunking import ChunkCutter, ChunkPlan, OverlapAdder
from stemlight.errors import UsageError
from stemlight.separation.backend import Backend
from stemlight.separation.batching import WindowBatcher
from stemlight.separation.layouts import ChannelLayout
from stemlight.shapes import Float32

__all__ = ["BackendMaker", "Pieces", "PipelineMaker", "StemPipeline", "WindowPipeline"]

Pieces = list[Float32[np.ndarray, "sources channels _"]]


@runtime_checkable  # so that the type checks of the tests can ask
class StemPipeline(Protocol):
    """One signal on its way to its stems: in the end, as many samples of each as were pushed.

    How the signal was divided into pushes must change neither the samples nor the pieces in which
    they come; only when they come.
    """

    def push(self, block: Float32[np.ndarray, "channels samples"]) -> Pieces:
        """Take the next samples of the mixture; return what is finished now, in pieces, in order.

        The caller may reuse `block` and owns the pieces.
        """

    def flush(self) -> Pieces:
        """End the signal and return the rest."""


@runtime_checkable
class PipelineMaker(Protocol):
    """What can separate one signal after another: it makes a pipeline for each.

    The attributes are read-only and never change.
    """

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all sources that the pipelines can give."""

    @property
    def sample_rate_hz(self) -> int:
        """The rate of what the pipelines take and give."""

    @property
    def hop_samples(self) -> int:
        """About how many samples a pipeline finishes at once; good to push so many."""

    def pipeline(self, sources: Sequence[str], layout: ChannelLayout) -> StemPipeline:
        """Start a signal of this layout; `sources` are known ones and give the stems' order."""


class BackendMaker:
    """Makes the pipelines of one backend.

    Raises:
        UsageError: the backend is not stereo, or `batch_size` is below one.
    """

    def __init__(self, backend: Backend, chunk_plan: ChunkPlan, *, batch_size: int = 1) -> None:
        if backend.n_channels != 2:
            raise UsageError(
                f"the backend has {backend.n_channels} channels but 2 are needed; "
                "other channel layouts are made of stereo pairs"
            )
        if batch_size < 1:
            raise UsageError(f"batch_size must be at least 1, not {batch_size}")
        self.backend = backend
        self._plan = chunk_plan
        self._batch_size = batch_size

    @property
    def sources(self) -> tuple[str, ...]:
        """See `PipelineMaker`."""
        return self.backend.sources

    @property
    def sample_rate_hz(self) -> int:
        """See `PipelineMaker`."""
        return self.backend.sample_rate_hz

    @property
    def hop_samples(self) -> int:
        """See `PipelineMaker`."""
        return self._plan.hop_samples

    def pipeline(self, sources: Sequence[str], layout: ChannelLayout) -> WindowPipeline:
        """See `PipelineMaker`."""
        batcher = WindowBatcher(self.backend, layout, sources=sources, batch_size=self._batch_size)
        return WindowPipeline(batcher, self._plan, layout.n_channels)


class WindowPipeline:
    """Cuts a signal into the windows of a plan, separates them, and adds them up again.

    It holds less than `latency_samples` of the plan, plus one `hop_samples` for every window that
    waits for its batch to fill.
    """

    def __init__(self, batcher: WindowBatcher, plan: ChunkPlan, n_channels: int) -> None:
        self._batcher = batcher
        self._cutter = ChunkCutter(plan, n_channels)
        self._adder = OverlapAdder(plan)

    def push(self, block: Float32[np.ndarray, "channels samples"]) -> Pieces:
        """See `StemPipeline`."""
        return self._separate(self._cutter.push(block))

    def flush(self) -> Pieces:
        """See `StemPipeline`."""
        self._adder.end_at(self._cutter.n_samples)
        finished = self._separate(self._cutter.flush())
        finished += [self._adder.push(stems) for stems in self._batcher.flush()]
        if self._cutter.n_windows:
            finished.append(self._adder.flush())
        return finished

    def _separate(self, windows: Sequence[Float32[np.ndarray, "channels samples"]]) -> Pieces:
        return [
            self._adder.push(stems) for window in windows for stems in self._batcher.push(window)
        ]
