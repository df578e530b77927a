"""Separates a signal that arrives in blocks, in memory that does not depend on its length.

block -> resample to the model's rate -> pipeline -> resample back -> stems
      -> wait as long as the stems take -> minus the stems -> complement

The pipeline is one network between cutting and overlap-add, or several and what combines them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

import numpy as np

from stemlight.audio import StreamResampler
from stemlight.errors import UsageError
from stemlight.separation.checks import (
    check_complement,
    check_mixture,
    check_sample_rate,
    check_sources,
    finite_float32,
)
from stemlight.separation.layouts import layout_for
from stemlight.separation.pipeline import PipelineMaker, StemPipeline
from stemlight.separation.queues import SampleQueue
from stemlight.shapes import Float32

__all__ = ["SeparationStream"]

_LEAST_PIECE_SAMPLES = 4096  # below, the calls cost more than the memory they save


class SeparationStream:
    """One signal on its way through a model: blocks in, as many samples of every stem out.

    `Separator.stream` makes it. Stems have the mixture's channel layout, sample rate and time (zero
    lag: sample n of a stem is sample n of the mixture), but arrive later than it, once the windows
    around them are complete; `flush` gives the rest. Entering the stream starts a signal, leaving
    it drops what was not flushed.

    Raises:
        UsageError: an unknown or repeated source, or a number of channels or a sample rate that
            does not exist.
    """

    def __init__(
        self,
        maker: PipelineMaker,
        *,
        channels: int,
        sources: Sequence[str] | None = None,
        sample_rate_hz: int | None = None,
        complement: str | None = None,
    ) -> None:
        self._maker = maker
        self._layout = layout_for(channels)
        self._sources = check_sources(sources, maker.sources)
        self._sample_rate_hz = check_sample_rate(
            maker.sample_rate_hz if sample_rate_hz is None else sample_rate_hz
        )
        check_complement(complement, maker.sources)
        self._complement = complement
        self._state: _State | None = None

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of what `push` and `flush` return: the asked sources, then the complement."""
        return self._sources if self._complement is None else (*self._sources, self._complement)

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the mixture and of every stem."""
        return self._sample_rate_hz

    @property
    def lag_samples(self) -> int:
        """How many samples per channel were pushed and not given back yet: what the stream holds.

        Of one model it stays, at the model's rate, below `latency_samples` of the plan, plus one
        `hop_samples` for every window that waits for its batch to fill; of an `Ensemble` below what
        it says. Resampling there and back adds less than 4096 samples at the lower of the two
        rates.
        """
        return 0 if self._state is None else self._state.n_in - self._state.n_out

    def __enter__(self) -> SeparationStream:
        if self._state is not None:
            raise UsageError("this stream is entered already; make one stream for each signal")
        n_channels, model_rate_hz = self._layout.n_channels, self._maker.sample_rate_hz
        n_stem_channels = len(self._sources) * n_channels
        self._state = _State(
            to_model=StreamResampler(n_channels, self._sample_rate_hz, model_rate_hz),
            pipeline=self._maker.pipeline(self._sources, self._layout),
            from_model=StreamResampler(n_stem_channels, model_rate_hz, self._sample_rate_hz),
            mixture=None if self._complement is None else SampleQueue(n_channels),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._state = None

    def push(self, block: np.ndarray) -> dict[str, Float32[np.ndarray, "channels samples"]]:
        """Take the next samples of the mixture and return the next finished ones of every stem.

        `block` is floating point of the shape (channels, samples), of any length, and may be reused
        by the caller. What returns is often empty, then a window's worth.

        Raises:
            InputError: a sample is NaN or infinite; the block was not taken and the stream is
                as it was.
            UsageError: the block has another shape or dtype, or the stream is not entered,
                was flushed or has failed.
        """
        state = self._ready()
        check_mixture(block)
        if block.shape[0] != self._layout.n_channels:
            raise UsageError(
                f"the block has {block.shape[0]} channels but this stream was made for "
                f"{self._layout.n_channels}; make another with stream(channels={block.shape[0]})"
            )
        samples = finite_float32(
            block, first_sample=state.n_in, sample_rate_hz=self._sample_rate_hz
        )
        # A long block goes in pieces of about one hop, so that only its results are held whole.
        hop_seconds = self._maker.hop_samples / self._maker.sample_rate_hz
        n_piece = max(_LEAST_PIECE_SAMPLES, int(hop_seconds * self._sample_rate_hz))
        state.phase = "failed"  # unless the end is reached: half a block may have gone in
        pieces = [
            self._advance(state, samples[:, first : first + n_piece])
            for first in range(0, max(1, samples.shape[1]), n_piece)
        ]
        state.phase = "open"
        return self._named(pieces)

    def flush(self) -> dict[str, Float32[np.ndarray, "channels samples"]]:
        """End the signal and return the rest: in all, as many samples as were pushed.

        Raises:
            UsageError: the stream is not entered, was flushed already or has failed.
        """
        state = self._ready()
        state.phase = "failed"  # unless the end is reached
        finished = state.pipeline.push(state.to_model.flush()) + state.pipeline.flush()
        resampled = [self._resample(state, finished), self._unflatten(state.from_model.flush())]
        rest = np.concatenate(resampled, axis=-1)
        # Both resamplers round the length up, so there may be a sample too many, never too few.
        n_rest = state.n_in - state.n_out
        assert rest.shape[-1] >= n_rest, f"{n_rest - rest.shape[-1]} samples were lost"
        stems = self._give(state, rest[..., :n_rest])
        state.phase = "flushed"
        return self._named([stems])

    def _ready(self) -> _State:
        """Return the state if it can take samples."""
        if self._state is None:
            raise UsageError("this stream is not entered; use `with separator.stream(...) as ...:`")
        if self._state.phase == "flushed":
            raise UsageError("this stream was flushed and takes no more; make a new one")
        if self._state.phase == "failed":
            raise UsageError("this stream failed earlier and its stems end there; make a new one")
        return self._state

    def _advance(
        self, state: _State, block: Float32[np.ndarray, "channels samples"]
    ) -> Float32[np.ndarray, "stems channels given_samples"]:
        state.n_in += block.shape[1]
        if state.mixture is not None:
            state.mixture.push(block)
        finished = state.pipeline.push(state.to_model.push(block))
        return self._give(state, self._resample(state, finished))

    def _resample(
        self, state: _State, finished: Sequence[Float32[np.ndarray, "sources channels _"]]
    ) -> Float32[np.ndarray, "sources channels samples"]:
        """Bring finished samples back to the mixture's rate, all sources in one resampler."""
        n_flat = len(self._sources) * self._layout.n_channels
        # Piece by piece, so that how the mixture was pushed cannot change what a resampler sees.
        flat = [state.from_model.push(stems.reshape(n_flat, stems.shape[-1])) for stems in finished]
        if not flat:
            return self._unflatten(np.empty((n_flat, 0), np.float32))
        return self._unflatten(flat[0] if len(flat) == 1 else np.concatenate(flat, axis=-1))

    def _unflatten(
        self, flat: Float32[np.ndarray, "flat samples"]
    ) -> Float32[np.ndarray, "sources channels samples"]:
        return flat.reshape(len(self._sources), self._layout.n_channels, flat.shape[-1])

    def _give(
        self, state: _State, stems: Float32[np.ndarray, "sources channels samples"]
    ) -> Float32[np.ndarray, "stems channels samples"]:
        """Count what goes out, and add the complement: the same samples of the mixture, less it."""
        state.n_out += stems.shape[-1]
        assert state.n_out <= state.n_in, f"{state.n_out} samples out of {state.n_in}"
        if state.mixture is None:
            return stems
        rest = state.mixture.pop(stems.shape[-1])
        for stem in stems:
            rest -= stem
        return np.concatenate([stems, rest[np.newaxis]])

    def _named(
        self, pieces: Sequence[Float32[np.ndarray, "stems channels _"]]
    ) -> dict[str, Float32[np.ndarray, "channels samples"]]:
        stems = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=-1)
        return dict(zip(self.stems, stems, strict=True))


@dataclass
class _State:
    """All that a stream remembers between two pushes."""

    to_model: StreamResampler
    pipeline: StemPipeline
    from_model: StreamResampler
    mixture: SampleQueue | None
    n_in: int = 0
    n_out: int = 0
    phase: Literal["open", "flushed", "failed"] = "open"
