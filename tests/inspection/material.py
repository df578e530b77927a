"""Small networks of every kind, with random weights, and sound for them."""

from __future__ import annotations

import numpy as np

from stemlight.inspection import Subject
from stemlight.models.initialisation import fresh_model
from stemlight.models.presets import resolve_preset

RATE_HZ = 44_100
HOP_SAMPLES = 64
CHUNK = {"chunk_samples": HOP_SAMPLES * 31, "trim_samples": 256, "overlap_samples": 0}
FRAMES = 32

# Each kind of head, conditioning and frequency transformation has one.
NETWORKS = {
    "stemlight-small": {"bins_per_fold": 4},
    "stemlight-bands": {"bands": [[8, 4], [4, 8]]},
    "lasaft-small": {},
    "lightsaft": {},
    "lasaft-v2": {},
    "film": {},
    "film-tdf": {},
    "pocm-lightsaft": {},
    "tfc-tdf-small": {},
    "tfc-small": {},
    "tfc-tdf-multi-head": {},
    "tfc-tdf-v2-bass": {},
    "tdc-17": {},
}
CUT_OFF = ("stemlight-small", "stemlight-bands", "tfc-tdf-v2-bass")


def subject(preset, *, sources=None, **network):
    """A network of five blocks on a spectrogram of 129 bins, or of 64 where bins are cut off."""
    chunk = dict(CHUNK)
    if preset == "tdc-17":  # whose frames are not centred
        chunk["chunk_samples"] += 256
    config = resolve_preset(
        preset,
        {
            "stft": {
                "n_fft": 256,
                "hop_samples": HOP_SAMPLES,
                "kept_bins": 64 if preset in CUT_OFF else None,
            },
            "network": {
                "n_blocks": 5,
                "features": [4, 5, 6],
                "n_latents": 3,
                "min_bn_units": 4,
                **NETWORKS[preset],
                **({} if sources is None else {"n_sources": len(sources)}),
                **network,
            },
            "chunk": chunk,
            **({} if sources is None else {"sources": sources}),
        },
    )
    return Subject.of_model(f"tiny {preset}", config, fresh_model(config, "pytorch"))


def noise(n_samples=8000, seed=0):
    samples = np.random.default_rng(seed).standard_normal((2, n_samples))
    return (0.1 * samples).astype(np.float32)


def tone(hz, n_samples=RATE_HZ, amplitude=0.5):
    wave = amplitude * np.sin(2 * np.pi * hz * np.arange(n_samples) / RATE_HZ)
    return np.stack([wave, wave]).astype(np.float32)
