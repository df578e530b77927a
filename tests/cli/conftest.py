"""The command line called in this process, and a song."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from stemlight.cli import app

from .material import RATE_HZ, STEMS, noise, write_song


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
def model(tiny_model) -> Path:
    """A folder with an untrained but complete model of 4 stems."""
    return tiny_model


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


@pytest.fixture
def foreign(monkeypatch):
    """Let Demucs find a tiny model, without a download, by any name; gives the names asked for."""
    pretrained = pytest.importorskip(
        "demucs.pretrained", reason="the package demucs is not installed"
    )
    from demucs.htdemucs import HTDemucs

    asked = []

    def get_model(name):
        import torch

        asked.append(name)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return HTDemucs(
                ["drums", "bass", "other", "vocals"],
                channels=8,
                nfft=512,
                depth=2,
                t_layers=1,
                t_heads=2,
                segment=0.2,
            ).eval()

    monkeypatch.setattr(pretrained, "get_model", get_model)
    return asked


@pytest.fixture(scope="module")
def tracks(tmp_path_factory) -> Path:
    """Three tracks of one second; the third has no bass."""
    root = tmp_path_factory.mktemp("tracks")
    for index, track in enumerate(("one", "two", "three")):
        for stem, name in enumerate(STEMS):
            if (track, name) != ("three", "bass"):
                write_song(
                    root / track / f"{name}.wav", 0.5 * noise(RATE_HZ, seed=10 * index + stem)
                )
    return root
