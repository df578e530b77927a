"""The default engine: ONNX Runtime for the network, NumPy and SciPy for the transforms."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stemlight.separation.sessions import open_session
from stemlight.shapes import Float32
from stemlight.stft import Stft

__all__ = ["OnnxEngine"]


class OnnxEngine:
    """Runs a spectrogram network stored as one graph.

    The graph's inputs are `planes` `(batch, planes, frames, bins)` and `sources` `(sources,)`,
    positions in the model's list of sources; its output is
    `(batch, sources, planes, frames, bins)`. What is common to all sources runs once.
    """

    def __init__(
        self,
        graph: Path,
        *,
        stft: Stft,
        sources: Sequence[str],
        sample_rate_hz: int,
        output_gain: float = 1.0,
        keeps_silence: bool = False,
        n_threads: int = 0,
    ) -> None:
        """Load the graph; `n_threads` 0 lets ONNX Runtime take all cores.

        `keeps_silence` says that the estimates are shares of the mixture (masks or gains), so that
        digital silence stays what it is: such windows are not run.

        Raises:
            WeightsError: the file is missing or no graph that ONNX Runtime can run.
        """
        self.stft = stft
        self.sources = tuple(sources)
        self.sample_rate_hz = sample_rate_hz
        self.output_gain = np.float32(output_gain)
        self.keeps_silence = keeps_silence
        self.n_channels = 2
        self.session = open_session(graph, n_threads=n_threads)

    def separate_chunks(
        self, mixture: Float32[np.ndarray, "batch channels samples"], sources: Sequence[str]
    ) -> Float32[np.ndarray, "batch sources channels samples"]:
        """Separate windows; see `stemlight.separation.Backend`."""
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
        wanted = np.array([self.sources.index(name) for name in sources], np.int64)
        planes, phase = self.stft.analyse(mixture)
        (estimates,) = self.session.run(["estimates"], {"planes": planes, "sources": wanted})
        n_batch, n_sources = estimates.shape[:2]
        if phase is not None:
            phase = np.repeat(phase, n_sources, axis=0)
        samples = self.stft.inverse(
            estimates.reshape(n_batch * n_sources, *estimates.shape[2:]), phase
        )
        if self.output_gain != 1:
            samples *= self.output_gain
        return samples.reshape(n_batch, n_sources, *samples.shape[1:])
