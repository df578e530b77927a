"""Separates whole signals: a stream and what makes its pipelines behind one call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np

from stemlight.audio import Audio, Stems
from stemlight.chunking import ChunkPlan
from stemlight.errors import UsageError
from stemlight.separation.backend import Backend
from stemlight.separation.checks import check_mixture, finite_float32
from stemlight.separation.pipeline import BackendMaker, PipelineMaker
from stemlight.separation.streaming import SeparationStream
from stemlight.shapes import Float32

__all__ = ["Separator"]

_BLOCK_SAMPLES = 1 << 18  # what is pushed at once; any other number gives the same stems


class Separator:
    """A model that is ready to separate.

    `batch_size` is how many windows the backend is given at once (of stereo sound: a window of
    5.1 counts as four). It trades memory for speed where the backend is a GPU, and makes streams
    wait until a batch is full.

    Raises:
        UsageError: the backend is not stereo, or `batch_size` is below one.
    """

    def __init__(self, backend: Backend, chunk_plan: ChunkPlan, *, batch_size: int = 1) -> None:
        self._maker: PipelineMaker = BackendMaker(backend, chunk_plan, batch_size=batch_size)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of all sources that the model can give."""
        return self._maker.sources

    @property
    def sample_rate_hz(self) -> int:
        """The model's sample rate; signals of any other are resampled there and back."""
        return self._maker.sample_rate_hz

    @property
    def maker(self) -> PipelineMaker:
        """What makes the pipelines of the streams: the part that an `Ensemble` combines."""
        return self._maker

    @overload
    def __call__(
        self,
        mixture: Audio,
        *,
        sources: Sequence[str] | None = None,
        sample_rate_hz: int | None = None,
        complement: str | None = None,
    ) -> Stems: ...

    @overload
    def __call__(
        self,
        mixture: np.ndarray,
        *,
        sources: Sequence[str] | None = None,
        sample_rate_hz: int | None = None,
        complement: str | None = None,
    ) -> dict[str, Float32[np.ndarray, "channels samples"]]: ...

    def __call__(
        self,
        mixture: np.ndarray | Audio,
        *,
        sources: Sequence[str] | None = None,
        sample_rate_hz: int | None = None,
        complement: str | None = None,
    ) -> dict[str, Float32[np.ndarray, "channels samples"]] | Stems:
        """Return the asked stems of a whole mixture, each of its shape and sample rate.

        Arguments are those of `stream`; the mixture is floating point of the shape (channels,
        samples), or an `Audio`, which brings its sample rate and makes every stem an `Audio`.

        Raises:
            InputError: a sample is NaN or infinite.
            UsageError: an unknown source, or a mixture of another shape or dtype.
        """
        if isinstance(mixture, Audio):
            if sample_rate_hz not in (None, mixture.sample_rate_hz):
                raise UsageError(
                    f"sample_rate_hz is {sample_rate_hz} but the Audio has "
                    f"{mixture.sample_rate_hz}; leave sample_rate_hz out"
                )
            rate_hz = mixture.sample_rate_hz
            stems = self._separate(
                mixture.samples, self._stream(mixture.samples, sources, rate_hz, complement)
            )
            return Stems({name: Audio(stem, rate_hz) for name, stem in stems.items()})
        return self._separate(mixture, self._stream(mixture, sources, sample_rate_hz, complement))

    def stream(
        self,
        *,
        channels: int,
        sources: Sequence[str] | None = None,
        sample_rate_hz: int | None = None,
        complement: str | None = None,
    ) -> SeparationStream:
        """Return a stream for one signal that arrives in blocks; enter it with `with`.

        `sources` are all that the model has unless named, `sample_rate_hz` is the model's unless
        given. `complement` names one more stem, the mixture minus all asked sources: karaoke is
        `sources=["vocals"], complement="no_vocals"`, for the price of one source.

        Raises:
            UsageError: an unknown or repeated source, a complement that is called like a source,
                or a number of channels or a sample rate that does not exist.
        """
        return SeparationStream(
            self._maker,
            channels=channels,
            sources=sources,
            sample_rate_hz=sample_rate_hz,
            complement=complement,
        )

    def _stream(
        self,
        mixture: np.ndarray,
        sources: Sequence[str] | None,
        sample_rate_hz: int | None,
        complement: str | None,
    ) -> SeparationStream:
        check_mixture(mixture)
        return self.stream(
            channels=mixture.shape[0],
            sources=sources,
            sample_rate_hz=sample_rate_hz,
            complement=complement,
        )

    def _separate(
        self, mixture: np.ndarray, stream: SeparationStream
    ) -> dict[str, Float32[np.ndarray, "channels samples"]]:
        """Push the whole mixture through `stream`; each stem gets an array of its own."""
        n_samples, n_done = mixture.shape[1], 0
        starts = range(0, n_samples, _BLOCK_SAMPLES)
        for first in starts:  # at once, not after minutes of work on what comes before
            block = mixture[:, first : first + _BLOCK_SAMPLES]
            finite_float32(block, first_sample=first, sample_rate_hz=stream.sample_rate_hz)
        stems = {name: np.empty(mixture.shape, np.float32) for name in stream.stems}
        with stream:
            for first in starts:
                block = mixture[:, first : first + _BLOCK_SAMPLES]
                n_done = _store(stream.push(block), stems, n_done)
            n_done = _store(stream.flush(), stems, n_done)
        assert n_done == n_samples, f"{n_samples} samples in, {n_done} out"
        return stems


def _store(
    finished: dict[str, Float32[np.ndarray, "channels samples"]],
    stems: dict[str, Float32[np.ndarray, "channels all_samples"]],
    n_done: int,
) -> int:
    """Write what a stream gave behind what it gave before; return how many samples are done."""
    n_after = n_done
    for name, block in finished.items():
        n_after = n_done + block.shape[1]
        stems[name][:, n_done:n_after] = block
    return n_after
