"""What augmentation costs: seconds of stereo per CPU second, of each effect and of whole mixtures.

    OMP_NUM_THREADS=1 python -m bench.augmentation [--seconds 3] [--runs 20]

The material is noise, coloured and pulsed, at 44.1 kHz; a mixture has four stems. One thread works,
as in a worker of a training run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from scipy import signal

from bench.machine import describe_machine
from stemlight.configs import from_mapping
from stemlight.training.coding import code_mp3
from stemlight.training.effects import change_speed, equalise, reverberate
from stemlight.training.facts import measure_facts
from stemlight.training.material import ArrayStem, TrackFacts, TrainingTrack
from stemlight.training.mixing import MixingConfig, RandomMixtures
from stemlight.training.stretching import Stretch, stretch

RATE_HZ = 44_100
SOURCES = ("vocals", "drums", "bass", "other")
N_SONGS, SONG_SECONDS = 8, 30.0

RECOMMENDED: Mapping[str, Any] = {
    "same_song_share": 0.3,
    "matched_share": 0.2,
    "balanced_share": 0.3,
    "speed_share": 0.15,
    "speed_of_songs": True,
    "stretch": {"pitch_share": 0.2, "tempo_share": 0.15},
    "eq": {"share": 0.3},
    "reverb": {"share": 0.1},
    "silenced_share": 0.05,
    "mixture_gain_db": [-9, 3],
    "full_scale": True,
    "coding": {"share": 0.15},
}
"""What docs/training.md recommends for little real music."""

CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "gain, polarity, swap": {},
    "+ speed of every fourth stem": {"speed_share": 0.25},
    "+ pitch of every stem": {"stretch": {"pitch_share": 1}},
    "+ pitch and tempo of every stem": {"stretch": {"pitch_share": 1, "tempo_share": 1}},
    "+ one key and tempo, always": {"same_song_share": 0, "matched_share": 1},
    "+ the balance of a song, always": {"same_song_share": 0, "balanced_share": 1},
    "+ EQ of every stem": {"eq": {"share": 1}},
    "+ reverb of every stem": {"reverb": {"share": 1}},
    "+ MP3 of every mixture": {"coding": {"share": 1}},
    "recommended": RECOMMENDED,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a mixture")
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    print("\n".join(describe_machine()), end="\n\n")
    print_effects(arguments.seconds, arguments.runs)
    print_mixtures(arguments.seconds, arguments.runs)


def print_effects(seconds: float, n_runs: int) -> None:
    """Print a table of the effects, each by itself."""
    samples = music(seconds, seed=0)
    generator = np.random.default_rng(0)
    effects: dict[str, Callable[[], object]] = {
        "pitch": lambda: stretch(samples, RATE_HZ, Stretch(semitones=1.5)),
        "tempo": lambda: stretch(samples, RATE_HZ, Stretch(tempo=0.9)),
        "pitch and tempo": lambda: stretch(samples, RATE_HZ, Stretch(semitones=1.5, tempo=0.9)),
        "speed": lambda: change_speed(samples, 0.9),
        "EQ": lambda: equalise(samples, RATE_HZ, 6.0, generator),
        "reverb": lambda: reverberate(samples, RATE_HZ, 0.7, -12.0, generator),
        "MP3": lambda: code_mp3(samples, RATE_HZ, 128),
        "facts of a track": lambda: measure_facts(samples, {"vocals": samples}, RATE_HZ),
    }
    print("| effect | seconds of stereo per CPU second | CPU seconds |\n|---|---|---|")
    for name, run in effects.items():
        cpu_seconds = cost(lambda _, run=run: run(), n_runs)  # type: ignore[misc]
        print(f"| {name} | {seconds / cpu_seconds:.0f} | {cpu_seconds:.4f} |")


def print_mixtures(seconds: float, n_runs: int) -> None:
    """Print a table of whole mixtures."""
    tracks = songs()
    print("\n| mixture | seconds of mixture per CPU second | CPU seconds |\n|---|---|---|")
    for name, fields in CONFIGS.items():
        mixtures = RandomMixtures(
            tracks,
            SOURCES,
            n_samples=round(seconds * RATE_HZ),
            sample_rate_hz=RATE_HZ,
            config=from_mapping(MixingConfig, fields),
            seed=0,
        )
        cpu_seconds = cost(mixtures.__getitem__, 3 * n_runs)
        print(f"| {name} | {seconds / cpu_seconds:.0f} | {cpu_seconds:.4f} |")


def cost(run: Callable[[int], object], n_runs: int) -> float:
    """Return the mean CPU seconds of a call, after one that does not count."""
    run(n_runs)
    start = time.process_time()
    for index in range(n_runs):
        run(index)
    return (time.process_time() - start) / n_runs


def music(seconds: float, seed: int) -> np.ndarray:
    """Make noise with the spectrum and the pulse of music."""
    noise = np.random.default_rng(seed).normal(0, 1, (2, round(seconds * RATE_HZ)))
    coloured = signal.lfilter([0.05], [1, -0.95], noise, axis=1)
    pulse = np.exp(-4 * (np.arange(noise.shape[1]) / RATE_HZ % 0.5))
    return np.asarray(0.5 * coloured * pulse, np.float32)


def songs() -> list[TrainingTrack]:
    """Make songs with all that mixing wants to know."""
    tracks = []
    for number in range(N_SONGS):
        stems = {
            source: ArrayStem(music(SONG_SECONDS, 10 * number + index))
            for index, source in enumerate(SOURCES)
        }
        facts = TrackFacts(
            tempo_bpm=120.0 + number, key=number, level_db=dict.fromkeys(SOURCES, -20.0 - number)
        )
        tracks.append(replace(TrainingTrack(name=str(number), stems=stems), facts=facts))
    return tracks


if __name__ == "__main__":
    main()
