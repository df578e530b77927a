"""A singer made of a source and filters: glottal pulses, noise, and the formants of a throat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.fft
import scipy.ndimage

from stemlight.shapes import Float32
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, Random, choose

__all__ = ["Syllable", "Voice", "draw_voice", "sing"]

_HOP = 256  # samples from frame to frame
_FRAME_HZ = SAMPLE_RATE_HZ / _HOP
_TABLE = 1024
_WINDOW = 512  # of the noise
_MAX_HARMONICS = 220
_GAP_SECONDS = 0.35  # from here on a rest parts phrases

# Formants of men after Peterson and Barney, with two more for the timbre of the voice.
_FORMANTS = {
    "a": (730, 1090, 2440, 3400, 4500), "e": (530, 1840, 2480, 3500, 4600),
    "i": (270, 2290, 3010, 3600, 4700), "o": (570, 840, 2410, 3350, 4500),
    "u": (300, 870, 2240, 3300, 4500), "ae": (660, 1720, 2410, 3400, 4500),
    "uh": (640, 1190, 2390, 3400, 4500), "er": (490, 1350, 1690, 3300, 4500),
}  # fmt: skip
_HIGHER_HZ = (5600, 6900, 8300, 9800)
_BANDWIDTHS_HZ = np.array((70, 90, 130, 180, 240, 400, 600, 800, 1000))


class _Consonant(NamedTuple):
    """How long it lasts, how loud voice and noise are, and where the noise, F1 and F2 lie."""

    seconds: float
    voice: float
    noise: float
    noise_hz: float
    octaves: float
    first_hz: float
    second_hz: float
    is_stop: bool = False


_CONSONANTS = {
    "p": _Consonant(0.085, 0, 0.5, 900, 1.4, 300, 800, True),
    "b": _Consonant(0.065, 0.12, 0.3, 700, 1.4, 300, 800, True),
    "t": _Consonant(0.085, 0, 0.9, 4500, 0.8, 300, 1700, True),
    "d": _Consonant(0.06, 0.12, 0.5, 3800, 0.9, 300, 1700, True),
    "k": _Consonant(0.09, 0, 0.8, 2200, 0.7, 300, 2000, True),
    "g": _Consonant(0.065, 0.12, 0.4, 2000, 0.8, 300, 2000, True),
    "ch": _Consonant(0.11, 0, 1.0, 3500, 0.7, 300, 1900, True),
    "m": _Consonant(0.075, 0.4, 0, 1000, 1, 270, 1000),
    "n": _Consonant(0.065, 0.4, 0, 1000, 1, 270, 1500),
    "l": _Consonant(0.065, 0.6, 0, 1000, 1, 350, 1100),
    "r": _Consonant(0.07, 0.6, 0, 1000, 1, 350, 1200),
    "w": _Consonant(0.07, 0.6, 0, 1000, 1, 300, 650),
    "j": _Consonant(0.07, 0.6, 0, 1000, 1, 280, 2200),
    "s": _Consonant(0.12, 0, 1.0, 7200, 0.55, 350, 1700),
    "z": _Consonant(0.09, 0.3, 0.6, 6800, 0.6, 350, 1700),
    "sh": _Consonant(0.12, 0, 0.9, 3600, 0.6, 350, 1900),
    "f": _Consonant(0.1, 0, 0.25, 5000, 1.6, 350, 900),
    "v": _Consonant(0.07, 0.4, 0.15, 4500, 1.6, 350, 900),
    "th": _Consonant(0.09, 0, 0.2, 5500, 1.4, 350, 1400),
    "h": _Consonant(0.07, 0.1, 0, 1500, 2, 0, 0),
}


class Syllable(NamedTuple):
    """A sung note in time."""

    start_seconds: float
    seconds: float
    pitch: float
    velocity: float
    consonant: str
    vowel: str
    coda: str = ""


@dataclass(frozen=True, kw_only=True)
class Voice:
    """Who sings, and how."""

    tract: float  # formants relative to those of men; women about 1.17
    tilt_hz: float  # above it the pulses fall by 12 dB an octave instead of 6
    brightness: float  # exponent by which the highest formants are lifted
    formant_spread: tuple[float, ...]  # the singer's own place of each formant
    bandwidth: float
    breath: float
    vibrato_hz: float
    vibrato_cents: float
    vibrato_after_seconds: float
    glide_seconds: float
    scoop_semitones: float
    drift_cents: float
    roughness: float
    consonant_gain: float
    inhales: bool


def draw_voice(random: Random, *, tract: float, roughness: float = 0.0) -> Voice:
    """Draw a singer with a throat of the given size."""
    sings_straight = random.random() < 0.35
    return Voice(
        tract=tract,
        tilt_hz=float(np.exp(random.uniform(np.log(900), np.log(5000)))),
        brightness=float(random.uniform(1.0, 3.2)),
        formant_spread=tuple(float(x) for x in 1 + 0.05 * random.standard_normal(5)),
        bandwidth=float(random.uniform(0.7, 1.5)),
        breath=float(np.exp(random.uniform(np.log(0.01), np.log(0.2)))),
        vibrato_hz=float(random.uniform(4.6, 6.6)),
        vibrato_cents=float(random.uniform(0, 15) if sings_straight else random.uniform(20, 70)),
        vibrato_after_seconds=float(random.uniform(0.1, 0.5)),
        glide_seconds=float(random.uniform(0.015, 0.07)),
        scoop_semitones=float(choose(random, (0, 0.5, 1, 2, 3))),
        drift_cents=float(random.uniform(5, 25)),
        roughness=roughness,
        consonant_gain=float(np.exp(random.uniform(np.log(0.35), np.log(1.8)))),
        inhales=bool(random.random() < 0.7),
    )


def sing(
    voice: Voice, syllables: Sequence[Syllable], n_samples: int, random: Random
) -> Float32[np.ndarray, " samples"]:
    """Sing syllables, which are in order of time, as one row."""
    out = np.zeros(n_samples, np.float32)
    phrase: list[Syllable] = []
    for syllable in syllables:
        if phrase and syllable.start_seconds > _end(phrase[-1]) + _GAP_SECONDS:
            _add(out, voice, phrase, random)
            phrase = []
        phrase.append(syllable)
    if phrase:
        _add(out, voice, phrase, random)
    return out


def _end(syllable: Syllable) -> float:
    return syllable.start_seconds + syllable.seconds


def _add(out: np.ndarray, voice: Voice, phrase: list[Syllable], random: Random) -> None:
    """Add a phrase, its breath and its consonant before the beat to the whole."""
    before = 0.55
    first = int((phrase[0].start_seconds - before) * SAMPLE_RATE_HZ)
    n_frames = int((_end(phrase[-1]) + 0.3 - phrase[0].start_seconds + before) * _FRAME_HZ)
    frames = _Frames(n_frames, phrase[0].start_seconds - before, voice)
    for index, syllable in enumerate(phrase):
        following = phrase[index + 1] if index + 1 < len(phrase) else None
        frames.lay(syllable, following)
    if voice.inhales:
        frames.inhale(float(random.uniform(0.2, 0.42)), before)
    row = frames.render(random)
    skip = max(0, -first)
    first = max(0, first)
    last = min(len(out), first + len(row) - skip)
    if last > first:
        out[first:last] += row[skip : skip + last - first]


class _Frames:
    """What throat and cords do from frame to frame during one phrase."""

    def __init__(self, n_frames: int, start_seconds: float, voice: Voice) -> None:
        self._voice, self._start_seconds, self._n = voice, start_seconds, n_frames
        self._pitch = np.full(n_frames, np.nan)
        self._level = np.zeros(n_frames)
        self._aspiration = np.zeros(n_frames)
        self._noise = np.zeros(n_frames)
        self._noise_hz = np.full(n_frames, 3000.0)
        self._noise_octaves = np.ones(n_frames)
        self._vibrato = np.zeros(n_frames)
        self._formants = np.full((n_frames, 5), np.nan)

    def _frame(self, seconds: float) -> int:
        return int(np.clip((seconds - self._start_seconds) * _FRAME_HZ, 0, self._n))

    def lay(self, syllable: Syllable, following: Syllable | None) -> None:
        """Enter a syllable; its consonant ends where the note begins."""
        first, last = self._frame(syllable.start_seconds), self._frame(_end(syllable))
        last = max(last, min(self._n, first + 4))
        self._pitch[first:last] = syllable.pitch
        time = np.arange(last - first) / _FRAME_HZ
        fade = 1 - 0.35 * np.minimum(1, time / 1.5)
        self._level[first:last] = syllable.velocity * fade
        self._aspiration[first:last] = self._voice.breath * syllable.velocity
        onset = np.clip((time - self._voice.vibrato_after_seconds) / 0.3, 0, 1)
        self._vibrato[first:last] = onset
        target = np.array(_FORMANTS[syllable.vowel]) * self._voice.formant_spread
        target[0] = max(target[0], 1.05 * _hz(syllable.pitch) / self._voice.tract)  # open the jaw
        self._formants[first:last] = target
        if syllable.consonant:
            self._articulate(syllable.consonant, first, syllable, target)
        is_alone = following is None or following.start_seconds > _end(syllable) + 0.12
        if syllable.coda and is_alone:
            length = int(_CONSONANTS[syllable.coda].seconds * _FRAME_HZ)
            self._articulate(syllable.coda, min(self._n, last + length), syllable, target)

    def _articulate(self, name: str, end: int, syllable: Syllable, target: np.ndarray) -> None:
        consonant = _CONSONANTS[name]
        first = max(0, end - int(consonant.seconds * _FRAME_HZ))
        self._pitch[first:end] = syllable.pitch
        self._level[first:end] = consonant.voice * syllable.velocity
        self._aspiration[first:end] = 0.3 * syllable.velocity if name == "h" else 0
        loud = consonant.noise * self._voice.consonant_gain * (0.4 + 0.6 * syllable.velocity)
        if consonant.is_stop:
            burst = max(first, end - (6 if name == "ch" else 3))
            self._noise[burst:end] = loud * np.linspace(1, 0.3, end - burst)
            if consonant.voice == 0:  # the breath that follows p, t and k
                self._aspiration[end : end + 4] += 0.1 * syllable.velocity
        else:
            self._noise[first:end] = loud
        self._noise_hz[first:end] = consonant.noise_hz * (0.6 + 0.4 * self._voice.tract)
        self._noise_octaves[first:end] = consonant.octaves
        locus = target.copy()
        if consonant.first_hz:
            locus[:2] = consonant.first_hz, consonant.second_hz
        self._formants[first:end] = locus

    def inhale(self, seconds: float, before_seconds: float) -> None:
        """Draw breath before the phrase."""
        last = int((before_seconds - 0.12) * _FRAME_HZ)
        first = max(0, last - int(seconds * _FRAME_HZ))
        rise = np.linspace(0.1, 1, last - first)
        self._aspiration[first:last] += 0.07 * rise * min(1.0, 8 * self._voice.breath + 0.2)

    def render(self, random: Random) -> np.ndarray:
        """Return the sound of the phrase."""
        voice = self._voice
        pitch = _filled(self._pitch)
        starts = np.flatnonzero(np.isfinite(self._pitch))
        if len(starts):  # slide up into the first note
            since = (np.arange(self._n) - starts[0]) / _FRAME_HZ
            pitch = pitch - voice.scoop_semitones * np.exp(-np.maximum(since, 0) / 0.06)
        pitch = scipy.ndimage.gaussian_filter1d(pitch, max(0.5, voice.glide_seconds * _FRAME_HZ))
        drift = scipy.ndimage.gaussian_filter1d(random.standard_normal(self._n), 20) * 6
        jitter = 0.04 + 0.5 * voice.roughness
        wobble = voice.drift_cents / 100 * drift + jitter * random.standard_normal(self._n)
        phase = 2 * np.pi * np.cumsum(1 + 0.05 * drift) * voice.vibrato_hz / _FRAME_HZ
        pitch = pitch + wobble + voice.vibrato_cents / 100 * self._vibrato * np.sin(phase)
        formants = scipy.ndimage.gaussian_filter1d(_filled(self._formants), 2.5, axis=0)
        level = scipy.ndimage.gaussian_filter1d(self._level, 1.5)
        level = level * (1 + (0.05 + 0.3 * voice.roughness) * random.standard_normal(self._n))
        f0_hz = np.clip(_hz(pitch), 50, 1600)
        formants = formants * voice.tract
        voiced = self._pulses(f0_hz, formants, level)
        return voiced + self._hiss(formants, random)

    def _transfer(self, frequency_hz: np.ndarray, formants: np.ndarray) -> np.ndarray:
        """Return the throat's response, frames by frequencies."""
        voice = self._voice
        n_frames = len(formants)
        higher = np.tile(np.array(_HIGHER_HZ) * voice.tract, (n_frames, 1))
        centres = np.concatenate([formants, higher], axis=1).astype(np.float32)
        inverse = np.ones(frequency_hz.shape, np.complex64)
        for index, width in enumerate(_BANDWIDTHS_HZ * voice.bandwidth):
            centre = centres[:, index : index + 1]
            ratio = frequency_hz / centre
            damping = ratio * (np.float32(width) / centre)
            inverse *= 1 - ratio * ratio + np.complex64(1j) * damping
        # A throat has no last formant: what the missing ones would lift.
        lift = (1 + (frequency_hz / np.float32(5500 * voice.tract)) ** 2) ** np.float32(
            4.0 + voice.brightness
        )
        return np.minimum(lift, np.float32(1e7)) / inverse

    def _pulses(self, f0_hz: np.ndarray, formants: np.ndarray, level: np.ndarray) -> np.ndarray:
        voice = self._voice
        n_harmonics = int(min(_MAX_HARMONICS, 17000 / f0_hz.min()))
        numbers = np.arange(1, n_harmonics + 1, dtype=np.float32)
        frequency_hz = f0_hz[:, None].astype(np.float32) * numbers
        # The derivative of the flow: a resonance a little above the pitch, then 6 dB an octave,
        # and 12 above the tilt.
        ratio = frequency_hz / (1.3 * f0_hz[:, None].astype(np.float32))
        pulse = 1j * ratio / (1 - ratio**2 + 1.2j * ratio)
        tilt_hz = voice.tilt_hz * (0.5 + level[:, None].astype(np.float32))
        pulse = np.conj(pulse) / (1 + 1j * frequency_hz / tilt_hz)
        spectrum = np.zeros((self._n, _TABLE // 2 + 1), np.complex64)
        values = pulse * self._transfer(frequency_hz, formants)
        values *= (frequency_hz < 17000) * level[:, None].astype(np.float32)
        spectrum[:, 1 : n_harmonics + 1] = values
        table = (scipy.fft.irfft(spectrum, _TABLE) * (_TABLE / 4)).astype(np.float32).ravel()
        frame = np.arange((self._n - 1) * _HOP) / _HOP
        cycles = np.cumsum(np.interp(frame, np.arange(self._n), f0_hz)) / SAMPLE_RATE_HZ
        out = np.empty(len(frame), np.float32)
        for first in range(0, len(frame), 8192):
            part = slice(first, first + 8192)
            out[part] = _lookup(table, cycles[part], frame[part])
        if voice.roughness:
            parity = np.floor(cycles).astype(np.int64)
            random = (parity * 2654435761 >> 7) % 1000 / 1000  # another strength for each pulse
            out *= (1 - 0.8 * voice.roughness * random).astype(np.float32)
        return out

    def _hiss(self, formants: np.ndarray, random: Random) -> np.ndarray:
        n_bins = _WINDOW // 2 + 1
        out = np.zeros(self._n * _HOP + _WINDOW, np.float32)
        loud = np.flatnonzero((self._noise > 1e-4) | (self._aspiration > 1e-4))
        if len(loud):
            bins_hz = np.linspace(0, SAMPLE_RATE_HZ / 2, n_bins, dtype=np.float32)[None]
            grid = np.broadcast_to(bins_hz, (len(loud), n_bins))
            distance = np.log2(np.maximum(grid, 30) / self._noise_hz[loud, None])
            shape = np.exp(-((distance / self._noise_octaves[loud, None]) ** 2))
            shape = 0.9 * shape * self._noise[loud, None]
            throat = np.abs(self._transfer(grid, formants[loud])) * np.minimum(1, grid / 800)
            shape = shape + 0.12 * np.minimum(throat, 8) * self._aspiration[loud, None]
            white = random.standard_normal((*shape.shape, 2), dtype=np.float32)
            spectrum = white.view(np.complex64)[..., 0] * shape.astype(np.float32)
            frames = scipy.fft.irfft(spectrum, _WINDOW)
            frames *= (np.sqrt(_WINDOW) * np.hanning(_WINDOW)).astype(np.float32)
            for index, frame in zip(loud, frames, strict=True):
                out[index * _HOP : index * _HOP + _WINDOW] += frame
        half = _WINDOW // 2
        return out[half : half + (self._n - 1) * _HOP]


def _hz(pitch: np.ndarray | float) -> np.ndarray:
    return 440 * 2 ** ((np.asarray(pitch) - 69) / 12)


def _filled(values: np.ndarray) -> np.ndarray:
    """Fill gaps with what came before them, and the first one with what follows."""
    known = np.isfinite(values if values.ndim == 1 else values[:, 0])
    if not known.any():
        return np.where(np.isfinite(values), values, 60.0)
    index = np.where(known, np.arange(len(values)), 0)
    index = np.maximum.accumulate(index)
    index[: int(np.argmax(known))] = int(np.argmax(known))
    return values[index]


def _lookup(table: np.ndarray, cycles: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Read a table of one cycle for each frame, between phases and between frames."""
    position = (cycles - np.floor(cycles)) * _TABLE
    phase = position.astype(np.intp)
    row = frame.astype(np.intp)
    between = (position - phase).astype(np.float32)
    share = (frame - row).astype(np.float32)
    phase &= _TABLE - 1
    following = (phase + 1) & (_TABLE - 1)
    start = row * _TABLE
    now = table.take(start + phase) * (1 - between) + table.take(start + following) * between
    start += _TABLE
    then = table.take(start + phase, mode="clip") * (1 - between)
    then += table.take(start + following, mode="clip") * between
    return now * (1 - share) + then * share
