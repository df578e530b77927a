"""A track's files and what they sound like together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemlight.audio import read_audio
from stemlight.shapes import Float32

__all__ = ["ACCOMPANIMENT", "MIXTURE", "SoundFile", "StemSource", "TrackFiles"]

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
    """Where the samples of one stem come from: one file, or several that are summed."""

    files: tuple[SoundFile, ...]

    def read(self, sample_rate_hz: int) -> Float32[np.ndarray, "2 samples"]:
        """Read the stem as stereo at `sample_rate_hz`, as long as its longest file."""
        parts = [
            read_audio(
                file.path, sample_rate_hz=sample_rate_hz, channels=2, stream=file.stream
            ).samples
            for file in self.files
        ]
        if len(parts) == 1:
            return parts[0]
        total = np.zeros((2, max(part.shape[1] for part in parts)), np.float32)
        for part in parts:
            total[:, : part.shape[1]] += part
        return total


@dataclass(frozen=True, kw_only=True)
class TrackFiles:
    """A track and those of its stems that are known, by name."""

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
        stems that are known. Any other source that the track does not have is silent.
        """
        asked = list(sources)
        stems = {name: source.read(sample_rate_hz) for name, source in self.stems.items()}
        mixture = None if self.mixture is None else self.mixture.read(sample_rate_hz)
        n_samples = max(stem.shape[1] for stem in stems.values())
        if mixture is not None:
            n_samples = max(n_samples, mixture.shape[1])
        padded = {name: _pad(stem, n_samples) for name, stem in stems.items()}
        silence = np.zeros((2, n_samples), np.float32)
        mixture = sum(padded.values(), silence) if mixture is None else _pad(mixture, n_samples)
        if ACCOMPANIMENT in asked and ACCOMPANIMENT not in padded:
            taken = [name for name in asked if name in padded] or list(padded)
            padded[ACCOMPANIMENT] = mixture - sum((padded[name] for name in taken), silence)
        return mixture, {name: padded.get(name, silence) for name in asked}


def _pad(samples: Float32[np.ndarray, "2 samples"], n_samples: int) -> np.ndarray:
    return np.pad(samples, ((0, 0), (0, n_samples - samples.shape[1])))
