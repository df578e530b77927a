"""What is done to one part of a mixture on its way from the song to the sum."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stemlight.shapes import Float32
from stemlight.training.effects import change_speed, equalise, reverberate
from stemlight.training.mixing_config import MixingConfig
from stemlight.training.partners import Part
from stemlight.training.stretching import (
    Stretch,
    load_stretcher,
    stretch,
    stretcher_margin_samples,
)

__all__ = ["Augmentation", "Change", "Draws"]

_FIRST_STREAM = 1000  # apart from what else may count on from the seed and the item
_EFFECTS = ("stretch", "eq", "reverb", "matching", "balance", "silence", "coding", "speed", "gain")


class Draws:
    """The random numbers of one mixture, a stream for each effect.

    So an effect that is switched on leaves the settings of the others as they are, and what it is
    worth can be measured on mixtures that are the same but for it.
    """

    def __init__(self, seed: int, index: int) -> None:
        self._key = (seed, index)
        self._streams: dict[str, np.random.Generator] = {}
        self.songs = np.random.default_rng(self._key)

    def __getitem__(self, effect: str) -> np.random.Generator:
        if effect not in self._streams:
            number = _FIRST_STREAM + _EFFECTS.index(effect)
            self._streams[effect] = np.random.default_rng((*self._key, number))
        return self._streams[effect]


class Change(NamedTuple):
    """What is done to a part because of the others that it is mixed with."""

    stretch: Stretch
    speed: float | None = None  # None: it is drawn for the part alone
    level_db: float = 0.0


class Augmentation:
    """Reads an excerpt of a part and does what the configuration says."""

    def __init__(self, config: MixingConfig, *, n_samples: int, sample_rate_hz: int) -> None:
        self.config = config
        self.n_samples = n_samples
        self.sample_rate_hz = sample_rate_hz
        # Speed reads up to this much more than it returns.
        self.speed_samples = n_samples
        if config.speed_share > 0:
            self.speed_samples = int(np.ceil(n_samples * max(config.speed_range))) + 1
        self.margin_samples = 0
        self.reach_samples = self.speed_samples
        limits = config.stretch
        if limits.pitch_share or limits.tempo_share or config.matched_share:
            load_stretcher()  # before the first step, not in the midst of a run
            fastest = Stretch(tempo=max(1.0, limits.tempo[1]))
            self.margin_samples = stretcher_margin_samples(sample_rate_hz)
            self.reach_samples = fastest.input_samples(self.speed_samples) + 2 * self.margin_samples

    def draw_stretch(self, draws: Draws) -> Stretch:
        """Return a random change of pitch and tempo, often none."""
        limits, generator = self.config.stretch, draws["stretch"]
        semitones, tempo = generator.uniform(*limits.semitones), generator.uniform(*limits.tempo)
        return Stretch(
            semitones if generator.random() < limits.pitch_share else 0.0,
            tempo if generator.random() < limits.tempo_share else 1.0,
        )

    def draw_song_change(self, draws: Draws) -> Change:
        """Return what is done to all parts of a song."""
        config, generator = self.config, draws["speed"]
        speed = None
        if config.speed_of_songs:
            is_drawn = generator.random() < config.speed_share
            speed = generator.uniform(*config.speed_range) if is_drawn else 1.0
        return Change(self.draw_stretch(draws), speed)

    def excerpt(
        self, part: Part, start: int, change: Change, draws: Draws
    ) -> Float32[np.ndarray, "2 samples"]:
        """Return `n_samples` of a part; `start` needs `reach_samples` behind it."""
        config, songs = self.config, draws.songs
        gain = 10 ** ((songs.uniform(*config.gain_db) + change.level_db) / 20)
        if songs.random() < config.polarity_share:
            gain = -gain
        swap = songs.random() < config.channel_swap_share
        speed = songs.uniform(*config.speed_range)
        if songs.random() >= config.speed_share:
            speed = 1.0
        if change.speed is not None:
            speed = change.speed
        if speed == 1:
            excerpt = self._stretched(part, start, self.n_samples, change.stretch)
        else:
            excerpt = self._stretched(part, start, self.speed_samples, change.stretch)
            excerpt = change_speed(excerpt, speed)[:, : self.n_samples]
        excerpt = self._in_a_studio(excerpt, draws)
        return np.multiply(excerpt[::-1] if swap else excerpt, np.float32(gain), dtype=np.float32)

    def _stretched(
        self, part: Part, start: int, n_samples: int, change: Stretch
    ) -> Float32[np.ndarray, "2 samples"]:
        change, margin = change.of_source(part.source), self.margin_samples
        if change.is_identity:
            return part.stem.read(start + margin, n_samples)
        n_read = change.input_samples(n_samples) + 2 * margin
        stretched = stretch(part.stem.read(start, n_read), self.sample_rate_hz, change)
        first = round(margin / change.tempo)
        return stretched[:, first : first + n_samples]

    def _in_a_studio(
        self, excerpt: Float32[np.ndarray, "2 samples"], draws: Draws
    ) -> Float32[np.ndarray, "2 samples"]:
        eq, reverb, rate_hz = self.config.eq, self.config.reverb, self.sample_rate_hz
        if draws["eq"].random() < eq.share:
            excerpt = equalise(excerpt, rate_hz, eq.max_gain_db, draws["eq"])
        if draws["reverb"].random() < reverb.share:
            decay_seconds = draws["reverb"].uniform(*reverb.decay_seconds)
            wet_db = draws["reverb"].uniform(*reverb.wet_db)
            excerpt = reverberate(excerpt, rate_hz, decay_seconds, wet_db, draws["reverb"])
        return excerpt
