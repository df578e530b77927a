"""Kinds of music: what is drawn how often in each of them."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GENRES", "Genre"]

Weights = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Genre:
    """What songs of one kind have in common; all weights are relative."""

    weight: float
    tempo_bpm: tuple[float, float]
    modes: Weights
    drums: Weights  # families of grooves
    kits: Weights  # recorded, electronic, font, samples
    bass_styles: Weights
    bass_sounds: Weights
    parts: Weights  # roles of what plays besides, from `stemlight.synthesis.parts`
    vocals: Weights  # sung, rap, shout, hum
    n_parts: tuple[int, int] = (2, 5)
    colour: float = 0.15
    swing_chance: float = 0.1
    looseness: float = 0.6  # how unlike a machine it is played


_ROCK_BASS: Weights = {"finger": 3, "pick": 4, "fretless": 0.3, "fuzz": 1.0}
_SYNTH_BASS: Weights = {"synth": 4, "sub": 2, "fm": 1}

GENRES: dict[str, Genre] = {
    "rock": Genre(
        weight=20, tempo_bpm=(85, 165),
        modes={"major": 4, "minor": 4, "mixolydian": 2, "dorian": 1},
        drums={"rock": 8, "pop": 1, "halftime": 1, "punk": 0.5},
        kits={"recorded": 6, "font": 4},
        bass_styles={"eighths": 6, "root-fifth": 1, "syncopated": 2, "riff": 2, "sustained": 0.5},
        bass_sounds=_ROCK_BASS,
        parts={"power": 5, "crunch": 4, "clean": 2, "lead-guitar": 3, "acoustic": 1, "organ": 1,
               "piano": 1, "strings": 0.5, "pad": 0.4},
        vocals={"sung": 9, "shout": 1},
    ),
    "metal": Genre(
        weight=9, tempo_bpm=(90, 180), modes={"minor": 4, "phrygian": 3, "harmonic-minor": 2},
        drums={"metal": 8, "rock": 1, "halftime": 1},
        kits={"recorded": 6, "font": 4},
        bass_styles={"sixteenths": 4, "eighths": 3, "riff": 3},
        bass_sounds={"pick": 6, "fuzz": 3},
        parts={"power": 10, "crunch": 3, "lead-guitar": 5, "strings": 0.7, "pad": 0.7},
        vocals={"sung": 4, "shout": 5}, n_parts=(2, 4), colour=0.03,
    ),
    "punk": Genre(
        weight=4, tempo_bpm=(140, 180), modes={"major": 5, "minor": 3},
        drums={"punk": 7, "rock": 2}, kits={"recorded": 6, "font": 4},
        bass_styles={"eighths": 8, "quarters": 1}, bass_sounds={"pick": 6, "fuzz": 2},
        parts={"power": 8, "crunch": 6, "lead-guitar": 2}, vocals={"sung": 5, "shout": 4},
        n_parts=(1, 3), colour=0.0,
    ),
    "indie": Genre(
        weight=12, tempo_bpm=(75, 150),
        modes={"major": 6, "minor": 3, "dorian": 1, "mixolydian": 1},
        drums={"pop": 4, "rock": 4, "ballad": 1, "house": 0.5},
        kits={"recorded": 6, "font": 3, "electronic": 1, "samples": 0.7},
        bass_styles={"eighths": 3, "root-fifth": 2, "syncopated": 2, "octaves": 1, "sustained": 1},
        bass_sounds={**_ROCK_BASS, "synth": 1},
        parts={"clean": 5, "acoustic": 4, "crunch": 2, "piano": 2, "organ": 1.5, "pad": 1.5,
               "strings": 1, "lead-guitar": 1.5, "bells": 1, "synth-lead": 1, "epiano": 1},
        vocals={"sung": 9, "hum": 1}, colour=0.25,
    ),
    "pop": Genre(
        weight=14, tempo_bpm=(80, 132), modes={"major": 6, "minor": 4},
        drums={"pop": 6, "house": 2, "hiphop": 1, "ballad": 1},
        kits={"electronic": 4, "samples": 2, "font": 3, "recorded": 3},
        bass_styles={"eighths": 3, "syncopated": 3, "octaves": 2, "offbeat": 1, "sustained": 2},
        bass_sounds={**_SYNTH_BASS, "finger": 2, "pick": 1},
        parts={"piano": 3, "pad": 3, "pluck": 3, "clean": 2, "acoustic": 2, "strings": 2,
               "synth-lead": 2, "arp": 2, "bells": 1, "epiano": 1, "stabs": 1, "brass": 0.5},
        vocals={"sung": 10, "rap": 0.7}, n_parts=(3, 6), colour=0.2, looseness=0.35,
    ),
    "electronic": Genre(
        weight=10, tempo_bpm=(110, 140), modes={"minor": 6, "major": 3, "dorian": 2},
        drums={"house": 5, "techno": 5, "halftime": 0.5, "breaks": 1},
        kits={"electronic": 6, "samples": 3, "font": 1},
        bass_styles={"offbeat": 5, "sixteenths": 2, "octaves": 2, "eighths": 2, "syncopated": 2,
                     "dotted": 1},
        bass_sounds=_SYNTH_BASS,
        parts={"pad": 4, "arp": 4, "pluck": 4, "synth-lead": 4, "stabs": 3, "bells": 1,
               "strings": 0.5, "piano": 1, "effects": 2},
        vocals={"sung": 6, "hum": 2, "rap": 0.7}, n_parts=(3, 6), looseness=0.1,
    ),
    "drum-and-bass": Genre(
        weight=4, tempo_bpm=(160, 178), modes={"minor": 6, "dorian": 2, "phrygian": 1},
        drums={"breaks": 8, "halftime": 1},
        kits={"samples": 3, "electronic": 3, "recorded": 2, "font": 1},
        bass_styles={"sustained": 3, "dotted": 3, "syncopated": 3, "offbeat": 1},
        bass_sounds=_SYNTH_BASS,
        parts={"pad": 5, "arp": 2, "pluck": 2, "bells": 1.5, "synth-lead": 2, "effects": 2,
               "epiano": 1},
        vocals={"sung": 5, "rap": 2, "hum": 2}, colour=0.4, looseness=0.2,
    ),
    "hip-hop": Genre(
        weight=9, tempo_bpm=(70, 105), modes={"minor": 6, "dorian": 2, "phrygian": 1, "major": 1},
        drums={"hiphop": 6, "trap": 2, "breaks": 1},
        kits={"electronic": 4, "samples": 4, "font": 2, "recorded": 2},
        bass_styles={"dotted": 4, "syncopated": 4, "sustained": 2, "root-fifth": 1},
        bass_sounds={"sub": 4, "synth": 2, "finger": 2, "fretless": 0.5},
        parts={"epiano": 3, "piano": 3, "strings": 2, "bells": 2, "pad": 2, "pluck": 2, "clean": 1,
               "brass": 1.5, "effects": 1.5, "organ": 1},
        vocals={"rap": 8, "sung": 3}, n_parts=(1, 4), colour=0.4, swing_chance=0.5, looseness=0.3,
    ),
    "trap": Genre(
        weight=4, tempo_bpm=(65, 80), modes={"minor": 6, "phrygian": 3, "harmonic-minor": 2},
        drums={"trap": 9}, kits={"electronic": 6, "samples": 2, "font": 1},
        bass_styles={"dotted": 5, "sustained": 3, "syncopated": 1},
        bass_sounds={"sub": 8, "synth": 1},
        parts={"bells": 4, "pad": 3, "pluck": 3, "piano": 2, "synth-lead": 2, "strings": 1.5,
               "effects": 1.5},
        vocals={"rap": 6, "sung": 4}, n_parts=(1, 4), looseness=0.15,
    ),
    "funk": Genre(
        weight=6, tempo_bpm=(92, 124), modes={"dorian": 5, "mixolydian": 4, "minor": 2},
        drums={"funk": 8, "pop": 1, "house": 1}, kits={"recorded": 6, "font": 4},
        bass_styles={"funk": 8, "octaves": 2, "syncopated": 2},
        bass_sounds={"slap": 4, "finger": 5, "synth": 1},
        parts={"funk-guitar": 6, "brass": 4, "organ": 3, "epiano": 4, "clean": 2, "strings": 1.5,
               "synth-lead": 1, "piano": 1},
        vocals={"sung": 8, "rap": 1}, n_parts=(2, 5), colour=0.6, swing_chance=0.3,
    ),
    "ballad": Genre(
        weight=6, tempo_bpm=(60, 88), modes={"major": 6, "minor": 4},
        drums={"ballad": 8, "pop": 1}, kits={"recorded": 5, "font": 4, "electronic": 1},
        bass_styles={"sustained": 5, "root-fifth": 3, "quarters": 2, "walking": 0.5},
        bass_sounds={"finger": 5, "fretless": 2, "upright": 1, "synth": 1},
        parts={"piano": 6, "acoustic": 4, "strings": 4, "pad": 3, "epiano": 2, "clean": 2,
               "organ": 1, "lead-guitar": 0.7, "woodwind": 1},
        vocals={"sung": 10}, colour=0.4,
    ),
    "reggae": Genre(
        weight=3, tempo_bpm=(65, 90), modes={"minor": 4, "major": 4, "dorian": 1},
        drums={"reggae": 9}, kits={"recorded": 5, "font": 5},
        bass_styles={"reggae": 8, "dotted": 2}, bass_sounds={"finger": 6, "sub": 1},
        parts={"skank": 8, "organ": 4, "brass": 2, "clean": 2, "piano": 2},
        vocals={"sung": 8, "rap": 1.5}, n_parts=(2, 4), swing_chance=0.4,
    ),
    "latin": Genre(
        weight=3, tempo_bpm=(88, 125), modes={"minor": 5, "harmonic-minor": 2, "major": 3},
        drums={"latin": 9}, kits={"recorded": 3, "font": 4, "electronic": 2, "samples": 1},
        bass_styles={"dotted": 4, "syncopated": 4, "root-fifth": 2},
        bass_sounds={"finger": 5, "upright": 2, "synth": 2},
        parts={"piano": 5, "acoustic": 5, "brass": 4, "strings": 1, "pluck": 1, "woodwind": 1},
        vocals={"sung": 8, "rap": 2}, colour=0.3,
    ),
    "synthwave": Genre(
        weight=4, tempo_bpm=(80, 125), modes={"minor": 6, "dorian": 2, "major": 2},
        drums={"pop": 5, "house": 3, "rock": 2}, kits={"electronic": 7, "font": 2, "samples": 1},
        bass_styles={"eighths": 4, "sixteenths": 4, "octaves": 4}, bass_sounds=_SYNTH_BASS,
        parts={"arp": 4, "pad": 5, "synth-lead": 4, "pluck": 2, "bells": 2, "lead-guitar": 1},
        vocals={"sung": 9, "hum": 1}, n_parts=(3, 5), looseness=0.1,
    ),
    "jazz": Genre(
        weight=2, tempo_bpm=(80, 165), modes={"dorian": 4, "major": 4},
        drums={"ballad": 3, "funk": 2, "pop": 2}, kits={"recorded": 4, "font": 6},
        bass_styles={"walking": 6, "root-fifth": 2, "syncopated": 2},
        bass_sounds={"upright": 6, "fretless": 2, "finger": 2},
        parts={"piano": 6, "clean": 4, "brass": 3, "woodwind": 3, "organ": 2, "epiano": 2},
        vocals={"sung": 9, "hum": 1}, n_parts=(1, 4), colour=0.95, swing_chance=0.8,
    ),
}  # fmt: skip
