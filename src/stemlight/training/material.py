"""What training is made of: tracks whose samples can be read anywhere, and examples of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from stemlight.shapes import Bool, Float, Float32
from stemlight.tracks import mixture_and_sources

__all__ = [
    "ArrayStem",
    "SilentStem",
    "StemSamples",
    "TrackFacts",
    "TrainingExample",
    "TrainingTrack",
]


@runtime_checkable  # so that the type checks of the tests can ask
class StemSamples(Protocol):
    """The stereo samples of one stem, wherever they lie."""

    @property
    def n_samples(self) -> int:
        """Its length."""

    def read(self, first: int, n_samples: int) -> Float32[np.ndarray, "2 samples"]:
        """Return samples that the caller may change; all of them must exist."""


@dataclass(frozen=True)
class ArrayStem:
    """A stem in memory."""

    samples: Float32[np.ndarray, "2 samples"]

    @property
    def n_samples(self) -> int:
        """See `StemSamples`."""
        return int(self.samples.shape[1])

    def read(self, first: int, n_samples: int) -> Float32[np.ndarray, "2 samples"]:
        """See `StemSamples`."""
        return np.array(self.samples[:, first : first + n_samples], np.float32)


@dataclass(frozen=True)
class SilentStem:
    """A stem of which it is known that there is nothing to hear."""

    n_samples: int

    def read(self, first: int, n_samples: int) -> Float32[np.ndarray, "2 samples"]:
        """See `StemSamples`."""
        return np.zeros((2, n_samples), np.float32)


@dataclass(frozen=True, kw_only=True)
class TrackFacts:
    """What was measured of a track's music; None where nothing could be told."""

    tempo_bpm: float | None = None
    key: int | None = None  # pitch class of the tonic, 0 is C; plus 12 in minor
    level_db: Mapping[str, float] = field(default_factory=dict)
    """Level of each stem where it sounds, in dB of full scale."""


@dataclass(frozen=True, kw_only=True)
class TrainingTrack:
    """A track and those of its sources that are known.

    A source in `stems` is known; one that is known to be silent is a `SilentStem` there. Nothing is
    known of any other source: a `mixture` of its own may hold it. Without one, the mixture is the
    sum of the stems, and what is not among them is not in it.
    """

    name: str
    stems: Mapping[str, StemSamples]
    mixture: StemSamples | None = None
    facts: TrackFacts = field(default_factory=TrackFacts)
    weight: float = 1.0
    """How many times as often it is drawn as another track of its length."""
    from_step: int = 0
    """The step of a run that it is first drawn for."""

    @property
    def n_samples(self) -> int:
        """Length up to which every part has samples."""
        parts = [*self.stems.values(), *([] if self.mixture is None else [self.mixture])]
        return min(part.n_samples for part in parts)

    def read(
        self, sources: Iterable[str]
    ) -> tuple[Float32[np.ndarray, "2 samples"], dict[str, Float32[np.ndarray, "2 samples"]]]:
        """Read all of its mixture and the asked sources, as `TrackFiles.read` does."""
        stems = {name: stem.read(0, stem.n_samples) for name, stem in self.stems.items()}
        own = self.mixture
        mixture = None if own is None else own.read(0, own.n_samples)
        return mixture_and_sources(stems, mixture, sources)


class TrainingExample(NamedTuple):
    """One mixture and its sources, or, collated, a batch of them with one axis more in front."""

    mixture: Float[Tensor, "*batch channels samples"]
    stems: Float[Tensor, "*batch sources channels samples"]
    """Zeros where a source is not known."""
    known: Bool[Tensor, "*batch sources"]
    """Whether the truth of a source is known; what is not known enters no loss."""
