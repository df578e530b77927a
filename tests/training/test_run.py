"""Training runs: they learn, resume exactly, and refuse what would spoil them."""

from __future__ import annotations

import json
from itertools import pairwise
from unittest.mock import patch

import lightning.pytorch as pl
import numpy as np
import pytest
import soundfile
import torch
import yaml

from stemlight.errors import ConfigError, InputError
from stemlight.models.presets import resolve_preset
from stemlight.models.spectrogram import build_model
from stemlight.tracks import find_tracks
from stemlight.training.arrays import decode_tracks
from stemlight.training.recipe import read_recipe
from stemlight.training.run import train
from stemlight.training.task import OptimizerConfig, learning_rate_factor
from stemlight.weights.checkpoints import read_training_checkpoint

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


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Make songs of a low and a high tone: separable by a gain for each bin."""
    root = tmp_path_factory.mktemp("music")
    random = np.random.default_rng(0)
    for folder, n_songs in (("train", 3), ("valid", 1)):
        for number in range(n_songs):
            (root / folder / f"{folder}{number}").mkdir(parents=True)
            for name, hz in (("low", 300), ("high", 2500)):
                time = np.arange(16_000) / 8000
                tone = 0.2 * np.sin(2 * np.pi * hz * random.uniform(0.8, 1.2) * time)
                path = root / folder / f"{folder}{number}" / f"{name}.wav"
                soundfile.write(path, np.stack([tone, tone], axis=1), 8000, subtype="FLOAT")
    return root


@pytest.fixture
def recipe_file(music, tmp_path):
    content = {
        "name": "tiny",
        "preset": "stemlight-small",
        "arguments": ARGUMENTS,
        "data": {
            "root": str(music),
            "train": [{"path": "train"}],
            "validation": [{"path": "valid"}],
            "cache": str(tmp_path / "decoded"),
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


# Lightning warns about machines without a GPU, few workers and its own deprecations.
lightning_warns = pytest.mark.filterwarnings("ignore")


def run(recipe_file, *settings, resume=False):
    recipe = read_recipe(recipe_file, settings)
    checkpoint = train(recipe, resume=resume)
    return torch.load(checkpoint, weights_only=True)


@lightning_warns
def test_a_resumed_run_ends_with_the_very_weights_of_an_unbroken_one(recipe_file):
    whole = run(recipe_file, "name=whole")
    # Broken off after the first of two epochs, with the schedule of the whole run.
    recipe = read_recipe(recipe_file, ["name=broken"])
    original = pl.Trainer.__init__

    def one_epoch(self, **options):
        original(self, **(options | {"max_steps": 2}))

    with patch.object(pl.Trainer, "__init__", one_epoch):
        train(recipe)
    resumed = run(recipe_file, "name=broken", resume=True)
    assert whole["global_step"] == resumed["global_step"] == 4
    for key in ("state_dict", "current_model_state"):
        assert whole[key].keys() == resumed[key].keys()
        for name, tensor in whole[key].items():
            torch.testing.assert_close(resumed[key][name], tensor, atol=0, rtol=0)


@lightning_warns
def test_training_learns_to_separate_and_its_checkpoint_becomes_a_model(recipe_file, tmp_path):
    settings = ("n_steps=120", "steps_per_epoch=60", "batch_size=4", "ema_decay=0.9")
    content = run(recipe_file, *settings, "optimizer.learning_rate=1e-2")
    (best,) = (
        state["best_model_score"]
        for name, state in content["callbacks"].items()
        if "validation/sdr_db" in name
    )
    assert best > 6  # dB; both halves of the mixture are equally loud, so untrained is about 0
    model = build_model(resolve_preset("stemlight-small", ARGUMENTS))
    facts = read_training_checkpoint(tmp_path / "runs" / "tiny" / "last.ckpt", model)
    assert facts == {"step": 120, "epoch": 1}
    assert list((tmp_path / "runs" / "tiny" / "log").glob("events*"))


@lightning_warns
def test_a_run_is_neither_overwritten_nor_resumed_from_nothing(recipe_file):
    with pytest.raises(InputError, match=r"last\.ckpt does not exist; train without --resume"):
        run(recipe_file, resume=True)
    run(recipe_file, "n_steps=2")
    with pytest.raises(ConfigError, match=r"last\.ckpt exists; add --resume"):
        run(recipe_file)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (["data.validation=[{path: train}]"], ConfigError, "'train0' is in both training and val"),
        (["data.train=[{path: gone}]"], InputError, "gone is not a folder"),
        (["data.train=[{path: train, exclude: [train9]}]"], ConfigError, "has no track 'train9'"),
    ],
)
def test_data_that_would_spoil_a_run_is_refused(recipe_file, settings, error, message):
    with pytest.raises(error, match=message):
        train(read_recipe(recipe_file, settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["n_step=3"], r"Recipe has no field 'n_step' \(did you mean 'n_steps'"),
        (["n_steps=3"], "n_steps 3 must be a multiple of steps_per_epoch 2"),
        (["batch_size=0"], "recipe.batch_size must be at least 1, not 0"),
        (["nonsense"], "--set needs key=value, for example n_steps=1000; got 'nonsense'"),
        (["mixing.gain_db=[1, 2, 3]"], "MixingConfig.gain_db needs 2 values, not 3"),
    ],
)
def test_a_wrong_setting_is_refused(recipe_file, settings, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe(recipe_file, settings)


def test_settings_are_laid_over_the_recipe(recipe_file):
    recipe = read_recipe(recipe_file, ["optimizer.learning_rate=1e-3", "n_steps=8"])
    assert (recipe.optimizer.learning_rate, recipe.n_steps) == (1e-3, 8)


def test_a_recipe_reads_lists_from_text_files(recipe_file):
    (recipe_file.parent / "names.txt").write_text("one song\n\ntwo songs\n")
    lines = "[{path: valid, only: !lines names.txt}]"
    text = recipe_file.read_text().replace(
        "- path: valid", "- path: valid\n    only: !lines names.txt"
    )
    assert "!lines" in text, lines
    recipe_file.write_text(text)
    assert read_recipe(recipe_file).data.validation[0].only == ("one song", "two songs")


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", ""])
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"recipe\.yaml (is no readable recipe|must hold a map)"):
        read_recipe(path)


def test_the_rate_warms_up_stays_and_falls():
    config = OptimizerConfig(warmup_steps=10, decay_from=0.5, final_share=0.1)
    factors = [learning_rate_factor(step, 100, config) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10:51] == pytest.approx([1.0] * 41)
    assert all(a > b for a, b in pairwise(factors[51:]))
    assert factors[100] == pytest.approx(0.1)


def test_a_track_is_decoded_once_and_appears_whole_or_not_at_all(music, tmp_path):
    tracks = find_tracks(music / "train", sources=["low", "high"])
    seen = []
    arrays = decode_tracks(tracks, tmp_path, sample_rate_hz=8000, report=seen.append)
    decode_tracks(tracks, tmp_path, sample_rate_hz=8000, report=seen.append)
    assert seen == [track.name for track in tracks]
    assert arrays[0].n_samples == 16_000
    assert not list(tmp_path.glob(".*"))
    decode_tracks(tracks, tmp_path, sample_rate_hz=4000, report=seen.append)
    assert len(seen) == 2 * len(tracks)
    assert json.dumps(sorted(arrays[0].stems)) == '["high", "low"]'
