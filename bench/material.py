"""What the benchmarks separate: real music, repeated to any length."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import stemlight

__all__ = ["EXAMPLE", "music"]

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "feelings.flac"


def music(song: Path, seconds: float) -> tuple[np.ndarray, int]:
    """Read a song and repeat or cut it to `seconds`; return its samples and its sample rate."""
    audio = stemlight.read_audio(song)
    n_samples = round(seconds * audio.sample_rate_hz)
    n_repeats = -(-n_samples // audio.n_samples)
    return np.tile(audio.samples, n_repeats)[:, :n_samples], audio.sample_rate_hz
