"""The self-test of `stemlight doctor`: ten seconds of made-up music through a model."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stemlight.audio import FORMATS, AudioWriter, read_audio
from stemlight.cli.health import Finding
from stemlight.errors import StemlightError

if TYPE_CHECKING:
    from stemlight.separation import Separator

__all__ = ["codec_test", "compare_engines", "made_up_music", "self_test"]

_RATE_HZ = 44_100
_SECONDS = 10
_MOST_DIFFERENCE = 1e-4  # between engines, of full scale
_REPORT = "please report it with all of these lines"
_CODEC_SAMPLES = 12_345

Stems = Mapping[str, np.ndarray]


def made_up_music(n_seconds: int = _SECONDS) -> np.ndarray:
    """Return stereo (2, samples) at 44.1 kHz: chords, a bass and beats, always the same."""
    time_seconds = np.arange(n_seconds * _RATE_HZ) / _RATE_HZ
    generator = np.random.default_rng(0)
    beat = np.exp(-12 * (time_seconds % 0.5)) * generator.standard_normal(len(time_seconds))
    bass = np.sign(np.sin(2 * np.pi * 55 * time_seconds)) * np.exp(-3 * (time_seconds % 1))
    chord = sum(
        np.sin(2 * np.pi * hz * time_seconds + 0.3 * np.sin(2 * np.pi * 5 * time_seconds))
        for hz in (220.0, 277.2, 329.6)
    )
    left = 0.1 * beat + 0.15 * bass + 0.08 * chord
    right = 0.12 * beat + 0.15 * bass + 0.06 * np.roll(chord, 400)
    return np.stack([left, right]).astype(np.float32)


def self_test(separator: Separator, stems_of_first_run: dict[str, np.ndarray]) -> Iterator[Finding]:
    """Separate twice and yield what is to be said; the stems are left in the dictionary."""
    music = made_up_music()
    first = separator(music, sample_rate_hz=_RATE_HZ)
    started = time.perf_counter()  # of the second run: the first one warms up
    second = separator(music, sample_rate_hz=_RATE_HZ)
    factor = (time.perf_counter() - started) / _SECONDS
    stems_of_first_run.update(first)
    yield Finding("speed", f"{1 / factor:.1f} times real time (factor {factor:.3f})")

    wrong = [name for name, stem in first.items() if stem.shape != music.shape]
    yield Finding(
        "length",
        "wrong" if wrong else "exact",
        f"stems of another length than the song: {', '.join(wrong)}; {_REPORT}" if wrong else None,
    )
    broken = [name for name, stem in first.items() if not np.isfinite(stem).all()]
    is_silent = not any(np.any(stem) for stem in first.values())
    if broken or is_silent:
        named = f"NaN or infinite samples in {', '.join(broken)}" if broken else "nothing but zeros"
        advice = "try another version of onnxruntime, or --engine torch; " + _REPORT
        yield Finding("samples", "wrong", f"the model gives {named}; {advice}")
    unlike = [name for name in first if not np.array_equal(first[name], second[name])]
    yield Finding(
        "two runs",
        "differ" if unlike else "the same bytes",
        f"two runs gave different samples of {', '.join(unlike)}; try --threads 1; {_REPORT}"
        if unlike
        else None,
    )


def compare_engines(one: Stems, engine: str, other: Stems) -> Finding:
    """Say how far the stems of another engine are from those of the default one."""
    name = f"onnx and {engine}"
    worst = max(float(np.abs(one[stem] - other[stem]).max()) for stem in one)
    problem = None
    if not worst <= _MOST_DIFFERENCE:  # NaN is wrong, too
        problem = (
            f"the engines differ by {worst:.1e} of full scale, at most {_MOST_DIFFERENCE:.0e} is "
            f"right; keep to --engine onnx; {_REPORT}"
        )
    return Finding(name, f"{worst:.1e} of full scale apart", problem)


def codec_test() -> Iterator[Finding]:
    """Write and read every format; yield one line for all, or a problem for each that fails."""
    music = made_up_music(1)[:, :_CODEC_SAMPLES]
    good = []
    with tempfile.TemporaryDirectory() as folder:
        for format in FORMATS:
            path = Path(folder) / f"music.{format}"
            try:
                with AudioWriter(path, sample_rate_hz=48_000, n_channels=2) as writer:
                    writer.write(music)
                n_samples = read_audio(path).n_samples
            except (StemlightError, OSError) as error:
                yield Finding(f"format {format}", "broken", f"{format} cannot be used: {error}")
                continue
            if n_samples == music.shape[1]:
                good.append(format)
                continue
            line = f"{format} gives {n_samples} samples of {music.shape[1]} back"
            yield Finding(f"format {format}", "inexact", f"{line}; use wav or flac; {_REPORT}")
    yield Finding("formats", f"{', '.join(good)}: written, read, length exact")
