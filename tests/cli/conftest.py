"""A tiny real model in a folder, songs, and the command line called in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from stemlight.cli import app

from .material import write_song

TINY = {
    "stft": {"n_fft": 512, "hop_samples": 128, "kept_bins": 256},
    "network": {
        "n_blocks": 3,
        "features": [4],
        "n_tfc_layers": 1,
        "n_latents": 2,
        "key_dim": 4,
        "embedding_dim": 4,
        "bn_factor": 16,
        "min_bn_units": 4,
        "bins_per_fold": 8,
    },
    "chunk": {"chunk_samples": 128 * 127, "trim_samples": 512, "overlap_samples": 1024},
}


@dataclass
class Ran:
    """What a call of the command line left behind."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


Run = Callable[..., Ran]


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A folder with an untrained but complete model of 4 stems."""
    import torch

    from stemlight.models.presets import resolve_preset
    from stemlight.models.spectrogram import build_model
    from stemlight.weights.cards import ModelCard, Score, TrainingData
    from stemlight.weights.checkpoints import save_model

    config = resolve_preset("stemlight-small", TINY)
    card = ModelCard(
        name="tiny",
        summary="untrained, for tests",
        preset="stemlight-small",
        arguments=TINY,
        licence="MIT",
        band_limit_hz=dict.fromkeys(config.sources, 22050.0),
        training_data=(TrainingData(name="nothing", terms="none"),),
        scores=(
            Score(
                metric="SDR",
                aggregation="mean",
                data="no data",
                command="true",
                average_db=1.25,
                stems_db={"vocals": 1.25},
            ),
        ),
    )
    folder = tmp_path_factory.mktemp("models") / "tiny"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_model(build_model(config), card, folder)
    return folder


@pytest.fixture
def run(model, capfd) -> Run:
    """Call the command line; `separate` and `evaluate` get the tiny model unless told otherwise."""

    def call(*arguments: object) -> Ran:
        words = [str(argument) for argument in arguments]
        if words[0] == "separate" and "--model" not in words:
            words[1:1] = ["--model", str(model), "--threads", "1"]
        with pytest.raises(SystemExit) as exited:
            app(words, prog_name="stemlight")
        out, err = capfd.readouterr()
        code = exited.value.code or 0
        assert isinstance(code, int)
        assert "Traceback" not in err
        return Ran(code, out, err)

    return call


@pytest.fixture
def song(tmp_path) -> Path:
    """One second of stereo noise, `song.wav`, 24 bits."""
    return write_song(tmp_path / "song.wav")
