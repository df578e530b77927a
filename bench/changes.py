"""How well a model separates music that was changed: louder, lower, slower, in a room, coded.

    python -m bench.changes --tracks MUSDB18_7S/train [--model stemlight]

Mean SDR in dB over the fourteen validation tracks of MUSDB18. All stems are changed alike (drums
keep their pitch), and the mixture is their sum, but for MP3, which codes the mixture alone. What is
changed is also easier or harder in itself, so small differences mean nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

import stemlight
from stemlight.evaluation import Scores, score_track
from stemlight.tracks import find_tracks
from stemlight.training.coding import code_mp3
from stemlight.training.effects import change_speed, equalise, reverberate
from stemlight.training.stretching import Stretch, stretch

NAMES = Path("recipes/musdb18-validation.txt")

Stems = Mapping[str, np.ndarray]
Change = Callable[[str, np.ndarray, np.random.Generator], np.ndarray]
"""Takes a stem's name, its samples and random numbers."""


def changes(sample_rate_hz: int) -> dict[str, Change]:
    """Return all changes of stems by name."""

    def stretched(name: str, stem: np.ndarray, _: object, *, by: Stretch) -> np.ndarray:
        return stretch(stem, sample_rate_hz, by.of_source(name))

    def scaled(name: str, stem: np.ndarray, _: object, *, gain_db: float) -> np.ndarray:
        return stem * np.float32(10 ** (gain_db / 20))

    def faster(name: str, stem: np.ndarray, _: object, *, speed: float) -> np.ndarray:
        return change_speed(stem, speed)

    def equalised(
        name: str, stem: np.ndarray, generator: np.random.Generator, *, max_gain_db: float
    ) -> np.ndarray:
        return equalise(stem, sample_rate_hz, max_gain_db, generator)

    def in_a_room(name: str, stem: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return reverberate(stem, sample_rate_hz, 1.0, -10.0, generator)

    return {
        "none": lambda name, stem, _: stem,
        **{f"level {db:+d} dB": partial(scaled, gain_db=db) for db in (-12, -6, 6, 12)},
        **{f"pitch {n:+d} semitones": partial(stretched, by=Stretch(n, 1.0)) for n in (-2, 2)},
        **{f"tempo {tempo}": partial(stretched, by=Stretch(0.0, tempo)) for tempo in (0.8, 1.2)},
        **{f"speed {speed}": partial(faster, speed=speed) for speed in (0.9, 1.1)},
        **{f"EQ of {db} dB": partial(equalised, max_gain_db=float(db)) for db in (6, 12)},
        "a room of 1 s at -10 dB": in_a_room,
        "channels swapped": lambda name, stem, _: stem[::-1],
    }


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tracks", type=Path, required=True)
    parser.add_argument("--model", default="stemlight")
    arguments = parser.parse_args()
    separator = stemlight.load(arguments.model)
    rate_hz, sources = separator.sample_rate_hz, separator.sources
    names = NAMES.read_text(encoding="utf-8").splitlines()
    tracks = [t for t in find_tracks(arguments.tracks, sources=sources) if t.name in names]
    songs = [track.read(sources, rate_hz)[1] for track in tracks]

    def tell(name: str, change: Change, code: Callable[[np.ndarray], np.ndarray]) -> None:
        scores = []
        for number, song in enumerate(songs):
            generator = np.random.default_rng(number)
            stems = {
                source: np.ascontiguousarray(change(source, stem, generator), np.float32)
                for source, stem in song.items()
            }
            mixture = code(np.stack(list(stems.values())).sum(axis=0))
            scores.append(score_track(str(number), stems, separator(mixture)))
        result = Scores(tracks=scores)
        cells = [f"{result.mean_sdr_db[source]:.2f}" for source in sources]
        print(f"| {' | '.join([name, *cells, f'{result.average_sdr_db:.2f}'])} |", flush=True)

    print(f"| change | {' | '.join(sources)} | average |")
    print("|---" * (len(sources) + 2) + "|")
    every = changes(rate_hz)
    for name, change in every.items():
        tell(name, change, lambda mixture: mixture)
    for rate_kbps in (64, 128, 192):
        code = partial(code_mp3, sample_rate_hz=rate_hz, bit_rate_kbps=rate_kbps)
        tell(f"MP3 of {rate_kbps} kbit/s", every["none"], code)


if __name__ == "__main__":
    main()
