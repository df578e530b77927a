"""Effects of a studio on float32 (channels, samples): filters, dynamics, distortion, space."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.fft
import scipy.ndimage
import scipy.signal

from stemlight.audio import biquads
from stemlight.shapes import Float32
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, Random, choose

__all__ = [
    "Samples",
    "Sections",
    "cabinet",
    "chorus",
    "compressor_gain",
    "convolve",
    "delay",
    "draw_reverb",
    "equaliser",
    "filter_response",
    "limiter_gain",
    "pan",
    "passing",
    "peaking",
    "reverb_response",
    "saturate",
    "shelf",
    "widen",
]

Samples = Float32[np.ndarray, "channels samples"]
Sections = np.ndarray
"""Second-order sections, as SciPy has them."""

_BLOCK_SAMPLES = 128  # grid on which levels are followed


def convolve(signal: Samples, response: np.ndarray) -> Samples:
    """Convolve each channel with a response of one or as many channels; keeps the length."""
    response = np.atleast_2d(response).astype(np.float32)
    n_response, n_signal = response.shape[-1], signal.shape[-1]
    n_fft = max(16384, 1 << int(np.ceil(np.log2(4 * n_response))))
    step = n_fft - n_response + 1
    n_blocks = -(-n_signal // step)
    spectrum = scipy.fft.rfft(response, n_fft)
    out = np.zeros((signal.shape[0], n_blocks * step + n_response - 1), np.float32)
    for channel, row in enumerate(signal):
        factor = spectrum[min(channel, len(spectrum) - 1)]
        for first in range(0, n_blocks * step, step):
            piece = row[first : first + step]
            if not piece.any():
                continue
            block = scipy.fft.rfft(piece, n_fft)
            block *= factor
            out[channel, first : first + n_fft] += scipy.fft.irfft(block, n_fft)
    return out[:, :n_signal]


def peaking(frequency_hz: float, gain_db: float, q: float) -> Sections:
    """Return a bell."""
    cycles_per_sample = min(frequency_hz / SAMPLE_RATE_HZ, 0.45)
    return biquads.bell(cycles_per_sample, gain_db, q)[np.newaxis]


def shelf(frequency_hz: float, gain_db: float, kind: Literal["low", "high"]) -> Sections:
    """Return a shelf of slope 1."""
    return biquads.shelf(frequency_hz / SAMPLE_RATE_HZ, gain_db, kind)[np.newaxis]


def passing(frequency_hz: float, kind: Literal["lowpass", "highpass"], order: int = 2) -> Sections:
    """Return a Butterworth filter."""
    frequency_hz = float(np.clip(frequency_hz, 10, 0.49 * SAMPLE_RATE_HZ))
    return scipy.signal.butter(order, frequency_hz, kind, fs=SAMPLE_RATE_HZ, output="sos")


def equaliser(random: Random, *, lowest_hz: float, highest_hz: float, depth_db: float) -> Sections:
    """Draw the settings of a channel strip: two or three bells and a shelf each way."""
    sections = [passing(lowest_hz, "highpass")] if lowest_hz > 15 else []
    if highest_hz < 19000:
        sections.append(passing(highest_hz, "lowpass", order=int(random.choice([2, 4]))))
    for _ in range(int(random.integers(1, 4))):
        frequency_hz = float(np.exp(random.uniform(np.log(80), np.log(9000))))
        gain_db = float(np.clip(depth_db * random.standard_normal(), -12, 9))
        sections.append(peaking(frequency_hz, gain_db, float(random.uniform(0.5, 3))))
    sections.append(shelf(float(random.uniform(80, 300)), _gain(random, depth_db), "low"))
    sections.append(shelf(float(random.uniform(3000, 9000)), _gain(random, depth_db), "high"))
    return np.concatenate(sections)


def _gain(random: Random, depth_db: float) -> float:
    return float(np.clip(depth_db * random.standard_normal(), -9, 9))


def filter_response(sections: Sections, n_samples: int = 4096) -> np.ndarray:
    """Return the impulse response, cut where it has died away."""
    impulse = np.zeros(n_samples)
    impulse[0] = 1
    response = scipy.signal.sosfilt(sections, impulse)
    alive = np.flatnonzero(np.abs(response) > 1e-5 * np.abs(response).max())
    return response[: alive[-1] + 1].astype(np.float32)


def cabinet(random: Random) -> np.ndarray:
    """Return the response of a guitar amplifier's speaker and the microphone before it."""
    sections = np.concatenate(
        [
            passing(float(random.uniform(60, 140)), "highpass"),
            peaking(float(random.uniform(90, 180)), float(random.uniform(0, 6)), 1.5),
            peaking(float(random.uniform(350, 800)), float(random.uniform(-8, 2)), 0.8),
            peaking(float(random.uniform(1800, 3800)), float(random.uniform(1, 9)), 1.2),
            passing(float(random.uniform(3800, 7500)), "lowpass", order=4),
        ]
    )
    response = filter_response(sections, 2048)
    for _ in range(int(random.integers(1, 5))):  # reflections comb the spectrum as a room does
        late = int(random.integers(8, 160))
        echo = float(random.uniform(-0.45, 0.45))
        response[late:] += echo * response[: len(response) - late].copy()
    return response / np.sqrt((response**2).sum())


