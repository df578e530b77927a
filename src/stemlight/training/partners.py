"""Parts of songs, and which of them go together: by song, by key and tempo, by level."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from stemlight.shapes import Float32
from stemlight.tracks import ACCOMPANIMENT
from stemlight.training.material import SilentStem, StemSamples, TrackFacts, TrainingTrack
from stemlight.training.mixing_config import StretchConfig
from stemlight.training.stretching import UNPITCHED, Stretch

__all__ = [
    "MatchingParts",
    "Part",
    "Pool",
    "known_parts",
    "pool_of_parts",
    "rest_part",
    "sounding_part",
]

_OTHER = "other"  # holds whatever is no other source, so that nothing is left beside it

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Part:
    """One source of one song."""

    source: str
    stem: StemSamples
    facts: TrackFacts
    level_db: float | None = None  # None: not measured
    weight: float = 1.0  # of its song


@dataclass(frozen=True)
class _Difference:
    """The sum of some stems less that of others."""

    stems: Sequence[StemSamples]
    subtracted: Sequence[StemSamples]

    @property
    def n_samples(self) -> int:
        return min(stem.n_samples for stem in (*self.stems, *self.subtracted))

    def read(self, first: int, n_samples: int) -> Float32[np.ndarray, "2 samples"]:
        total = np.zeros((2, n_samples), np.float32)
        for stem in self.stems:
            total += stem.read(first, n_samples)
        for stem in self.subtracted:
            total -= stem.read(first, n_samples)
        return total


def sounding_part(track: TrainingTrack, source: str) -> Part | None:
    """Return the part that `source` has in a track; None if it has none, or a silent one."""
    if source not in track.stems or isinstance(track.stems[source], SilentStem):
        return None
    levels = track.facts.level_db
    # Whoever measured a track gave a level to each stem that sounds.
    return None if levels and source not in levels else _part(track, source)


def known_parts(track: TrainingTrack, sources: Iterable[str]) -> list[Part]:
    """Return the parts of those of `sources` that are known, silent ones too."""
    return [_part(track, source) for source in sources if source in track.stems]


def rest_part(track: TrainingTrack, others: Collection[str]) -> Part | None:
    """Return what a track holds beside those of `others` that are known; None if nothing."""
    if ACCOMPANIMENT in track.stems:
        return _part(track, ACCOMPANIMENT)
    known = [track.stems[source] for source in others if source in track.stems]
    unasked = [source for source in track.stems if source not in others]
    # A mixture beside all its sources differs from their sum by its mastering alone.
    is_all_known = _OTHER in others and len(known) == len(others)
    if not unasked and (track.mixture is None or is_all_known):
        return None
    if track.mixture is None:
        rest = _Difference([track.stems[source] for source in unasked], [])
    else:
        rest = _Difference([track.mixture], known)
    powers = [10 ** (track.facts.level_db.get(source, -np.inf) / 10) for source in unasked]
    level_db = 10 * float(np.log10(sum(powers))) if sum(powers) else None
    return Part(ACCOMPANIMENT, rest, track.facts, level_db, track.weight)


def _part(track: TrainingTrack, source: str) -> Part:
    level_db = track.facts.level_db.get(source)
    return Part(source, track.stems[source], track.facts, level_db, track.weight)


class Pool(Generic[_Item]):
    """Items that are drawn by their songs' weight and the square root of their length.

    So many short excerpts and few long songs both count; above `max_samples` length no longer
    does.
    """

    def __init__(
        self,
        items: Sequence[_Item],
        parts_of: Callable[[_Item], Sequence[Part]],
        max_samples: float,
    ) -> None:
        self.items = list(items)
        lengths = [min(part.stem.n_samples for part in parts_of(item)) for item in items]
        weights = [parts_of(item)[0].weight for item in items]
        self.weights = np.sqrt(np.minimum(lengths, max_samples)) * np.array(weights)
        self.edges = np.cumsum(self.weights) / np.sum(self.weights)

    def __len__(self) -> int:
        return len(self.items)

    def draw(self, generator: np.random.Generator) -> _Item:
        """Return one item."""
        return self.items[_place(self.edges, generator)]


def pool_of_parts(parts: Sequence[Part], max_samples: float) -> Pool[Part]:
    """Make a pool of parts."""
    return Pool(parts, lambda part: [part], max_samples)


def _place(edges: np.ndarray, generator: np.random.Generator) -> int:
    # A sum of shares may end just below one.
    return min(int(np.searchsorted(edges, generator.random())), len(edges) - 1)


class MatchingParts:
    """Finds parts of other songs that fit a song once they are stretched as far as is allowed."""

    def __init__(self, pools: Iterable[Pool[Part]], limits: StretchConfig) -> None:
        self.limits = limits
        self.pools: dict[str, Pool[Part]] = {}
        self.scales: dict[str, np.ndarray] = {}
        self.tempos: dict[str, np.ndarray] = {}
        for pool in pools:
            source = pool.items[0].source
            facts = [part.facts for part in pool.items]
            self.pools[source] = pool
            self.scales[source] = np.array([_scale(fact.key) for fact in facts])
            self.tempos[source] = np.array([fact.tempo_bpm or np.nan for fact in facts])

    def match(
        self, parts: Sequence[Part], generator: np.random.Generator
    ) -> list[tuple[Part, Stretch]]:
        """Replace all parts but one by such as fit that one, each with what has to be done to it.

        Where none fits, or nothing is known of any song, a part stays as it is.
        """
        matched = [(part, Stretch()) for part in parts]
        anchors = [
            index
            for index, part in enumerate(parts)
            if part.source not in UNPITCHED and part.facts.tempo_bpm and part.facts.key is not None
        ]
        if not anchors:
            return matched
        anchor = anchors[generator.integers(len(anchors))]
        for index, part in enumerate(parts):
            if index != anchor:
                matched[index] = self._fitting(part, parts[anchor].facts, generator)
        return matched

    def _fitting(
        self, part: Part, anchor: TrackFacts, generator: np.random.Generator
    ) -> tuple[Part, Stretch]:
        assert anchor.tempo_bpm, "an anchor has a tempo"
        limits, source, pool = self.limits, part.source, self.pools[part.source]
        # Half and double tempo go together.
        octaves = np.log2(anchor.tempo_bpm / self.tempos[source])
        tempos = 2.0 ** (octaves - np.round(octaves))
        fits = (tempos >= limits.tempo[0]) & (tempos <= limits.tempo[1])
        semitones = np.zeros(len(pool))
        if source not in UNPITCHED:
            semitones = (_scale(anchor.key) - self.scales[source] + 6) % 12 - 6
            fits &= (semitones >= limits.semitones[0]) & (semitones <= limits.semitones[1])
        if not fits.any():
            return part, Stretch()
        index = _place(np.cumsum(pool.weights * fits) / np.sum(pool.weights * fits), generator)
        return pool.items[index], Stretch(float(semitones[index]), float(tempos[index]))


def _scale(key: int | None) -> float:
    """Return the tonic of the major key with the same tones."""
    if key is None:
        return np.nan
    return float(key if key < 12 else (key + 3) % 12)
