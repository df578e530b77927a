"""Random mixtures: stems of one song or of different ones, augmented and summed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset

from stemlight.errors import ConfigError
from stemlight.shapes import Float32
from stemlight.tracks import ACCOMPANIMENT
from stemlight.training.augmentation import Augmentation, Change, Draws
from stemlight.training.coding import SAMPLE_RATES_HZ, code_mp3
from stemlight.training.material import TrainingExample, TrainingTrack
from stemlight.training.mixing_config import MixingConfig
from stemlight.training.partners import (
    MatchingParts,
    Part,
    Pool,
    known_parts,
    pool_of_parts,
    rest_part,
    sounding_part,
)

__all__ = ["MixingConfig", "RandomMixtures"]

_Song = list[Part]
_Cut = tuple[Part, int, Change]  # a part, the sample that it starts with, what is done to it

_MAX_WEIGHTED_SECONDS = 60.0
_MAX_LEVEL_CHANGE_DB = 12.0  # beyond, noise would become a stem


class RandomMixtures(Dataset[TrainingExample]):
    """An endless list of random mixtures.

    Item `i` depends on the seed and `i` alone, so that a resumed run sees what it would have seen,
    and any number of workers makes the same batches. A long song is drawn more often than a short
    one, by the square root of its length (up to a minute).

    Raises:
        ConfigError: the tracks cannot serve what the configuration asks for.
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
        self.sample_rate_hz = sample_rate_hz
        self.config = config
        self.seed = seed
        self.augmentation = Augmentation(config, n_samples=n_samples, sample_rate_hz=sample_rate_hz)
        self.reach_samples = self.augmentation.reach_samples
        if config.coding.share and sample_rate_hz not in SAMPLE_RATES_HZ:
            raise ConfigError(
                f"mixing.coding needs a sample rate of {', '.join(map(str, SAMPLE_RATES_HZ))} Hz, "
                f"not {sample_rate_hz}; set mixing.coding.share to 0"
            )
        self._max_weighted = _MAX_WEIGHTED_SECONDS * sample_rate_hz
        self.others = [s for s in (*self.sources, *config.also_mixed) if s != ACCOMPANIMENT]
        self.pools = self._make_pools(tracks)
        self.whole_songs, self.partial_songs = self._make_songs(tracks)
        self.matching = MatchingParts(self.pools.values(), config.stretch)
        self.balances = self._balances()

    def _make_pools(self, tracks: Sequence[TrainingTrack]) -> dict[str, Pool[Part]]:
        """Make a pool for each source of a mixture of different songs."""
        wanted = dict.fromkeys((*self.sources, *self.config.also_mixed))
        if len(wanted) == 1:
            raise ConfigError(
                f"a mixture of {self.sources[0]} alone teaches nothing; set mixing.also_mixed to "
                "what it is to be separated from, for example [drums, bass, other]"
            )
        pools = {}
        for source in wanted:
            if source == ACCOMPANIMENT:
                found = [self._whole_rest(track) for track in tracks]
            else:
                found = [sounding_part(track, source) for track in tracks]
            parts = [part for part in found if part and self._is_long_enough([part])]
            if parts:
                pools[source] = pool_of_parts(parts, self._max_weighted)
            # Nothing may be left of any song beside the other sources.
            elif source != ACCOMPANIMENT or len(self.others) == 1:
                raise ConfigError(
                    f"no track has more than {self.reach_samples} samples of {source!r}; "
                    "add tracks or make train_frames smaller"
                )
        return pools

    def _make_songs(self, tracks: Sequence[TrainingTrack]) -> tuple[Pool[_Song], Pool[_Song]]:
        """Return the songs that have all sources of a mixture, and those that have some."""
        whole: list[_Song] = []
        partial: list[_Song] = []
        for track in tracks:
            parts, rest = known_parts(track, self.others), rest_part(track, self.others)
            has_all = len(parts) == len(self.others)
            if has_all and ACCOMPANIMENT not in self.pools:
                whole.append(parts)
            elif has_all and rest:
                whole.append([*parts, rest])
            elif rest and any(part.source in self.sources for part in parts):
                partial.append([*parts, rest])
        whole, partial = (
            [parts for parts in songs if self._is_long_enough(parts)] for songs in (whole, partial)
        )
        if self.config.same_song_share > 0 and not whole:
            raise ConfigError(
                f"same_song_share needs tracks that have all of {', '.join(self.pools)}; "
                "set it to 0 or add such tracks"
            )
        if self.config.partial_share > 0 and not partial:
            raise ConfigError(
                "partial_share needs tracks with a mixture of their own and some, not all, of "
                f"{', '.join(self.pools)}; set it to 0 or add such tracks"
            )
        longest = self._max_weighted
        return Pool(whole, _itself, longest), Pool(partial, _itself, longest)

    def _whole_rest(self, track: TrainingTrack) -> Part | None:
        """Return the rest of a track if it is known to hold none of the other sources."""
        is_whole = len(known_parts(track, self.others)) == len(self.others)
        return rest_part(track, self.others) if is_whole else None

    def _is_long_enough(self, parts: Sequence[Part]) -> bool:
        return _length(parts) > self.reach_samples

    def _balances(self) -> list[Mapping[str, float]]:
        """Return the levels of the stems of each song that has all of them."""
        songs: list[Mapping[str, float]] = [
            {part.source: part.level_db for part in parts if part.level_db is not None}
            for parts in self.whole_songs.items
        ]
        balances = [song for song in songs if len(song) > 1]
        if self.config.balanced_share > 0 and not balances:
            raise ConfigError(
                "balanced_share needs tracks with all sources whose levels were measured; "
                "set it to 0 or add such tracks"
            )
        return balances

    def __getitem__(self, index: int) -> TrainingExample:
        """Return mixture number `index`."""
        config, draws = self.config, Draws(self.seed, index)
        kind = draws.songs.random()
        if kind < config.same_song_share:
            cuts = self._one_song(self.whole_songs, draws)
        elif kind < config.same_song_share + config.partial_share:
            cuts = self._one_song(self.partial_songs, draws)
        else:
            cuts = self._different_songs(draws)
        excerpts = {cut[0].source: self.augmentation.excerpt(*cut, draws) for cut in cuts}
        if draws["silence"].random() < config.silenced_share:
            known = [source for source in excerpts if source in self.sources]
            if known:  # not where the accompaniment is made of sources that nobody asked for
                excerpts[known[draws["silence"].integers(len(known))]][:] = 0
        return self._example(excerpts, draws)

    def _one_song(self, songs: Pool[_Song], draws: Draws) -> list[_Cut]:
        parts = songs.draw(draws.songs)
        start = self._start(draws, _length(parts))
        change = self.augmentation.draw_song_change(draws)
        return [(part, start, change) for part in parts]

    def _different_songs(self, draws: Draws) -> list[_Cut]:
        parts = [pool.draw(draws.songs) for pool in self.pools.values()]
        if draws["matching"].random() < self.config.matched_share:
            matched = self.matching.match(parts, draws["matching"])
            changes = [(part, Change(stretch, speed=1.0)) for part, stretch in matched]
        else:
            changes = [(part, Change(self.augmentation.draw_stretch(draws))) for part in parts]
        balance: Mapping[str, float] = {}
        if draws["balance"].random() < self.config.balanced_share:
            balance = self.balances[draws["balance"].integers(len(self.balances))]
        return [
            (
                part,
                self._start(draws, part.stem.n_samples),
                change._replace(level_db=_level_change_db(part, balance)),
            )
            for part, change in changes
        ]

    def _start(self, draws: Draws, n_available: int) -> int:
        return int(draws.songs.integers(0, n_available - self.reach_samples))

    def _example(
        self, excerpts: Mapping[str, Float32[np.ndarray, "2 samples"]], draws: Draws
    ) -> TrainingExample:
        mixture = np.stack([*excerpts.values()]).sum(axis=0)
        stems = np.zeros((len(self.sources), *mixture.shape), np.float32)
        known = np.ones(len(self.sources), bool)
        for index, source in enumerate(self.sources):
            if source == ACCOMPANIMENT:
                for name, excerpt in excerpts.items():
                    if name == ACCOMPANIMENT or name not in self.sources:
                        stems[index] += excerpt
            elif source in excerpts:
                stems[index] = excerpts[source]
            else:
                known[index] = False
        factor = 10 ** (draws["gain"].uniform(*self.config.mixture_gain_db) / 20)
        if self.config.full_scale:
            factor /= max(1.0, factor * float(np.abs(mixture).max()))
        mixture *= factor
        stems *= factor
        coding = self.config.coding
        if draws["coding"].random() < coding.share:
            bit_rate_kbps = coding.bit_rates_kbps[
                draws["coding"].integers(len(coding.bit_rates_kbps))
            ]
            mixture = code_mp3(mixture, self.sample_rate_hz, bit_rate_kbps)
        return TrainingExample(
            mixture=torch.from_numpy(mixture),
            stems=torch.from_numpy(stems),
            known=torch.from_numpy(known),
        )


def _itself(song: _Song) -> _Song:
    return song


def _length(parts: Sequence[Part]) -> int:
    return min(part.stem.n_samples for part in parts)


def _level_change_db(part: Part, balance: Mapping[str, float]) -> float:
    """Return what brings a part to its level in a song with this balance."""
    if part.level_db is None or part.source not in balance:
        return 0.0
    change = balance[part.source] - part.level_db
    return float(np.clip(change, -_MAX_LEVEL_CHANGE_DB, _MAX_LEVEL_CHANGE_DB))