def reverb_response(random: Random, *, seconds: float, brightness_hz: float) -> np.ndarray:
    """Return a stereo room: early reflections, and noise whose highs die sooner than its lows."""
    n_samples = int(min(seconds, 2.6) * SAMPLE_RATE_HZ)
    time = np.arange(n_samples, dtype=np.float32) / SAMPLE_RATE_HZ
    noise = random.standard_normal((2, n_samples), dtype=np.float32)
    dark = scipy.signal.sosfilt(passing(brightness_hz * 0.3, "lowpass"), noise)
    bright = scipy.signal.sosfilt(passing(brightness_hz, "lowpass", 1), noise)
    tail = 1.5 * dark * np.exp(-6.9 * time / seconds)
    tail += bright * np.exp(-6.9 * time / (0.5 * seconds))
    tail *= 1 - np.exp(-time / 0.008)
    tail = scipy.signal.sosfilt(passing(180, "highpass"), tail)
    for channel in range(2):
        for _ in range(int(random.integers(4, 10))):
            at = int(random.uniform(0.002, 0.05) * SAMPLE_RATE_HZ)
            if at < n_samples:
                tail[channel, at] += 12 * random.uniform(-1, 1) * np.abs(tail).max()
    before = int(random.uniform(0, 0.04) * SAMPLE_RATE_HZ)
    tail = np.concatenate([np.zeros((2, before)), tail], axis=1)
    return (tail / np.sqrt((tail**2).sum(-1)).mean()).astype(np.float32)


