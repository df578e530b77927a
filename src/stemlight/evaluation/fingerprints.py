"""Hashes of the data that numbers were measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from stemlight.errors import UsageError
from stemlight.evaluation.signals import Samples

__all__ = ["data_hash", "track_hash"]


def track_hash(
    references: Mapping[str, Samples], mixture: Samples | None, sample_rate_hz: int
) -> str:
    """Return a SHA-256 over rate, names, shapes and float32 samples; the order of stems is none.

    Samples are what counts, so another decoder of a lossy format, which rounds otherwise, makes
    other data.
    """
    digest = hashlib.sha256(f"{sample_rate_hz}".encode())
    signals = [*sorted(references.items()), *([] if mixture is None else [("", mixture)])]
    for name, signal in signals:
        digest.update(f"\n{len(name)} {name} {signal.shape}\n".encode())
        for channel in signal:
            digest.update(np.ascontiguousarray(channel, "<f4").data)
    return digest.hexdigest()


def data_hash(track_hashes: Mapping[str, str]) -> str:
    """Return a SHA-256 over the hashes of all tracks by name, in whatever order they come.

    Raises:
        UsageError: There is no track.
    """
    if not track_hashes:
        raise UsageError("there are no tracks, so their data have no hash")
    lines = [f"{len(name)} {name} {value}\n" for name, value in sorted(track_hashes.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
