"""What a recipe says about mixing: which stems meet, and what is done to them."""

from __future__ import annotations

from dataclasses import dataclass, field

from stemlight.errors import ConfigError
from stemlight.training.coding import BIT_RATES_KBPS

__all__ = ["CodingConfig", "EqConfig", "MixingConfig", "ReverbConfig", "StretchConfig"]


@dataclass(frozen=True, kw_only=True)
class StretchConfig:
    """Pitch and tempo, each moved without the other.

    Stems of one song all get the same change, except that drums keep their pitch, here as anywhere.
    """

    pitch_share: float = 0.0  # share of stems, or of mixtures of one song
    tempo_share: float = 0.0
    semitones: tuple[float, float] = (-2.0, 2.0)
    tempo: tuple[float, float] = (0.8, 1.2)  # above 1 is faster

    def __post_init__(self) -> None:
        _check_shares("stretch", self, "pitch_share", "tempo_share")
        _check_range("stretch.semitones", self.semitones, (-12, 12))
        _check_range("stretch.tempo", self.tempo, (0.5, 2))


@dataclass(frozen=True, kw_only=True)
class EqConfig:
    """A shelf and one or two bells, each by up to `max_gain_db` up or down; loudness stays."""

    share: float = 0.0
    max_gain_db: float = 6.0

    def __post_init__(self) -> None:
        _check_shares("eq", self, "share")
        if not 0 <= self.max_gain_db <= 24:
            raise ConfigError(f"mixing.eq.max_gain_db must lie in 0..24, not {self.max_gain_db}")


@dataclass(frozen=True, kw_only=True)
class ReverbConfig:
    """A room whose sound is so many dB below the stem's own; it belongs to the stem."""

    share: float = 0.0
    wet_db: tuple[float, float] = (-20.0, -6.0)
    decay_seconds: tuple[float, float] = (0.2, 1.2)  # to fall by 60 dB

    def __post_init__(self) -> None:
        _check_shares("reverb", self, "share")
        _check_range("reverb.wet_db", self.wet_db, (-60, 20))
        _check_range("reverb.decay_seconds", self.decay_seconds, (0.05, 10))


@dataclass(frozen=True, kw_only=True)
class CodingConfig:
    """MP3: a share of mixtures is coded, their stems are not."""

    share: float = 0.0
    bit_rates_kbps: tuple[int, ...] = (64, 96, 128, 192, 256, 320)

    def __post_init__(self) -> None:
        _check_shares("coding", self, "share")
        wrong = [rate for rate in self.bit_rates_kbps if rate not in BIT_RATES_KBPS]
        if wrong or not self.bit_rates_kbps:
            allowed = ", ".join(map(str, BIT_RATES_KBPS))
            raise ConfigError(
                f"mixing.coding.bit_rates_kbps must be some of {allowed}, "
                f"not {list(self.bit_rates_kbps)}"
            )


@dataclass(frozen=True, kw_only=True)
class MixingConfig:
    """How stems become training mixtures.

    A mixture is made of the stems of one song, of a song of which only some stems are known and
    whatever else it holds, or, the rest, of stems of different songs. Then come pitch and tempo,
    speed, EQ, reverb, gain, channel swap, polarity, silence, the sum and its gain, full scale and
    coding.

    Source: section 2.7 of the papers' recipes (stems of independent songs); gain, polarity and
    channel swap as is usual for small data; speed changes pitch and tempo together.
    """

    also_mixed: tuple[str, ...] = ()
    """Sources that every mixture holds though the model is not asked for them."""
    same_song_share: float = 0.3  # share of mixtures whose stems play together in their song
    partial_share: float = 0.0  # share of mixtures of songs of which not all stems are known
    matched_share: float = 0.0  # share of the rest whose songs are brought to one key and tempo
    balanced_share: float = 0.0  # share of the rest whose stems are as loud as those of some song
    speed_share: float = 0.0  # share of stems that are played faster or slower
    speed_range: tuple[float, float] = (0.88, 1.14)
    speed_of_songs: bool = False
    """Play the stems of one song equally fast, so that they stay together; if not, each by itself,
    as earlier versions did."""
    stretch: StretchConfig = field(default_factory=StretchConfig)
    eq: EqConfig = field(default_factory=EqConfig)
    reverb: ReverbConfig = field(default_factory=ReverbConfig)
    gain_db: tuple[float, float] = (-6.0, 4.0)
    channel_swap_share: float = 0.5
    polarity_share: float = 0.5
    silenced_share: float = 0.0  # share of mixtures one known source of which is made silent
    mixture_gain_db: tuple[float, float] = (0.0, 0.0)  # of mixture and stems together
    full_scale: bool = False  # turn down mixtures that exceed full scale, as records do not
    coding: CodingConfig = field(default_factory=CodingConfig)

    def __post_init__(self) -> None:
        _check_shares(
            "",
            self,
            "same_song_share",
            "partial_share",
            "matched_share",
            "balanced_share",
            "speed_share",
            "channel_swap_share",
            "polarity_share",
            "silenced_share",
        )
        if self.same_song_share + self.partial_share > 1:
            raise ConfigError(
                "mixing.same_song_share and mixing.partial_share must not exceed 1 together, "
                f"not {self.same_song_share} + {self.partial_share}"
            )
        _check_range("speed_range", self.speed_range, (0.25, 4))
        _check_range("gain_db", self.gain_db, (-60, 60))
        _check_range("mixture_gain_db", self.mixture_gain_db, (-60, 60))


def _check_shares(where: str, config: object, *names: str) -> None:
    for name in names:
        share = getattr(config, name)
        if not 0 <= share <= 1:
            path = ".".join(filter(None, ("mixing", where, name)))
            raise ConfigError(f"{path} must lie in 0..1, not {share}")


def _check_range(name: str, given: tuple[float, float], allowed: tuple[float, float]) -> None:
    """Check that the lower end comes first and both lie in what is allowed."""
    if not allowed[0] <= given[0] <= given[1] <= allowed[1]:
        raise ConfigError(
            f"mixing.{name} needs its lower end first and both ends in {allowed[0]}..{allowed[1]}, "
            f"not {given[0]} and {given[1]}"
        )
