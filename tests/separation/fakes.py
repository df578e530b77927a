"""Backends whose answers are known, at the real protocol."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SOURCES = ("vocals", "drums", "bass", "other")


class GainBackend:
    """Answers known multiples of the mixture."""

    n_channels = 2

    def __init__(self, gains: dict[str, float], sample_rate_hz: int = 8000) -> None:
        self.sources = tuple(gains)
        self.sample_rate_hz = sample_rate_hz
        self._gains = gains

    def separate_chunks(self, mixture: np.ndarray, sources: Sequence[str]) -> np.ndarray:
        gains = np.array([self._gains[source] for source in sources], np.float32)
        return mixture[:, np.newaxis] * gains[:, np.newaxis, np.newaxis]


class IdentityBackend(GainBackend):
    """Answers the mixture itself, in the mixture's own memory."""

    def __init__(self, sample_rate_hz: int = 8000) -> None:
        super().__init__({"all": 1.0}, sample_rate_hz)

    def separate_chunks(self, mixture: np.ndarray, sources: Sequence[str]) -> np.ndarray:
        return mixture[:, np.newaxis]


class WindowBackend(GainBackend):
    """Answers by what the whole window holds, so that cutting, order and fades all matter."""

    def __init__(self, sample_rate_hz: int = 8000) -> None:
        super().__init__(dict(zip(SOURCES, (1.0, -0.5, 0.25, 2.0), strict=True)), sample_rate_hz)

    def separate_chunks(self, mixture: np.ndarray, sources: Sequence[str]) -> np.ndarray:
        level = np.abs(mixture).max(axis=(1, 2), keepdims=True)
        return super().separate_chunks(mixture * level + level, sources)


class RecordingBackend(GainBackend):
    """Answers like `GainBackend` and keeps every batch it was given."""

    def __init__(self, sample_rate_hz: int = 8000) -> None:
        super().__init__(dict.fromkeys(SOURCES, 1.0), sample_rate_hz)
        self.batches: list[np.ndarray] = []
        self.asked: list[tuple[str, ...]] = []

    def separate_chunks(self, mixture: np.ndarray, sources: Sequence[str]) -> np.ndarray:
        self.batches.append(mixture.copy())
        self.asked.append(tuple(sources))
        assert mixture.dtype == np.float32
        assert mixture.flags.c_contiguous
        return super().separate_chunks(mixture, sources)


class FailingBackend(IdentityBackend):
    """Runs out of memory at its second window."""

    n_calls = 0

    def separate_chunks(self, mixture: np.ndarray, sources: Sequence[str]) -> np.ndarray:
        self.n_calls += 1
        if self.n_calls == 2:
            raise MemoryError("no memory for the second window")
        return super().separate_chunks(mixture, sources)


def noise(n_channels: int, n_samples: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.uniform(-1, 1, (n_channels, n_samples)).astype(np.float32)
