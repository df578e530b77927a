"""What each recorded part goes through before it is mixed: amplifiers, channel strips, rooms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stemlight.synthesis.effects import (
    Samples,
    cabinet,
    chorus,
    compressor_gain,
    convolve,
    delay,
    equaliser,
    filter_response,
    pan,
    passing,
    saturate,
    shelf,
    widen,
)
from stemlight.synthesis.notes import Random, choose

__all__ = [
    "Amplifier",
    "active_level",
    "amplified",
    "bass_chain",
    "draw_amplifier",
    "drum_bus",
    "part_chain",
    "vocal_chain",
]


def active_level(signal: Samples) -> float:
    """Return the RMS amplitude of the seconds in which it sounds; 0 if it never does."""
    n_block = 8820
    n_blocks = signal.shape[-1] // n_block
    if n_blocks == 0:
        return float(np.sqrt(np.mean(signal**2)))
    powers = np.zeros(n_blocks)
    for row in signal:  # every third sample will do
        blocks = row[: n_blocks * n_block].reshape(n_blocks, n_block)[:, ::3]
        powers += np.einsum("bs,bs->b", blocks, blocks) / (blocks.shape[1] * len(signal))
    sounding = powers > max(1e-9, 1e-3 * float(powers.max()))
    return float(np.sqrt(powers[sounding].mean())) if sounding.any() else 0.0


def _leveled(signal: Samples) -> Samples:
    level = active_level(signal)
    return signal * np.float32(0.1 / level) if level > 1e-7 else signal


def _squeezed(random: Random, signal: Samples, ratio: tuple[float, float]) -> Samples:
    """Compress what lies above a threshold around the usual level."""
    gain = compressor_gain(
        signal,
        threshold_db=20 * np.log10(active_level(signal) + 1e-9) + float(random.uniform(-4, 8)),
        ratio=float(random.uniform(*ratio)),
        attack_seconds=float(np.exp(random.uniform(np.log(0.001), np.log(0.04)))),
        release_seconds=float(np.exp(random.uniform(np.log(0.04), np.log(0.4)))),
    )
    return signal * gain


@dataclass(frozen=True)
class Amplifier:
    """The settings of a guitar amplifier, which both takes of a doubled part share."""

    drive: float
    bias: float
    response: np.ndarray


def draw_amplifier(random: Random, chain: str) -> Amplifier:
    """Draw an amplifier: clean, crunchy or with high gain."""
    low, high = {"amp-high": (8, 80), "amp-crunch": (2, 12), "amp-clean": (0.2, 1.5)}[chain]
    drive = float(np.exp(random.uniform(np.log(low), np.log(high))))
    return Amplifier(drive, float(random.uniform(0, 0.4)), cabinet(random))


def amplified(random: Random, amplifier: Amplifier, signal: Samples) -> Samples:
    """Play a mono guitar through an amplifier, with a microphone a little elsewhere each time."""
    mono = signal.mean(0, keepdims=True)
    before = np.concatenate(
        [passing(float(random.uniform(60, 180)), "highpass"), passing(7000, "lowpass")]
    )
    mono = convolve(mono, filter_response(before, 1024))
    mono = _leveled(mono) * np.float32(3 * amplifier.drive)
    bent = saturate(mono, 1.0, bias=amplifier.bias)
    return convolve(bent, amplifier.response)


def part_chain(random: Random, chain: str, takes: list[Samples], tempo_bpm: float) -> Samples:
    """Return a part of `other` in stereo: one take somewhere, or two left and right."""
    if chain.startswith("amp"):
        amplifier = draw_amplifier(random, chain)
        takes = [amplified(random, amplifier, take) for take in takes]
    elif chain == "acoustic":
        takes = [_squeezed(random, take, (1.5, 4)) for take in takes]
    side = float(random.uniform(0.5, 1.0)) * choose(random, (-1, 1))
    if len(takes) == 2:
        signal = pan(_leveled(takes[0]).mean(0), side) + pan(_leveled(takes[1]).mean(0), -side)
    elif takes[0].shape[0] == 1 or random.random() < 0.35:
        place = float(np.clip(0.45 * random.standard_normal(), -1, 1))
        signal = pan(takes[0].mean(0), place)
    else:
        signal = widen(takes[0], float(random.uniform(0.4, 1.6)))
    signal = _leveled(signal)
    lowest_hz = float(np.exp(random.uniform(np.log(40), np.log(350))))
    highest_hz = float(np.exp(random.uniform(np.log(3500), np.log(22000))))
    strip = equaliser(random, lowest_hz=lowest_hz, highest_hz=highest_hz, depth_db=3.5)
    signal = convolve(signal, filter_response(strip))
    if chain in ("keys", "synth") and random.random() < 0.25:
        signal = saturate(_leveled(signal), float(np.exp(random.uniform(np.log(0.5), np.log(8)))))
    if random.random() < (0.35 if chain == "synth" else 0.2):
        signal = chorus(signal, random, depth_seconds=float(random.uniform(5e-4, 4e-3)), mix=0.8)
    if random.random() < (0.4 if chain == "synth" else 0.15):
        signal = signal + _echoes(random, signal, tempo_bpm)
    return _leveled(signal)


def _echoes(random: Random, signal: Samples, tempo_bpm: float) -> Samples:
    beats = choose(random, (0.5, 0.75, 0.75, 1.0, 0.25, 0.08))
    echoes = delay(
        signal,
        seconds=beats * 60 / tempo_bpm,
        feedback=float(random.uniform(0.1, 0.6)),
        ping_pong=bool(random.random() < 0.5),
    )
    return echoes * np.float32(random.uniform(0.1, 0.5))


def bass_chain(random: Random, signal: Samples, sound: str, room: np.ndarray) -> Samples:
    """Compress, drive and filter a bass; nearly always in the middle."""
    is_synth = sound in ("synth", "sub", "fm")
    if not is_synth or random.random() < 0.5:
        signal = signal.mean(0, keepdims=True)
    signal = _squeezed(random, _leveled(signal), (2, 10))
    signal = _leveled(signal)
    if sound == "fuzz":
        amplifier = Amplifier(float(random.uniform(3, 15)), 0.2, cabinet(random))
        dirty = amplified(random, amplifier, signal)
        share = float(random.uniform(0.3, 0.9))
        signal = (1 - share) * signal + share * _leveled(dirty)
    elif random.random() < 0.5:
        drive = float(np.exp(random.uniform(np.log(1), np.log(12))))
        signal = saturate(signal, drive, bias=float(random.uniform(0, 0.3)))
    highest_hz = float(np.exp(random.uniform(np.log(260), np.log(7000))))
    strip = equaliser(
        random, lowest_hz=float(random.uniform(18, 50)), highest_hz=highest_hz, depth_db=3
    )
    lows = shelf(float(random.uniform(100, 200)), float(random.uniform(0, 9)), "low")
    strip = np.concatenate([strip, lows])
    signal = convolve(signal.astype(np.float32), filter_response(strip, 8192))
    if signal.shape[0] == 1:
        signal = np.concatenate([signal, signal])
    if random.random() < 0.3:
        depth_seconds = float(random.uniform(5e-4, 3e-3))
        signal = chorus(signal, random, depth_seconds=depth_seconds, mix=random.uniform(0.1, 0.6))
    if random.random() < 0.35:
        wet = _leveled(convolve(signal, room))
        signal = signal + wet * np.float32(10 ** (random.uniform(-34, -14) / 20))
    return _leveled(signal)


def drum_bus(random: Random, signal: Samples, room: np.ndarray) -> Samples:
    """Glue a kit together: room, compression, saturation, tone."""
    signal = _leveled(signal)
    if random.random() < 0.7:
        wet = _leveled(convolve(signal, room))
        signal = signal + wet * np.float32(10 ** (random.uniform(-22, -3) / 20))
    if random.random() < 0.7:
        squeezed = _leveled(_squeezed(random, signal, (2, 12)))
        share = np.float32(random.uniform(0.3, 1.0))  # parallel compression
        signal = (1 - share) * signal + share * squeezed
    if random.random() < 0.5:
        signal = saturate(signal, float(np.exp(random.uniform(np.log(0.3), np.log(5)))))
    highest_hz = float(np.exp(random.uniform(np.log(7000), np.log(40000))))
    strip = equaliser(
        random, lowest_hz=float(random.uniform(18, 45)), highest_hz=highest_hz, depth_db=2.5
    )
    signal = convolve(signal, filter_response(strip, 8192))
    return _leveled(widen(signal, float(random.uniform(0.5, 2.0))))


def vocal_chain(random: Random, signal: Samples, room: np.ndarray, tempo_bpm: float) -> Samples:
    """Make a voice sit in a record: compression, tone, air, echo and room."""
    signal = _squeezed(random, _leveled(signal), (2.5, 10))
    strip = equaliser(
        random,
        lowest_hz=float(random.uniform(70, 160)),
        highest_hz=float(np.exp(random.uniform(np.log(9000), np.log(40000)))),
        depth_db=3,
    )
    signal = _leveled(convolve(signal, filter_response(strip)))
    colour = random.random()
    if colour < 0.06:  # through a telephone or a megaphone
        narrow = equaliser(random, lowest_hz=400, highest_hz=3200, depth_db=3)
        signal = saturate(convolve(signal, filter_response(narrow)), float(random.uniform(2, 20)))
    elif colour < 0.4:
        signal = saturate(signal, float(np.exp(random.uniform(np.log(0.5), np.log(6)))))
    signal = _leveled(signal)
    dry = signal
    if random.random() < 0.35:
        signal = signal + _echoes(random, dry, tempo_bpm)
    if random.random() < 0.12:
        signal = chorus(signal, random, depth_seconds=float(random.uniform(5e-4, 3e-3)), mix=0.5)
    if random.random() < 0.85:
        wet = _leveled(convolve(dry, room))
        signal = signal + wet * np.float32(10 ** (random.uniform(-26, -8) / 20))
    return _leveled(signal)