def _block_peaks(signal: Samples) -> np.ndarray:
    n_blocks = -(-signal.shape[-1] // _BLOCK_SAMPLES)
    peaks = np.zeros(n_blocks, np.float32)
    n_whole = signal.shape[-1] // _BLOCK_SAMPLES
    for row in signal:
        blocks = row[: n_whole * _BLOCK_SAMPLES].reshape(n_whole, _BLOCK_SAMPLES)
        whole = np.maximum(blocks.max(1), -blocks.min(1))
        np.maximum(peaks[:n_whole], whole, out=peaks[:n_whole])
        if n_whole < n_blocks:
            peaks[-1] = max(peaks[-1], np.abs(row[n_whole * _BLOCK_SAMPLES :]).max())
    return peaks


def _spread(gains: np.ndarray, n_samples: int) -> np.ndarray:
    """Interpolate gains of blocks to samples."""
    gains = gains.astype(np.float32)
    edges = np.concatenate([gains[:1], (gains[:-1] + gains[1:]) / 2, gains[-1:]])
    ramp = np.arange(_BLOCK_SAMPLES, dtype=np.float32) / _BLOCK_SAMPLES
    spread = np.multiply.outer(np.diff(edges), ramp)
    spread += edges[:-1, None]
    return spread.reshape(-1)[:n_samples]


def compressor_gain(
    signal: Samples,
    *,
    threshold_db: float,
    ratio: float,
    attack_seconds: float,
    release_seconds: float,
) -> Float32[np.ndarray, " samples"]:
    """Return the gain (at most 1) of a compressor that listens to all channels at once."""
    level_db = 20 * np.log10(_block_peaks(signal) + 1e-6)
    wanted_db = np.minimum(0, (threshold_db - level_db) * (1 - 1 / ratio))
    rate_hz = SAMPLE_RATE_HZ / _BLOCK_SAMPLES
    attack = float(np.exp(-1 / (rate_hz * attack_seconds)))
    release = float(np.exp(-1 / (rate_hz * release_seconds)))
    gain_db, followed = 0.0, []
    for target in wanted_db.tolist():
        keep = attack if target < gain_db else release
        gain_db = target + keep * (gain_db - target)
        followed.append(gain_db)
    return _spread(10 ** (np.array(followed) / 20), signal.shape[-1])


def limiter_gain(signal: Samples, ceiling: float) -> Float32[np.ndarray, " samples"]:
    """Return a gain that keeps every sample below the ceiling, with 5 ms to look ahead."""
    peaks = _block_peaks(signal)
    wanted = np.minimum(1, ceiling / np.maximum(peaks, 1e-9))
    lowest = scipy.ndimage.minimum_filter1d(wanted, 5, mode="nearest")
    smooth = scipy.ndimage.uniform_filter1d(lowest, 3, mode="nearest")
    recovering, gain = [], 1.0
    for target in smooth.tolist():
        gain = min(target, gain + 0.04 * (1 - gain) + 2e-4)
        recovering.append(gain)
    # Between two blocks the gain is between theirs, and both look one block ahead and back.
    return _spread(np.array(recovering), signal.shape[-1])


def saturate(signal: Samples, drive: float, *, bias: float = 0.0) -> Samples:
    """Bend the signal as a tube does; `bias` brings even harmonics. Keeps small signals."""
    drive = max(drive, 1e-3)
    bent = np.tanh(drive * signal + bias, dtype=np.float32) - np.float32(np.tanh(bias))
    return bent / np.float32(drive * (1 - np.tanh(bias) ** 2))


def _modulated(row: np.ndarray, late: np.ndarray) -> np.ndarray:
    """Read a row late by a varying number of samples; in blocks that fit the cache."""
    out = np.empty_like(row)
    for first in range(0, len(row), 16384):
        last = min(first + 16384, len(row))
        position = np.maximum(np.arange(first, last) - late[first:last], 0)
        before = position.astype(np.intp)
        part = (position - before).astype(np.float32)
        values = row.take(before)
        out[first:last] = values + part * (row.take(before + 1, mode="clip") - values)
    return out


def chorus(signal: Samples, random: Random, *, depth_seconds: float, mix: float) -> Samples:
    """Add a copy of each channel whose delay swings, out of phase left and right."""
    rate_hz = float(random.uniform(0.15, 1.8))
    centre = depth_seconds + float(random.uniform(0.002, 0.012))
    samples = np.arange(signal.shape[-1])
    points = np.arange(0, signal.shape[-1] + 512, 512)
    time = points / SAMPLE_RATE_HZ
    out = signal.copy()
    for channel, phase in enumerate((0.0, 0.5 * np.pi)):
        swing = np.sin(2 * np.pi * rate_hz * time + phase)
        late = np.interp(samples, points, (centre + depth_seconds * swing) * SAMPLE_RATE_HZ)
        out[channel] += np.float32(mix) * _modulated(signal[channel], late)
    return out / np.float32(np.sqrt(1 + mix**2))


def delay(signal: Samples, *, seconds: float, feedback: float, ping_pong: bool) -> Samples:
    """Return the echoes alone, each darker than the one before."""
    late = max(1, int(seconds * SAMPLE_RATE_HZ))
    out = np.zeros_like(signal)
    echo = convolve(signal, filter_response(passing(5000, "lowpass", 1), 256))
    gain = 1.0
    for repeat in range(1, 7):
        if late * repeat >= signal.shape[-1] or gain < 0.05:
            break
        rows = echo[::-1] if ping_pong and repeat % 2 else echo
        out[:, late * repeat :] += np.float32(gain) * rows[:, : -late * repeat]
        gain *= feedback
    return out


def pan(mono: np.ndarray, position: float) -> Samples:
    """Place a row between left (-1) and right (1) with constant power."""
    angle = (position + 1) * np.pi / 4
    return np.stack([mono * np.float32(np.cos(angle)), mono * np.float32(np.sin(angle))])


def widen(signal: Samples, width: float) -> Samples:
    """Scale the difference of the channels: 0 is mono, 1 leaves it."""
    middle, side = (signal[0] + signal[1]) / 2, (signal[0] - signal[1]) / 2
    side = side * np.float32(width)
    return np.stack([middle + side, middle - side])


def draw_reverb(random: Random, longest_seconds: float) -> np.ndarray:
    """Draw a room between a booth and a hall."""
    kinds = [(0.15, 0.4), (0.4, 1.0), (1.0, 2.6)]
    low, high = choose(random, [kind for kind in kinds if kind[0] < longest_seconds])
    seconds = float(random.uniform(low, min(high, longest_seconds)))
    return reverb_response(
        random, seconds=seconds, brightness_hz=float(random.uniform(2500, 12000))
    )
