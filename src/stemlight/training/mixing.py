"""Random mixtures: stems of different songs, at random starts, augmented and summed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from stemlight.errors import ConfigError
from stemlight.shapes import Float32
from stemlight.training.material import StemSamples, TrainingExample, TrainingTrack

__all__ = ["MixingConfig", "RandomMixtures", "StepSampler"]

_MAX_WEIGHTED_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class MixingConfig:
    """How stems become training mixtures.

    Source: section 2.7 of the papers' recipes (stems of independent songs); gain, polarity and
    channel swap as is usual for small data; speed changes pitch and tempo together.
    """

    same_song_share: float = 0.3  # share of mixtures whose stems play together in their song
    gain_db: tuple[float, float] = (-6.0, 4.0)
    channel_swap_share: float = 0.5
    polarity_share: float = 0.5
    speed_share: float = 0.0  # share of stems that are played faster or slower
    speed_range: tuple[float, float] = (0.88, 1.14)


class RandomMixtures(Dataset[TrainingExample]):
    """An endless list of random mixtures.

    Item `i` depends on the seed and `i` alone, so that a resumed run sees what it would have seen.
    A long song is drawn more often than a short one, by the square root of its length (up to a
    minute), so that many short excerpts and few long songs both count.
    """

    def __init__(
        self,
        tracks: Sequence[TrainingTrack],
        sources: Sequence[str],
        *,
        n_samples: int,
        sample_rate_hz: int,
        config: MixingConfig,
        seed: int,
    ) -> None:
        self.sources = list(sources)
        self.n_samples = n_samples
        self.config = config
        self.seed = seed
        # Speed reads up to this much more than it returns.
        self.reach_samples = n_samples
        if config.speed_share > 0:
            self.reach_samples = int(np.ceil(n_samples * max(config.speed_range))) + 1
        weigh = _Weights(_MAX_WEIGHTED_SECONDS * sample_rate_hz)
        self.pools = {}
        for source in self.sources:
            stems = [track.stems[source] for track in tracks if source in track.stems]
            self.pools[source] = weigh.pool([s for s in stems if s.n_samples > self.reach_samples])
            if not len(self.pools[source]):
                raise ConfigError(
                    f"no track has more than {self.reach_samples} samples of {source!r}; "
                    "add tracks or make train_frames smaller"
                )
        whole = [
            track
            for track in tracks
            if all(source in track.stems for source in self.sources)
            and track.n_samples > self.reach_samples
        ]
        self.whole_tracks = weigh.pool([[t.stems[s] for s in self.sources] for t in whole])
        if config.same_song_share > 0 and not len(self.whole_tracks):
            raise ConfigError(
                "same_song_share needs tracks that have all of "
                f"{', '.join(self.sources)}; set it to 0 or add such tracks"
            )

    def __getitem__(self, index: int) -> TrainingExample:
        """Return mixture number `index`."""
        generator = np.random.default_rng((self.seed, index))
        if generator.random() < self.config.same_song_share:
            stems = self.whole_tracks.draw(generator)
            start = self._start(generator, min(stem.n_samples for stem in stems))
            cuts = [(stem, start) for stem in stems]
        else:
            stems = [self.pools[source].draw(generator) for source in self.sources]
            cuts = [(stem, self._start(generator, stem.n_samples)) for stem in stems]
        stems = np.stack([self._augment(generator, *cut) for cut in cuts])
        return TrainingExample(
            mixture=torch.from_numpy(stems.sum(axis=0)),
            stems=torch.from_numpy(stems),
            known=torch.ones(len(self.sources), dtype=torch.bool),
        )

    def _start(self, generator: np.random.Generator, n_available: int) -> int:
        return int(generator.integers(0, n_available - self.reach_samples))

    def _augment(
        self, generator: np.random.Generator, stem: StemSamples, start: int
    ) -> Float32[np.ndarray, "2 samples"]:
        config = self.config
        gain = 10 ** (generator.uniform(*config.gain_db) / 20)
        if generator.random() < config.polarity_share:
            gain = -gain
        swap = generator.random() < config.channel_swap_share
        speed = generator.uniform(*config.speed_range)
        if generator.random() < config.speed_share:
            excerpt = _change_speed(stem.read(start, self.reach_samples), speed)
        else:
            excerpt = stem.read(start, self.n_samples)
        excerpt = excerpt[:, : self.n_samples]
        return np.multiply(excerpt[::-1] if swap else excerpt, np.float32(gain), dtype=np.float32)


class _Pool:
    """Items that are drawn with given probabilities."""

    def __init__(self, items: list, weights: np.ndarray) -> None:  # type: ignore[type-arg]
        self.items = items
        self.edges = np.cumsum(weights) / np.sum(weights)

    def __len__(self) -> int:
        return len(self.items)

    def draw(self, generator: np.random.Generator):  # type: ignore[no-untyped-def]
        # A sum of shares may end just below one.
        index = int(np.searchsorted(self.edges, generator.random()))
        return self.items[min(index, len(self) - 1)]


class _Weights:
    """Turns lengths into probabilities."""

    def __init__(self, max_samples: float) -> None:
        self.max_samples = max_samples

    def pool(self, items: list) -> _Pool:  # type: ignore[type-arg]
        """Weigh each stem, or list of stems, by the root of its length."""
        lengths = [
            min(s.n_samples for s in i) if isinstance(i, list) else i.n_samples for i in items
        ]
        return _Pool(items, np.sqrt(np.minimum(lengths, self.max_samples)))


def _change_speed(stem: np.ndarray, speed: float) -> np.ndarray:
    """Play faster (more than 1) or slower, which moves pitch and tempo together."""
    import soxr  # training alone needs it here

    # A quick filter is enough: the error is far below what the network could learn.
    played = soxr.resample(np.ascontiguousarray(stem.T), speed, 1.0, quality="MQ")
    return np.asarray(played, np.float32).T


class StepSampler(Sampler[int]):
    """Item numbers from `first` on, `n_items` of them: where a resumed epoch has to start."""

    def __init__(self, first: int, n_items: int) -> None:
        self.first = first
        self.n_items = n_items

    def __len__(self) -> int:
        return self.n_items

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.first + self.n_items))
