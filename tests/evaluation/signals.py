"""Signals that the tests of evaluation share."""

from __future__ import annotations

import numpy as np
import scipy.signal

STEMS = ("vocals", "drums", "bass", "other")


def noise(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def noises(names=("a", "b"), channels=1, n_samples=8000, seed=0):
    """Independent sources, by name."""
    return {name: noise(seed + i, channels, n_samples) for i, name in enumerate(names)}


def leaky(references, leak=0.2, gain=0.9, artifact=0.05, seed=100):
    """Estimates with all that BSS Eval tells apart: wrong level and delay, others, noise."""
    estimates = {}
    for i, (name, reference) in enumerate(references.items()):
        others = sum(references.values()) - reference
        level = artifact * np.std(reference)
        estimates[name] = (
            gain * np.roll(reference, 1, axis=1)
            + leak * np.roll(others, 3, axis=1)
            + level * noise(seed + i, *reference.shape)
        ).astype(np.float32)
    return estimates


def masked(mixture, references):
    """Estimates as good as masks can be, with the artifacts of masks: ideal ratio masks."""
    spectra = {
        name: np.abs(scipy.signal.stft(signal, nperseg=2048)[2])
        for name, signal in references.items()
    }
    total = sum(spectra.values()) + 1e-9
    mixed = scipy.signal.stft(mixture, nperseg=2048)[2]
    waves = {
        name: scipy.signal.istft(mixed * spectrum / total, nperseg=2048)[1]
        for name, spectrum in spectra.items()
    }
    return {name: wave[:, : mixture.shape[1]].astype(np.float32) for name, wave in waves.items()}
