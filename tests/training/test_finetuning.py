"""Fine-tuning changes what it says, and nothing else to the last bit."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import stemlight
from stemlight.cli import main
from stemlight.errors import ConfigError, UsageError, WeightsError
from stemlight.models.adapting import add_low_rank, merge_additions
from stemlight.models.presets import resolve_preset
from stemlight.models.spectrogram import build_model
from stemlight.training.callbacks import HISTORY_FILE
from stemlight.training.finetuning import model_to_train, restrict_training
from stemlight.training.recipe import read_recipe
from stemlight.training.run import train
from stemlight.weights.cards import ModelCard, TrainingData
from stemlight.weights.checkpoints import load_model, read_training_checkpoint, save_model

from .conftest import ARGUMENTS
from .test_run import assert_same, break_off, lightning_warns

ADDED = (
    "data.train=[{path: few, only: [few0]}]",
    "data.validation=[{path: few, only: [few1]}]",
    "new_sources.middle=low",
)
QUICK = ("optimizer.learning_rate=0.03", "optimizer.warmup_steps=0", "optimizer.clip_norm=null")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """Make a model folder of random weights with statistics of their own."""
    torch.manual_seed(3)
    model = build_model(resolve_preset("stemlight-small", ARGUMENTS))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
    card = ModelCard(
        name="base",
        summary="Random weights, for tests.",
        preset="stemlight-small",
        arguments=ARGUMENTS,
        licence="MIT",
        band_limit_hz=dict.fromkeys(("low", "high"), 4000.0),
        training_data=(TrainingData(name="nothing", terms="none"),),
    )
    folder = tmp_path_factory.mktemp("models") / "base"
    save_model(model, card, folder)
    return folder


def tuned(recipe_file, base, *settings):
    """Train from the base, and return the weights before and after, as models have them."""
    recipe = read_recipe(recipe_file, [f"start_from={base}", *settings, *QUICK])
    model = build_model(recipe.model_config())
    read_training_checkpoint(train(recipe), model)
    return load_model(base)[0].network.state_dict(), model.network.state_dict()


def changed(before, after):
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def test_training_starts_from_a_model_and_from_a_checkpoint_of_a_run(recipe_file, base, tmp_path):
    before = load_model(base)[0].network.state_dict()
    model = model_to_train(read_recipe(recipe_file, [f"start_from={base}"]))
    assert_same(before, model.network.state_dict())
    state = {f"model.network.{name}": value for name, value in before.items()}
    torch.save({"state_dict": state, "global_step": 1, "epoch": 0}, tmp_path / "last.ckpt")
    again = model_to_train(read_recipe(recipe_file, [f"start_from={tmp_path}/last.ckpt"]))
    assert_same(before, again.network.state_dict())


@lightning_warns
def test_only_what_reads_the_source_is_trained(recipe_file, base):
    before, after = tuned(recipe_file, base, "train_only=conditioning")
    names = changed(before, after)
    assert any(name.startswith("embedding") for name in names)
    assert all(
        name.startswith(("embedding", "conditioner")) or ".attention.query." in name
        for name in names
    )
    assert {name for name in before if name.startswith("embedding")} <= names


@lightning_warns
def test_an_update_of_low_rank_is_merged_and_of_low_rank(recipe_file, base):
    before, after = tuned(recipe_file, base, "train_only=low-rank", "low_rank=1")
    names = changed(before, after)
    assert "encoders.0.tfc.layers.0.0.weight" in names
    assert all(name.endswith(".weight") and before[name].ndim > 1 for name in names)
    assert not any("embedding" in name for name in names)
    for name in names:
        values = torch.linalg.svdvals((after[name] - before[name]).flatten(1))
        assert values[0] > 1e-4
        assert len(values) == 1 or values[1] < 1e-3 * values[0]


@lightning_warns
def test_training_a_new_source_leaves_all_else_as_it_was(recipe_file, base):
    before, after = tuned(recipe_file, base, *ADDED, "train_only=new-sources")
    row = "embedding.weight"
    assert changed(before, {**after, row: after[row][:2]}) == set()
    assert not torch.equal(after[row][2], before[row][0])  # what it began as


@lightning_warns
def test_a_new_source_is_learned_of_one_example(recipe_file, base, tmp_path):
    settings = ("train_only=low-rank", "n_steps=80", "steps_per_epoch=40")
    tuned(recipe_file, base, *ADDED, *settings)
    lines = (tmp_path / "runs" / "tiny" / HISTORY_FILE).read_text().splitlines()
    first, last = (json.loads(line)["validation_sdr_middle_db"] for line in lines)
    assert last > first + 0.5


@lightning_warns
def test_a_model_with_a_new_source_is_exported_and_separates(
    recipe_file, base, tmp_path, capsys, monkeypatch
):
    settings = [f"start_from={base}", *ADDED, "train_only=low-rank", *QUICK]
    checkpoint = train(read_recipe(recipe_file, settings))
    folder = tmp_path / "exported"
    options = [word for setting in settings for word in ("--set", setting)]
    arguments = ["export", str(checkpoint), "-o", str(folder), "--recipe", str(recipe_file)]
    monkeypatch.setattr("sys.argv", ["stemlight", *arguments, *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None), capsys.readouterr().err
    mixture = np.random.default_rng(0).normal(0, 0.1, (2, 8000)).astype(np.float32)
    for engine in ("onnx", "torch"):
        stems = stemlight.load(folder, engine=engine)(mixture)
        assert list(stems) == ["low", "high", "middle"]
    model, card = load_model(folder)
    assert card.sources == ("low", "high", "middle")
    assert set(model.network.state_dict()) == set(load_model(base)[0].network.state_dict())


@lightning_warns
def test_old_sources_sound_the_same_to_the_last_bit_beside_a_new_one(recipe_file, base):
    settings = [f"start_from={base}", *ADDED, "train_only=new-sources", *QUICK]
    recipe = read_recipe(recipe_file, settings)
    model = build_model(recipe.model_config())
    read_training_checkpoint(train(recipe), model)
    mixture = torch.randn(1, 2, 64 * 31, generator=torch.Generator().manual_seed(0))
    old, _ = load_model(base)
    wanted = torch.arange(2)
    torch.testing.assert_close(model.eval()(mixture, wanted), old(mixture, wanted), atol=0, rtol=0)


@lightning_warns
@pytest.mark.parametrize("settings", [("train_only=low-rank",), (*ADDED, "train_only=new-sources")])
def test_fine_tuning_resumes_exactly(recipe_file, base, settings):
    settings = (f"start_from={base}", *settings, *QUICK)
    whole = torch.load(train(read_recipe(recipe_file, [*settings, "name=whole"])))
    break_off(recipe_file, *settings, "name=broken", after=2)
    broken = train(read_recipe(recipe_file, [*settings, "name=broken"]), resume=True)
    assert_same(whole["state_dict"], torch.load(broken)["state_dict"])


@pytest.mark.parametrize("control", ["embedding", "linear"])
def test_a_source_is_added_to_either_kind_of_embedding(recipe_file, base, control, tmp_path):
    argument = f"arguments.network.control={control}"
    old = model_to_train(read_recipe(recipe_file, [argument]))
    state = {f"model.network.{name}": value for name, value in old.network.state_dict().items()}
    torch.save({"state_dict": state, "global_step": 1, "epoch": 0}, tmp_path / "x.ckpt")
    settings = [argument, f"start_from={tmp_path}/x.ckpt", "train_only=new-sources", *ADDED]
    recipe = read_recipe(recipe_file, settings)
    model = model_to_train(recipe)
    rows = model.network.embedding(torch.arange(3))
    torch.testing.assert_close(rows[2], rows[0], atol=0, rtol=0)
    wanted = {name: value.clone() for name, value in model.network.state_dict().items()}
    assert restrict_training(model.network, recipe) == []
    (trained,) = [part for part in model.network.parameters() if part.requires_grad]
    assert trained.numel() == 32
    assert_same(wanted, merge_additions(model.network.state_dict(), wanted))


def test_a_low_rank_update_changes_nothing_before_it_is_trained(base):
    model, _ = load_model(base)
    mixture = torch.randn(1, 2, 64 * 31, generator=torch.Generator().manual_seed(0))
    before = model(mixture, torch.arange(2))
    n_weights = sum(parameter.numel() for parameter in model.network.parameters())
    added = add_low_rank(model.network, 2)
    torch.testing.assert_close(model(mixture, torch.arange(2)), before, atol=0, rtol=0)
    assert 0 < sum(parameter.numel() for parameter in added) < n_weights


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (["start_from=stemlite"], UsageError, "no model 'stemlite'"),
        (
            ["start_from={base}", "arguments.network.features=[8]"],
            ConfigError,
            "has network.features 4 but the recipe 8; give the recipe its preset and arguments",
        ),
        (
            ["start_from={base}", "arguments.sources=[high, low]"],
            ConfigError,
            "has sources low, high but the recipe high, low",
        ),
        (
            ["start_from={base}", "new_sources.middle=lo"],
            ConfigError,
            r"which has no 'lo' \(did you mean 'low'\?\); its sources are low, high",
        ),
        (
            ["start_from={base}", "new_sources.low=high"],
            ConfigError,
            "'low' of new_sources is no n",
        ),
        (["start_from={broken}"], WeightsError, "do not fit the network"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(
    recipe_file, base, tmp_path, settings, error, message
):
    state = {"model.network.x": torch.zeros(1)}
    torch.save({"state_dict": state, "global_step": 1, "epoch": 0}, tmp_path / "x.ckpt")
    settings = [text.format(base=base, broken=tmp_path / "x.ckpt") for text in settings]
    with pytest.raises(error, match=message):
        model_to_train(read_recipe(recipe_file, settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["train_only=conditioning"],
            "train_only and new_sources need trained weights; name a mod",
        ),
        (["new_sources.a=low"], "train_only and new_sources need trained weights; name a model"),
        (["low_rank=4"], "low_rank belongs to train_only low-rank, not all"),
        (["start_from=x", "train_only=new-sources"], "new-sources needs new_sources, for example"),
        (["start_from=x", "train_only=low-rank", "low_rank=0"], "low_rank must be at least 1, not"),
    ],
)
def test_wrong_wishes_are_refused_at_once(recipe_file, settings, message):
    with pytest.raises(ConfigError, match=message):
        read_recipe(recipe_file, settings)


def test_a_network_without_conditioning_has_none_to_train(tmp_path):
    arguments = {"network": {"n_blocks": 3, "features": [4]}, "chunk": {"chunk_samples": 1024 * 31}}
    arguments["chunk"] |= {"trim_samples": 1024}
    network = build_model(resolve_preset("tfc-tdf-small", arguments)).network
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "{name: x, preset: tfc-tdf-small, start_from: x, train_only: conditioning, n_steps: 1, "
        "steps_per_epoch: 1, batch_size: 1, train_frames: 2, "
        "data: {root: x, train: [], validation: []}}"
    )
    with pytest.raises(ConfigError, match="conditioned network, and tfc-tdf-small is none"):
        restrict_training(network, read_recipe(path))
