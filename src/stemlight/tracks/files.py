"""A track's files and what they sound like together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemlight.audio import read_audio
from stemlight.shapes import Float32

__all__ = [
    "ACCOMPANIMENT",
    "MIXTURE",
    "SoundFile",
    "StemSource",
    "TrackFiles",
    "mixture_and_sources",
]

MIXTURE = "mixture"
ACCOMPANIMENT = "accompaniment"
"""What a mixture holds beside the stems that are known or asked for."""


@dataclass(frozen=True, kw_only=True)
class SoundFile:
    """A file and one of its audio streams."""

    path: Path
    stream: int = 0


@dataclass(frozen=True, kw_only=True)
class StemSource:
    """Where the samples of one stem come from: one file, several that are summed, or none.

    A stem without files is known to be silent.
    """

    files: tuple[SoundFile, ...]

    @property
    def is_known_silent(self) -> bool:
        """Whether somebody said that there is nothing to hear, so that there are no files."""
        return not self.files

    def read(self, sample_rate_hz: int) -> Float32[np.ndarray, "2 samples"]:
        """Read the stem as stereo at `sample_rate_hz`, as long as its longest file.

        What is known to be silent has no samples: how long it is, its track knows.
        """
        parts = [
            read_audio(
                file.path, sample_rate_hz=sample_rate_hz, channels=2, stream=file.stream
            ).samples
            for file in self.files
        ]
        if len(parts) == 1:
            return parts[0]
        total = np.zeros((2, max((part.shape[1] for part in parts), default=0)), np.float32)
        for part in parts:
            total[:, : part.shape[1]] += part
        return total


@dataclass(frozen=True, kw_only=True)
class TrackFiles:
    """A track and those of its stems that are known, by name, known silence included."""

    name: str
    stems: Mapping[str, StemSource]
    mixture: StemSource | None = None  # None: the sum of the stems

    @property
    def sources(self) -> tuple[str, ...]:
        """What `read` gives the truth of: the stems and, with a mixture, the accompaniment."""
        if self.mixture is None or ACCOMPANIMENT in self.stems:
            return tuple(self.stems)
        return (*self.stems, ACCOMPANIMENT)

    def read(
        self, sources: Iterable[str], sample_rate_hz: int
    ) -> tuple[Float32[np.ndarray, "2 samples"], dict[str, Float32[np.ndarray, "2 samples"]]]:
        """Read mixture and asked sources, all of one length: that of the longest stem or mixture.

        The accompaniment is the mixture minus the other asked stems; asked for alone, minus all
        stems that are known. Any other source that the track does not have reads as silence, which
        is the truth where the stems make the mixture; elsewhere see `sources`.
        """
        stems = {name: source.read(sample_rate_hz) for name, source in self.stems.items()}
        mixture = None if self.mixture is None else self.mixture.read(sample_rate_hz)
        return mixture_and_sources(stems, mixture, sources)


def mixture_and_sources(
    stems: Mapping[str, Float32[np.ndarray, "2 _"]],
    mixture: Float32[np.ndarray, "2 _"] | None,
    sources: Iterable[str],
) -> tuple[Float32[np.ndarray, "2 samples"], dict[str, Float32[np.ndarray, "2 samples"]]]:
    """Make of all that a track holds what `TrackFiles.read` returns."""
    asked = list(sources)
    parts = [*stems.values(), *([] if mixture is None else [mixture])]
    n_samples = max(part.shape[1] for part in parts)
    known = {name: _pad(stem, n_samples) for name, stem in stems.items()}
    silence = np.zeros((2, n_samples), np.float32)
    whole = sum(known.values(), silence) if mixture is None else _pad(mixture, n_samples)
    if ACCOMPANIMENT in asked and ACCOMPANIMENT not in known:
        taken = [name for name in asked if name in known] or list(known)
        known[ACCOMPANIMENT] = whole - sum((known[name] for name in taken), silence)
    return whole, {name: known.get(name, silence) for name in asked}


def _pad(samples: Float32[np.ndarray, "2 _"], n_samples: int) -> Float32[np.ndarray, "2 samples"]:
    """Put silence behind the samples, so that there are `n_samples`."""
    n_missing = n_samples - samples.shape[1]
    return np.pad(samples, ((0, 0), (0, n_missing))) if n_missing else samples
