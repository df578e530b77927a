"""`stemlight train` and `export`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from stemlight.models.presets import resolve_preset
from stemlight.models.spectrogram import build_model
from stemlight.weights.cards import read_card

from .material import STEMS, stemlight


@pytest.fixture
def recipe(model, tracks, tmp_path) -> Path:
    arguments = json.loads((model / "card.json").read_text())["arguments"]
    content = {
        "name": "tiny-run",
        "preset": "stemlight-small",
        "arguments": arguments,
        "data": {
            "root": str(tracks),
            "cache": str(tmp_path / "decoded"),
            "train": [{"path": ".", "only": ["one", "three"]}],
            "validation": [{"path": ".", "only": ["two"]}],
        },
        "n_steps": 2,
        "steps_per_epoch": 1,
        "batch_size": 1,
        "train_frames": 64,
        "precision": "32-true",
        "n_workers": 0,
        "output": str(tmp_path / "runs"),
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


# Training and exporting


def test_a_model_is_trained_exported_and_separates(run, recipe, song, tmp_path):
    # A process of its own: Lightning logs to the standard error that it met first.
    trained = stemlight("train", recipe)
    assert trained.returncode == 0, trained.stderr
    checkpoint = tmp_path / "runs" / "tiny-run" / "last.ckpt"
    assert trained.stdout == f"{checkpoint}\n"
    again = run("train", recipe)
    assert again.code == 2
    assert "add --resume" in again.err

    card = tmp_path / "card.yaml"
    card.write_text("licence: MIT\ntraining_data: [{name: noise, terms: none}]\n")
    arguments = ["export", checkpoint, "-o", tmp_path / "tiny", "--recipe", recipe]
    ran = run(*arguments, "--card", card, "--name", "mine")
    assert ran.code == 0, ran.err
    written = read_card(tmp_path / "tiny")
    assert (written.name, written.licence) == ("mine", "MIT")
    assert written.summary == "trained with the recipe tiny-run for 2 steps"
    assert written.band_limit_hz == dict.fromkeys(STEMS, 22050.0)
    assert run(*arguments).code == 1  # a model is there
    ran = run(*arguments, "--overwrite")
    assert "name them with --card" in ran.err
    assert run("separate", song, "--model", tmp_path / "tiny", "-o", tmp_path / "out").code == 0


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ("licens: MIT", "has the field 'licens' (did you mean 'licence'?)"),
        ("scores: 3", "ModelCard.scores must be tuple, not 3"),
        ("- MIT", "must hold a mapping of fields, not list"),
        ("a: [", "cannot be read: "),
    ],
)
def test_a_card_with_wrong_fields_is_refused(run, recipe, tmp_path, fields, line):
    (tmp_path / "card.yaml").write_text(fields)
    arguments = yaml.safe_load(recipe.read_text())["arguments"]
    network = build_model(resolve_preset("stemlight-small", arguments)).network
    state = {f"model.network.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 1, "epoch": 0}, tmp_path / "x.ckpt")
    ran = run(
        *["export", tmp_path / "x.ckpt", "-o", tmp_path / "tiny", "--recipe", recipe],
        *["--card", tmp_path / "card.yaml"],
    )
    assert ran.code == 2
    assert line in ran.err
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "tiny").exists()


def test_wrong_recipes_and_settings_are_code_2(run, recipe, tmp_path):
    for arguments, line in (
        ([tmp_path / "no.yaml"], "is no readable recipe: "),
        ([recipe, "--set", "n_step=3"], "Recipe has no field 'n_step' (did you mean 'n_steps'?)"),
        ([recipe, "--set", "n_steps"], "--set needs key=value"),
    ):
        ran = run("train", *arguments)
        assert (ran.code, ran.out) == (2, "")
        assert line in ran.err
        assert ran.err.count("\n") == 1


def test_resuming_what_never_began_is_refused(run, recipe):
    ran = run("train", recipe, "--resume")
    assert ran.code == 1
    assert "does not exist; train without --resume first" in ran.err


def test_no_checkpoint_is_one_line(run, recipe, tmp_path):
    (tmp_path / "x.ckpt").write_text("no checkpoint")
    for path in (tmp_path / "x.ckpt", tmp_path / "no.ckpt"):
        ran = run("export", path, "-o", tmp_path / "tiny", "--recipe", recipe)
        assert ran.code == 1
        assert f"{path} is no training checkpoint" in ran.err
        assert ran.err.count("\n") == 1
    assert not (tmp_path / "tiny").exists()
