"""`stemlight info`."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

import stemlight
from stemlight.models.presets import PRESETS
from stemlight.models.size import network_size
from stemlight.weights.cards import Score, read_card, write_card
from stemlight.weights.systems import SYSTEMS


def test_info_of_a_song_tells_what_it_is(run, song):
    ran = run("info", song)
    assert ran.code == 0
    assert [line.split(maxsplit=1) for line in ran.out.splitlines()] == [
        ["file", str(song)],
        ["format", "wav (pcm_24)"],
        ["duration", "1.00 s"],
        ["sample", "rate  44100 Hz"],
        ["channels", "2"],
        ["samples", "44100"],
    ]


def test_info_of_a_model_tells_what_its_card_says(run, model, tmp_path):
    score = Score(
        metric="SDR",
        aggregation="mean over tracks",
        data="a data set",
        command="stemlight evaluate",
        average_db=1.25,
        stems_db={"vocals": 1.25},
    )
    card = dataclasses.replace(read_card(model), scores=(score,))
    write_card(card, tmp_path)
    ran = run("info", tmp_path)
    assert ran.code == 0
    for line in (
        "model              tiny",
        "stems              vocals, drums, bass, other",
        "licence            MIT",
        "trained on         nothing (none)",
        "SDR                1.25 dB (vocals 1.25)",
        "                   mean over tracks; a data set",
        "                   measured with: stemlight evaluate",
    ):
        assert line in ran.out.splitlines()
    for file in card.files.values():
        assert f"                   sha256 {file.sha256}" in ran.out.splitlines()


def test_the_latency_that_info_tells_is_the_one_that_is_measured(run, model):
    (told,) = (line for line in run("info", model).out.splitlines() if line.startswith("latency "))
    separator = stemlight.load(model, n_threads=1)
    lags = []
    with separator.stream(channels=2) as stream:
        for _ in range(3 * separator.maker.hop_samples):
            stream.push(np.zeros((2, 1), np.float32))
            lags.append(stream.lag_samples)
    measured_seconds = (max(lags) + 1) / separator.sample_rate_hz  # the last one filled the window
    assert told.split(maxsplit=1)[1].startswith(f"{measured_seconds:.2f} s at most")


@pytest.mark.parametrize("preset", PRESETS)
def test_info_of_a_preset_tells_its_fields_as_set_names_them(run, preset):
    ran = run("info", preset)
    assert ran.code == 0
    config = PRESETS[preset]
    rows = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert rows["preset"] == preset
    assert rows["stft.n_fft"] == str(config.stft.n_fft)
    assert rows["network.n_blocks"] == str(config.network.n_blocks)
    assert rows["sources"] == ", ".join(config.sources)
    assert rows["stems"] == ", ".join(config.sources)
    size = network_size(config)
    assert rows["parameters"].replace(" ", "") == str(size.n_parameters)
    assert rows["work"].startswith(f"{size.gmac_per_second:.2f} GMAC per second of music")
    assert rows["memory"].endswith("MiB of weights and feature maps for a window")
    for source in config.sources:
        assert f"{source} {config.band_limit_hz:.0f} Hz" in ran.out
    heard = config.chunk.kept_samples + config.chunk.trim_samples
    assert rows["latency"].startswith(f"{heard / 44_100:.2f} s at most")


@pytest.mark.parametrize("system", SYSTEMS)
def test_info_of_a_system_adds_its_members_up(run, system):
    ran = run("info", system)
    assert ran.code == 0
    rows = dict(line.split(maxsplit=1) for line in ran.out.splitlines())
    assert rows["parameters"].replace(" ", "") == str(4 * 7_423_236)
    assert rows["work"] == "77.12 GMAC per second of music"
    assert "bass 5512 Hz" in rows["band"]
    assert "mixer over all" in rows["combined"]
    assert ("demucs:htdemucs" in rows["combined"]) is (system == "mdx-net-demucs")


def test_info_counts_nothing_without_pytorch_and_says_so(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "stemlight.models.size", None)
    ran = run("info", "lightsaft")
    assert ran.code == 0
    assert "pip install 'stemlight[torch]'" in ran.out
    assert "latency" in ran.out


def test_info_of_nothing_is_code_2_and_of_a_missing_song_code_1(run, tmp_path):
    ran = run("info", "lightsaft-pluss")
    assert ran.code == 2
    assert "did you mean 'lightsaft-plus'?" in ran.err
    ran = run("info", tmp_path / "no.mp3")
    assert ran.code == 1
    assert ran.err == f"error: cannot read {tmp_path}/no.mp3: No such file or directory\n"
