"""A piece of sound that knows its sample rate."""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from stemlight.audio.players import player_html
from stemlight.audio.writing import AudioWriter
from stemlight.errors import UsageError
from stemlight.shapes import Float32

__all__ = ["Audio"]


# Equality of arrays is an array, so the generated `==` would raise; identity is what is left.
@dataclass(frozen=True, eq=False)
class Audio:
    """Sound of any number of channels in memory; a notebook shows it as a player.

    Raises:
        UsageError: the samples are no float32 array of two dimensions, or the rate is below 1 Hz.
    """

    samples: Float32[np.ndarray, "channels samples"]
    """Float32 (channels, samples); full scale is -1 to 1, values beyond are kept."""
    sample_rate_hz: int

    def __post_init__(self) -> None:
        samples = self.samples
        if not isinstance(samples, np.ndarray) or samples.ndim != 2 or samples.dtype != np.float32:
            came = f"{getattr(samples, 'dtype', type(samples).__name__)}"
            raise UsageError(
                f"samples must be a float32 array of the shape (channels, samples), not {came} "
                f"of the shape {np.shape(samples)}"
            )
        if self.sample_rate_hz < 1:
            raise UsageError(f"sample_rate_hz must be at least 1, not {self.sample_rate_hz}")

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return int(self.samples.shape[0])

    @property
    def n_samples(self) -> int:
        """Number of samples of each channel."""
        return int(self.samples.shape[1])

    @property
    def duration_seconds(self) -> float:
        """Length in seconds."""
        return self.n_samples / self.sample_rate_hz

    def __repr__(self) -> str:
        return (
            f"Audio({self.n_channels} x {self.n_samples} samples at {self.sample_rate_hz} Hz, "
            f"{self.duration_seconds:.2f} s)"
        )

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        bit_depth: str | None = None,
        bit_rate_kbps: int | None = None,
        overwrite: bool = True,
    ) -> int:
        """Write a file whose suffix chooses its format; the arguments are those of `AudioWriter`.

        Returns how many samples lay outside [-1, 1) and were clipped, which only formats of whole
        numbers do; `bit_depth="float"` keeps them.

        Raises:
            OutputError: the file cannot be written.
            UsageError: the format is unknown or cannot hold this sound.
        """
        with AudioWriter(
            path,
            sample_rate_hz=self.sample_rate_hz,
            n_channels=self.n_channels,
            bit_depth=bit_depth,
            bit_rate_kbps=bit_rate_kbps,
            overwrite=overwrite,
        ) as writer:
            writer.write(self.samples)
        return writer.n_clipped

    def to_html(self, *, title: str = "") -> str:
        """Return a waveform of all of it and a player of its first 30 seconds, as HTML.

        Everything is inside; the sound is MP3, or WAV where MP3 cannot hold it.
        """
        return player_html(self.samples, self.sample_rate_hz, title=title)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return self.to_html()
