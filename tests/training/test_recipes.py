"""The recipes of the papers: complete, in agreement with the page about them, and they learn."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from dataclasses import fields

import numpy as np
import pytest
import soundfile
import torch
from typer.testing import CliRunner

import stemlight
from stemlight.cli import app
from stemlight.errors import ConfigError, UsageError, WeightsError
from stemlight.models.config import SOURCES
from stemlight.models.presets import PRESETS
from stemlight.separation import load_mixer
from stemlight.training.losses import LossConfig
from stemlight.training.mixer_recipe import mixer_recipe, train_mixer_recipe
from stemlight.training.recipe import read_recipe
from stemlight.training.recipe_files import read_fields
from stemlight.training.run import train
from stemlight.weights.cards import read_card
from stemlight.weights.checkpoints import load_model, load_trained
from stemlight.weights.untrained import save_untrained_model

from ..conftest import REPOSITORY
from ..test_docs import NETWORKS, PUBLISHED

RECIPES = REPOSITORY / "recipes"
MIXER = RECIPES / "mdx-mixer.yaml"
OURS = "stemlight"
PATHS = {
    path.stem: path
    for path in sorted(RECIPES.glob("*.yaml"))
    if not path.name.startswith(("base-", OURS)) and path != MIXER
}
PAGE = (REPOSITORY / "docs" / "recipes.md").read_text(encoding="utf-8")
RATE_HZ = 8000


@pytest.fixture(scope="module")
def musdb(tmp_path_factory):
    """Make a tiny MUSDB18-HQ: a tone for each source, in four songs and one to validate."""
    root = tmp_path_factory.mktemp("musdb")
    random = np.random.default_rng(0)
    time = np.arange(2 * RATE_HZ) / RATE_HZ
    for name in ("a", "b", "c", "d", "Meaxic - Take A Step"):
        folder = root / "train" / name
        folder.mkdir(parents=True)
        tones = {"vocals": 900, "drums": 3000, "bass": 110, "other": 1500}
        stems = {
            source: 0.3 * np.sin(2 * np.pi * hz * random.uniform(0.9, 1.1) * time)
            for source, hz in tones.items()
        }
        stems["mixture"] = sum(stems.values())
        for source, samples in stems.items():
            path = folder / f"{source}.wav"
            soundfile.write(path, np.stack([samples] * 2, axis=1), RATE_HZ, subtype="FLOAT")
    return root


def shrunk(recipe):
    """Make any recipe small by one rule: a sixteenth of all lengths, few and narrow blocks."""
    config = recipe.model_config()
    stft, network = config.stft, config.network
    small = {
        "n_fft": stft.n_fft // 16,
        "hop_samples": stft.hop_samples // 16,
        "kept_bins": None if stft.kept_bins is None else stft.kept_bins // 16,
    }
    halved = network.halved_frames
    frames = 32 * small["hop_samples"] - small["hop_samples"]
    chunk = {
        "chunk_samples": frames + (0 if stft.centered else small["n_fft"]),
        "trim_samples": min(config.chunk.trim_samples // 16, frames // 4),
    }
    few = {
        "n_blocks": 3,
        "n_tfc_layers": 2,
        "features": [8] if len(network.features) == 1 else [8, 24],
        "halved_frames": None if halved is None else [level for level in halved if level < 1],
        "n_latents": min(network.n_latents, 3),
        "embedding_dim": 8,
        "key_dim": 8,
        "min_bn_units": 4,
    }
    settings = [f"arguments.stft.{key}={_yaml(value)}" for key, value in small.items()]
    settings += [f"arguments.network.{key}={_yaml(value)}" for key, value in few.items()]
    settings += [f"arguments.chunk.{key}={value}" for key, value in chunk.items()]
    return [
        *settings,
        f"arguments.sample_rate_hz={RATE_HZ}",
        "train_frames=16",
        "batch_size=8",
        f"accumulate={min(recipe.accumulate, 2)}",
        "n_steps=24",
        "steps_per_epoch=8",
        "validation.every_n_epochs=3",
        "precision=32-true",
        "n_workers=0",
    ]


def _yaml(value):
    return json.dumps(value)


def places(musdb, output):
    return [f"data.root={musdb}", f"data.cache={musdb}/cache", f"output={output}"]


# What they say


def page_rows():
    lines = [line for line in PAGE.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


def test_the_page_has_every_recipe_with_its_steps_and_batch():
    rows = page_rows()
    assert set(rows) == {*PATHS, MIXER.stem}
    for name, path in PATHS.items():
        recipe = read_recipe(path)
        assert rows[name]["steps"] == f"{recipe.n_steps:,}".replace(",", " ")
        assert rows[name]["batch"] == str(recipe.batch_size)


def published_row(name):
    """Return the first row of docs/published.csv for the result of a recipe, or None."""
    shared = {
        "tfc-tdf-small": "dedicated U-Nets, one for each source",
        "tfc-tdf-v2": "KUIELab-MDX-Net without Mixer",
    }
    for prefix, system in shared.items():
        if name.startswith(prefix):
            return next(row for row in PUBLISHED if row["system"] == system)
    preset = "mdx-net" if name == MIXER.stem else read_recipe(PATHS[name]).preset
    return next((row for row in PUBLISHED if row["preset"] == preset), None)


def test_scores_of_page_and_recipes_are_those_published():
    n_scores = 0
    for name, row in page_rows().items():
        shown = re.findall(r"(vocals|drums|bass|other) (\d\.\d\d)", row["SDR in dB"])
        published = published_row(name) or dict.fromkeys(SOURCES, "")
        text = (RECIPES / f"{name}.yaml").read_text(encoding="utf-8")
        sources = SOURCES if name == MIXER.stem else read_recipe(PATHS[name]).model_config().sources
        for source in sources:
            score = published[source]
            n_scores += bool(score)
            assert ((source, score) in shown) == bool(score), name
            assert not score or f"{source} {score}" in text, name
    assert n_scores > 40


def test_every_network_with_a_published_result_or_weights_has_a_recipe():
    results = {row["preset"] for row in PUBLISHED} & PRESETS.keys()
    weights = {name for name in PRESETS if NETWORKS[name]["authors' weights"] != "–"}
    published = {name for name in results | weights if not name.startswith(OURS)}
    assert len(published) > 15
    assert published <= {read_recipe(path).preset for path in PATHS.values()}


@pytest.mark.parametrize("name", PATHS)
def test_a_recipe_is_complete_and_says_how_to_run_it(name):
    text = PATHS[name].read_text(encoding="utf-8")
    recipe = read_recipe(PATHS[name])
    config = recipe.model_config()
    assert recipe.name == name
    assert name.startswith(recipe.preset)
    assert f"#   stemlight train recipes/{name}.yaml --set data.root=MUSDB18_HQ\n" in text
    assert "# Published: " in text
    assert {folder.split for folder in recipe.data.train} == {"train"}
    assert {folder.split for folder in recipe.data.validation} == {"valid"}
    assert sorted((*config.sources, *recipe.mixing.also_mixed)) == sorted(SOURCES)
    assert (recipe.targets == "one") == config.network.is_conditioned


@pytest.mark.parametrize("name", PATHS)
def test_the_loss_is_the_mean_squared_error_of_the_codes(name):
    recipe = read_recipe(PATHS[name])
    is_waveform = name.startswith("tfc-tdf-v2")
    weights = {
        "waveform_squared": float(is_waveform),
        "planes_squared": 0.0 if is_waveform else float(recipe.model_config().stft.n_fft),
    }
    nothing = {field.name: 0.0 for field in fields(LossConfig) if field.type == "float"}
    nothing["max_sdr_db"] = LossConfig().max_sdr_db
    assert recipe.loss == LossConfig(**(nothing | weights))


# That they learn


@pytest.mark.filterwarnings("ignore")  # Lightning warns of much
@pytest.mark.parametrize("name", PATHS)
def test_the_loss_falls_within_a_few_steps(musdb, tmp_path, name):
    whole = read_recipe(PATHS[name])
    recipe = read_recipe(PATHS[name], [*shrunk(whole), *places(musdb, tmp_path)])
    for part in ("loss", "optimizer", "mixing", "targets"):
        assert getattr(recipe, part) == getattr(whole, part)
    train(recipe)
    lines = [json.loads(line) for line in (tmp_path / name / "history.jsonl").open()]
    assert lines[-1]["step"] == 24
    assert np.isfinite(lines[-1]["validation_sdr_db"])
    assert lines[-1]["loss"] < 0.99 * lines[0]["loss"]


# The mixer


def small_separator(name):
    return read_recipe(PATHS[name], shrunk(read_recipe(PATHS[name])))


@pytest.fixture(scope="module")
def separators(musdb, tmp_path_factory):
    """Make one by a run of training, the others as model folders."""
    root = tmp_path_factory.mktemp("separators")
    found = {}
    for source in ("drums", "other", "vocals"):
        preset = f"tfc-tdf-v2-{source}"
        save_untrained_model(preset, root / source, arguments=small_separator(preset).arguments)
        found[source] = root / source
    name = "tfc-tdf-v2-bass"
    settings = [*shrunk(read_recipe(PATHS[name])), *places(musdb, root)]
    settings += ["n_steps=2", "steps_per_epoch=1", "validation.every_n_epochs=1"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(read_recipe(PATHS[name], settings))
    return found | {"bass": root / name}


def mixer_settings(musdb, separators, output):
    quick = {"n_epochs": 2, "batch_size": 4, "chunk_samples": 4000, "trim_samples": 100}
    return [
        *(f"separators.{source}={path}" for source, path in separators.items()),
        *(f"training.{key}={value}" for key, value in quick.items()),
        *places(musdb, output),
    ]


def test_a_mixer_is_trained_over_trained_separators_into_a_system(musdb, separators, tmp_path):
    settings = mixer_settings(musdb, separators, tmp_path)
    arguments = [part for setting in settings for part in ("--set", setting)]
    result = CliRunner().invoke(app, ["train", str(MIXER), *arguments])
    assert result.exit_code == 0, result.output
    folder = tmp_path / "mdx-mixer"
    assert str(folder) in result.stdout
    card = read_card(folder)
    assert card.members == ("bass", "drums", "other", "vocals")
    assert card.training_data[-1].name == f"{musdb.name}, split train"

    trained, _ = load_trained(separators["bass"] / "best.ckpt")
    kept, _ = load_model(folder / "bass")
    for name, weight in trained.network.state_dict().items():
        assert torch.equal(weight, kept.network.state_dict()[name])

    before, after = map(
        float, re.search(r"SDR (\S+) dB without .*, (\S+) dB", result.stderr).groups()
    )
    assert after > before + 1
    assert not np.array_equal(load_mixer(folder).linear, np.eye(8, 10))
    stems = stemlight.load(folder)(np.zeros((2, 4000), np.float32))
    assert sorted(stems) == sorted(SOURCES)

    again = CliRunner().invoke(app, ["train", str(MIXER), *arguments])
    assert again.exit_code == 2
    assert "holds a model already" in again.stderr


def test_a_separator_that_is_not_there_is_an_error_and_nothing_is_written(
    musdb, separators, tmp_path
):
    gone = separators | {"drums": tmp_path / "gone"}
    recipe = mixer_recipe(read_fields(MIXER, mixer_settings(musdb, gone, tmp_path / "out")))
    with pytest.raises(UsageError, match=r"the separator of drums, '.*gone', is not here"):
        train_mixer_recipe(recipe)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("source", "place", "error", "message"),
    [
        ("drums", "vocals", UsageError, "the separator of drums, .*, gives vocals; a mixer needs"),
        ("bass", "damaged", WeightsError, "is damaged"),
        ("bass", "several", WeightsError, r"keeps 2 checkpoints; name one, such as .*best-1\.ckpt"),
    ],
)
def test_a_separator_that_does_not_serve_is_refused(
    musdb, separators, tmp_path, source, place, error, message
):
    chosen = tmp_path / place
    if place == "several":
        chosen.mkdir()
        for number in (1, 2):
            (chosen / f"best-{number}.ckpt").touch()
    else:
        shutil.copytree(separators["vocals"], chosen)
    if place == "damaged":
        with (chosen / "model.safetensors").open("ab") as file:
            file.write(b"more")
    settings = mixer_settings(musdb, separators | {source: chosen}, tmp_path / "out")
    with pytest.raises(error, match=message):
        train_mixer_recipe(mixer_recipe(read_fields(MIXER, settings)))
    assert not (tmp_path / "out").exists()


def test_recipes_of_mixers_are_told_from_those_of_networks():
    with pytest.raises(ConfigError, match=r"mdx-mixer\.yaml is the recipe of a mixer"):
        read_recipe(MIXER)
    with pytest.raises(ConfigError, match=r"MixerRecipe has no field 'n_steps'"):
        mixer_recipe(read_fields(MIXER, ["n_steps=3"]))
    with pytest.raises(ConfigError, match="learns from all tracks alike; leave weight of x out"):
        mixer_recipe(read_fields(MIXER, ["data.train=[{path: x, weight: 2}]"]))
    with pytest.raises(ConfigError, match="separators needs at least two sources, not 1"):
        mixer_recipe({**read_fields(MIXER), "separators": {"bass": "runs/bass"}})
    result = CliRunner().invoke(app, ["train", str(MIXER), "--resume"])
    assert result.exit_code == 2
    assert "a mixer is trained in one go" in result.stderr


# Recipes built on others


def write(folder, **texts):
    for name, text in texts.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / f"{next(iter(texts))}.yaml"


def test_a_recipe_is_laid_over_its_base_field_by_field(tmp_path):
    path = write(
        tmp_path,
        top="base: middle.yaml\na: {x: 1}\nlist: [3]",
        middle="base: bottom.yaml\na: {y: 2}",
        bottom="a: {x: 0, z: 3}\nlist: [1, 2]\nb: 4",
    )
    assert read_fields(path, ["b=5"]) == {"a": {"x": 1, "y": 2, "z": 3}, "list": [3], "b": 5}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"a": "base: a.yaml"}, r"a\.yaml is built on itself: a\.yaml -> a\.yaml; remove one base"),
        (
            {"a": "base: b.yaml", "b": "base: a.yaml"},
            r"built on itself: a\.yaml -> b\.yaml -> a\.yaml",
        ),
        ({"a": "base: gone.yaml"}, r"gone\.yaml, the base of a\.yaml, is no readable recipe"),
        ({"a": "base: b.yaml", "b": "[1]"}, r"b\.yaml, the base of a\.yaml, must hold a mapping"),
        ({"a": "base: [b.yaml]"}, r"needs the name of a file as base, not \['b\.yaml'\]"),
    ],
)
def test_a_base_that_is_none_is_refused(tmp_path, texts, message):
    with pytest.raises(ConfigError, match=message):
        read_fields(write(tmp_path, **texts))


def test_a_setting_whose_value_is_no_yaml_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--set 'a=\[' has a value that is no YAML"):
        read_fields(write(tmp_path, a="a: 1"), ["a=["])
