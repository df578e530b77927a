"""Renders notes with the instruments of a soundfont."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stemlight.audio.wording import shown
from stemlight.errors import InputError, MissingExtraError
from stemlight.synthesis.effects import Samples
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, TimedNote

__all__ = ["MELODIC_CHANNEL", "play_preset", "strike_preset"]

MELODIC_CHANNEL = 0
_MAX_VOICES = 128
_DRUM_BANK = 128
_FADE_SAMPLES = 2048


@functools.lru_cache(maxsize=8)  # a process keeps the fonts that it has decoded
def _font(path: Path) -> Any:
    try:
        from tinysoundfont import _tinysoundfont as engine
    except ImportError as error:
        raise MissingExtraError(
            "soundfonts need tinysoundfont, which is not installed; "
            "run: pip install --no-deps tinysoundfont"
        ) from error
    try:
        font = engine.SoundFont(str(path))
    except RuntimeError as error:
        raise InputError(f"{shown(path)} cannot be played as a soundfont: {error}") from error
    font.set_output(engine.OutputMode.StereoInterleaved, SAMPLE_RATE_HZ, 0.0)
    font.set_max_voices(_MAX_VOICES)
    return font


def _silence(font: Any) -> None:
    """End all voices, so that nothing of them is in what is rendered next."""
    font.reset()  # fades them out within 10 ms of what is rendered
    font.render(np.zeros((_FADE_SAMPLES, 2), np.float32).data.cast("B"))
    font.reset()


def play_preset(
    path: Path,
    preset: tuple[int, int],
    notes: Sequence[TimedNote],
    n_samples: int,
    *,
    detune_semitones: float = 0.0,
) -> Samples:
    """Play notes with a preset (bank, program); stops after `n_samples`."""
    font = _font(path)
    bank, program = preset
    font.channel_set_bank(MELODIC_CHANNEL, bank)
    font.channel_set_preset_number(MELODIC_CHANNEL, program, bank == _DRUM_BANK)
    font.channel_set_tuning(MELODIC_CHANNEL, detune_semitones)
    events: list[tuple[int, int, int, float]] = []  # sample, off before on, pitch, velocity
    for note in notes:
        first = round(note.start_seconds * SAMPLE_RATE_HZ)
        last = max(first + 1, round((note.start_seconds + note.seconds) * SAMPLE_RATE_HZ))
        events.append((first, 1, round(note.pitch), note.velocity))
        events.append((last, 0, round(note.pitch), 0.0))
    rows = np.zeros((n_samples, 2), np.float32)
    done = 0
    for sample, is_on, pitch, velocity in sorted(events):
        if sample >= n_samples:
            break
        if sample > done:
            font.render(rows[done:sample].data.cast("B"))
            done = sample
        if is_on:
            font.channel_note_on(MELODIC_CHANNEL, pitch, velocity)
        else:
            font.channel_note_off(MELODIC_CHANNEL, pitch)
    font.render(rows[done:].data.cast("B"))
    _silence(font)
    return np.ascontiguousarray(rows.T)


def strike_preset(
    path: Path, preset: tuple[int, int], key: int, velocity: float, n_samples: int
) -> Samples:
    """Play one key of a drum preset and let it ring."""
    font = _font(path)
    rows = np.zeros((n_samples, 2), np.float32)
    font.note_on(*preset, key, velocity)
    font.render(rows.data.cast("B"))
    _silence(font)
    return np.ascontiguousarray(rows.T)
