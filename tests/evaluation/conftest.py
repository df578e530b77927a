"""Excerpts of real music."""

from __future__ import annotations

import pytest

from stemlight.evaluation import rounded_to_16_bits
from stemlight.tracks import VALIDATION_TRACKS, find_tracks

from .signals import STEMS


@pytest.fixture(scope="session")
def excerpt(shared):
    """Give `excerpt(number, seconds)`: a mixture and references, of 16 bits unless as decoded."""
    tracks = {
        track.name: track for track in find_tracks(shared("data/musdb18-7s/train"), sources=STEMS)
    }

    def read(number, seconds, as_decoded=False):
        mixture, references = tracks[VALIDATION_TRACKS[number]].read(STEMS, 44_100)
        span = slice(int(seconds * 44_100))
        cut = {name: signal[:, span] for name, signal in references.items()}
        if not as_decoded:
            cut = {name: rounded_to_16_bits(signal) for name, signal in cut.items()}
        return mixture[:, span], cut

    return read
