"""Songs of tones, and a recipe of a network small enough to learn them in a second."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import yaml

ARGUMENTS = {
    "stft": {"n_fft": 256, "hop_samples": 64, "kept_bins": 128},
    "network": {
        "n_blocks": 3,
        "features": [4],
        "bins_per_fold": 8,
        "n_latents": 2,
        "n_sources": 2,
        "min_bn_units": 4,
    },
    "chunk": {"chunk_samples": 64 * 31, "trim_samples": 128, "overlap_samples": 128},
    "sources": ["low", "high"],
    "sample_rate_hz": 8000,
}


def write_songs(folder, n_songs, hertz, random):
    for number in range(n_songs):
        song = folder / f"{folder.name}{number}"
        song.mkdir(parents=True)
        for name, hz in hertz.items():
            time = np.arange(16_000) / 8000
            tone = 0.2 * np.sin(2 * np.pi * hz * random.uniform(0.8, 1.2) * time)
            path = song / f"{name}.wav"
            soundfile.write(path, np.stack([tone, tone], axis=1), 8000, subtype="FLOAT")


@pytest.fixture(scope="session")
def music(tmp_path_factory):
    """Make songs of a low and a high tone: separable by a gain for each bin."""
    root = tmp_path_factory.mktemp("music")
    random = np.random.default_rng(0)
    tones = {"low": 300, "high": 2500}
    write_songs(root / "train", 3, tones, random)
    write_songs(root / "valid", 1, tones, random)
    # Two examples of another source beside these.
    write_songs(root / "few", 2, {**tones, "middle": 1200}, random)
    return root


@pytest.fixture(scope="session")
def decoded(tmp_path_factory):
    return tmp_path_factory.mktemp("decoded")


@pytest.fixture
def recipe_file(music, decoded, tmp_path):
    content = {
        "name": "tiny",
        "preset": "stemlight-small",
        "arguments": ARGUMENTS,
        "data": {
            "root": str(music),
            "train": [{"path": "train"}],
            "validation": [{"path": "valid"}],
            "cache": str(decoded),
        },
        "n_steps": 4,
        "steps_per_epoch": 2,
        "batch_size": 2,
        "train_frames": 16,
        "mixing": {"speed_share": 0.5},
        "precision": "32-true",
        "n_workers": 0,
        "output": str(tmp_path / "runs"),
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path
