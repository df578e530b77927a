"""The engine of graphs: a runtime for the network, NumPy and SciPy for the transforms."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stemlight.errors import WeightsError
from stemlight.separation.graph_parts import graph_part, output_names
from stemlight.separation.runtimes import RunGraph, Runtime
from stemlight.separation.sessions import OnnxRuntime
from stemlight.shapes import Float32
from stemlight.stft import Stft

__all__ = ["OnnxEngine", "output_of"]

_N_OPEN = 4  # sets of sources whose networks are kept ready: those asked last


def output_of(source: str) -> str:
    """Return the name of a source's output, which nothing else in a graph is called."""
    return f"estimate_{source}"


class OnnxEngine:
    """Runs a spectrogram network stored as one graph.

    The graph's input is `planes` `(batch, planes, frames, bins)`; its outputs, one for each source
    (see `output_of`), have the same shape. What several sources need is in the graph once. The
    part of the graph that gives some sources is opened when these are first asked for.
    """

    # Seven parameters, one more than the house allows: the graph tells none of them.
    def __init__(
        self,
        graph: Path,
        *,
        stft: Stft,
        sources: Sequence[str],
        sample_rate_hz: int,
        output_gain: float = 1.0,
        keeps_silence: bool = False,
        runtime: Runtime | None = None,
    ) -> None:
        """Look at the graph; without a `runtime`, ONNX Runtime runs it on all cores.

        `keeps_silence` says that the estimates are shares of the mixture (masks or gains), so that
        digital silence stays what it is: such windows are not run.

        Raises:
            WeightsError: the file is missing, no graph, or gives other sources.
        """
        self.graph = graph
        self.stft = stft
        self.sources = tuple(sources)
        self.sample_rate_hz = sample_rate_hz
        self.output_gain = np.float32(output_gain)
        self.keeps_silence = keeps_silence
        self.n_channels = 2
        self.runtime: Runtime = runtime or OnnxRuntime()
        self._outputs = output_names(graph)
        expected = list(map(output_of, self.sources))
        if sorted(self._outputs) != sorted(expected):
            raise WeightsError(
                f"{graph} gives {', '.join(self._outputs)}, not {', '.join(expected)}; "
                "export the model again"
            )
        self._opened: OrderedDict[frozenset[str], RunGraph] = OrderedDict()
        self._opening = threading.Lock()

    def separate_chunks(
        self, mixture: Float32[np.ndarray, "batch channels samples"], sources: Sequence[str]
    ) -> Float32[np.ndarray, "batch sources channels samples"]:
        """Separate windows; see `stemlight.separation.Backend`.

        Raises:
            WeightsError: the runtime cannot run the graph; found when sources are first asked for.
        """
        if not self.keeps_silence:
            return self._run(mixture, sources)
        sounds = mixture.any(axis=(1, 2))
        if sounds.all():
            return self._run(mixture, sources)
        n_batch, n_channels, n_samples = mixture.shape
        stems = np.zeros((n_batch, len(sources), n_channels, n_samples), np.float32)
        if sounds.any():
            stems[sounds] = self._run(mixture[sounds], sources)
        return stems

    def _run(
        self, mixture: Float32[np.ndarray, "batch channels samples"], sources: Sequence[str]
    ) -> Float32[np.ndarray, "batch sources channels samples"]:
        network, names = self._network(sources)
        planes, phase = self.stft.analyse(mixture)
        estimates = dict(zip(names, network(planes), strict=True))
        n_batch, n_channels, n_samples = mixture.shape
        stems = np.empty((n_batch, len(sources), n_channels, n_samples), np.float32)
        for index, source in enumerate(sources):
            stems[:, index] = self.stft.inverse(estimates[output_of(source)], phase)
        if self.output_gain != 1:
            stems *= self.output_gain
        return stems

    def _network(self, sources: Sequence[str]) -> tuple[RunGraph, list[str]]:
        """Return what runs these sources alone, and the order in which it gives them."""
        wanted = {output_of(source) for source in sources}
        names = [name for name in self._outputs if name in wanted]
        asked = frozenset(names)
        with self._opening:
            network = self._opened.get(asked)
            if network is None:
                alone = len(names) < len(self._outputs)
                network = self.runtime(graph_part(self.graph, names) if alone else self.graph)
                self._opened[asked] = network
            self._opened.move_to_end(asked)
            while len(self._opened) > _N_OPEN:
                self._opened.popitem(last=False)
        return network, names
