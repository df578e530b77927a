"""Training runs: they learn, resume exactly, and refuse what would spoil them."""

from __future__ import annotations

import json
import os
from functools import partial
from unittest.mock import Mock, patch

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from stemlight.errors import ConfigError, InputError, OutputError, WeightsError
from stemlight.models.presets import resolve_preset
from stemlight.models.spectrogram import build_model
from stemlight.tracks import find_tracks
from stemlight.training.callbacks import HISTORY_FILE
from stemlight.training.recipe import read_recipe
from stemlight.training.run import train
from stemlight.training.shards import Shard, ShardOptions, decode_tracks, prepare_tracks
from stemlight.training.task import SeparationTask
from stemlight.weights.checkpoints import read_training_checkpoint

from .conftest import ARGUMENTS

# Lightning warns about machines without a GPU, few workers and its own deprecations.
lightning_warns = pytest.mark.filterwarnings("ignore")


def run(recipe_file, *settings, resume=False):
    recipe = read_recipe(recipe_file, settings)
    checkpoint = train(recipe, resume=resume)
    return torch.load(checkpoint, weights_only=True)


def break_off(recipe_file, *settings, after):
    """Train some steps with the schedule of the whole run."""
    original = pl.Trainer.__init__

    def shorter(self, **options):
        original(self, **(options | {"max_steps": after}))

    with patch.object(pl.Trainer, "__init__", shorter):
        train(read_recipe(recipe_file, settings))


def history(recipe_file, name):
    path = recipe_file.parent / "runs" / name / HISTORY_FILE
    return [json.loads(line) for line in path.read_text().splitlines()]


def assert_same(one, other):
    assert one.keys() == other.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, atol=0, rtol=0)


def logged_steps(recipe_file, name):
    events = EventAccumulator(str(recipe_file.parent / "runs" / name / "log"))
    events.Reload()
    return [event.step for event in events.Scalars("validation/sdr_db")]


PLATEAU = (
    "optimizer.schedule=plateau",
    "optimizer.plateau_patience=1",
    "optimizer.learning_rate=0.5",  # far too high: validation gets worse
    "optimizer.warmup_steps=0",
)


@lightning_warns
@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("n_workers=1", "n_steps=6", "targets=one"),
        ("accumulate=2", "batch_size=4", "ema_decay=null", "optimizer.kind=muon"),
        ("n_steps=8", "validation.patience=9", "validation.keep_best=2", *PLATEAU),
    ],
    ids=["plain", "workers", "parts", "plateau"],
)
def test_a_resumed_run_ends_with_the_very_weights_of_an_unbroken_one(recipe_file, settings):
    whole = run(recipe_file, "name=whole", *settings)
    after = max(2, whole["global_step"] - 2)
    break_off(recipe_file, "name=broken", *settings, after=after)
    resumed = run(recipe_file, "name=broken", *settings, resume=True)
    assert whole["global_step"] == resumed["global_step"] > after
    for key in ("state_dict", "current_model_state"):
        if key in whole or key == "state_dict":
            assert_same(whole[key], resumed[key])
    assert whole["lr_schedulers"] == resumed["lr_schedulers"]
    assert whole["stemlight"] == resumed["stemlight"]
    told = [
        {k: v for k, v in line.items() if "sec" not in k and k != "waiting_share"}
        for line in history(recipe_file, "whole")
    ]
    assert told == [
        {k: v for k, v in line.items() if "sec" not in k and k != "waiting_share"}
        for line in history(recipe_file, "broken")
    ]
    assert logged_steps(recipe_file, "whole") == logged_steps(recipe_file, "broken")


@lightning_warns
def test_a_run_of_an_earlier_version_goes_on(recipe_file):
    whole = run(recipe_file, "name=whole")
    break_off(recipe_file, "name=broken", after=2)
    path = recipe_file.parent / "runs" / "broken" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    del content["stemlight"]  # what earlier versions did not write
    content["callbacks"]["WeightAveraging"] = content["callbacks"].pop("Average")
    torch.save(content, path)
    assert_same(whole["state_dict"], run(recipe_file, "name=broken", resume=True)["state_dict"])


@lightning_warns
def test_the_rate_falls_where_validation_gets_worse(recipe_file):
    run(recipe_file, "n_steps=10", *PLATEAU)
    lines = history(recipe_file, "tiny")
    best, expected = -1e9, 0.5
    for line in lines:
        is_better = line["validation_sdr_db"] > best
        expected *= 1 if is_better else 0.5
        best = max(best, line["validation_sdr_db"])
        assert line["learning_rate"] == pytest.approx(expected)
    assert lines[-1]["learning_rate"] < 0.5


@lightning_warns
def test_training_ends_early_where_nothing_gets_better_and_stays_ended(recipe_file):
    settings = ("n_steps=20", "validation.patience=2", "optimizer.learning_rate=0.5")
    settings += ("optimizer.warmup_steps=0",)
    ended = run(recipe_file, *settings)
    lines = history(recipe_file, "tiny")
    scores = [line["validation_sdr_db"] for line in lines]
    assert ended["global_step"] < 20
    assert max(scores[:-2]) >= max(scores[-2:])
    assert run(recipe_file, *settings, resume=True)["global_step"] == ended["global_step"]


@lightning_warns
def test_the_best_checkpoints_stay_and_are_named_by_their_score(recipe_file):
    run(recipe_file, "n_steps=10", "validation.keep_best=2")
    scores = sorted(line["validation_sdr_db"] for line in history(recipe_file, "tiny"))
    found = sorted((recipe_file.parent / "runs" / "tiny").glob("best-*.ckpt"))
    named = sorted(float(path.stem.split("-", 1)[1].split("dB")[0]) for path in found)
    assert named == pytest.approx(scores[-2:], abs=6e-4)


@lightning_warns
def test_a_run_tells_what_it_learned_and_what_it_cost(recipe_file):
    told = []
    recipe = read_recipe(recipe_file, ["validation.every_n_epochs=2"])
    train(recipe, report=told.append)
    lines = history(recipe_file, "tiny")
    assert [line["step"] for line in lines] == [2, 4]
    assert ["validation_sdr_db" in line for line in lines] == [False, True]
    assert all(line["audio_seconds_per_second"] > 0 for line in lines)
    assert all(0 <= line["waiting_share"] <= 1 for line in lines)
    steps = [line for line in told if line.startswith("step ")]
    assert steps[0].startswith(f"step 2 of 4: loss {lines[0]['loss']:.5f}; ")
    assert f"SDR {lines[1]['validation_sdr_db']:.2f} dB (low " in steps[1]
    assert steps[1].endswith("% of the time waiting for data")


@lightning_warns
def test_a_run_without_validation_tracks_learns_all_the_same(recipe_file):
    run(recipe_file, "data.validation=[]")
    assert "validation_loss" not in history(recipe_file, "tiny")[-1]
    with pytest.raises(ConfigError, match=r"need tracks to validate on; name some in data\.vali"):
        run(recipe_file, "data.validation=[]", "validation.patience=1", "name=blind")


@lightning_warns
@pytest.mark.parametrize(
    "settings",
    [
        ("hardware.channels_last=true", "precision=bf16-mixed"),
        ("loss={planes: 0, waveform: 0, planes_squared: 1}", "optimizer.kind=rmsprop"),
        ("loss={log_sdr: 0.1, resolutions: 1, n_ffts: [128, 64]}", "optimizer.kind=adam"),
    ],
)
def test_other_ways_to_train_make_the_loss_fall(recipe_file, settings):
    run(
        recipe_file,
        "n_steps=30",
        "steps_per_epoch=10",
        "optimizer.learning_rate=5e-3",
        "data.validation=[]",
        "batch_size=4",
        *settings,
    )
    losses = [line["loss"] for line in history(recipe_file, "tiny")]
    assert losses[2] < losses[0] - 0.05 * abs(losses[0])


@lightning_warns
def test_prepared_tracks_are_as_good_as_files(recipe_file, music, tmp_path):
    for name in ("train", "valid"):
        tracks = find_tracks(music / name, sources=["low", "high"])
        prepare_tracks(tracks, tmp_path / name, ShardOptions(sample_rate_hz=8000))
    files = run(recipe_file)
    prepared = run(recipe_file, f"data.root={tmp_path}", "name=prepared")
    assert_same(files["state_dict"], prepared["state_dict"])
    scores = [history(recipe_file, name)[-1]["validation_sdr_db"] for name in ("tiny", "prepared")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)  # these are of 16 bits
    with pytest.raises(ConfigError, match="was prepared; say split and renamed to stemlight data"):
        run(
            recipe_file,
            f"data.root={tmp_path}",
            "data.train=[{path: train, split: train}]",
            "name=x",
        )


@lightning_warns
def test_training_learns_to_separate_and_its_checkpoint_becomes_a_model(recipe_file, tmp_path):
    settings = ("n_steps=80", "steps_per_epoch=40", "batch_size=4", "ema_decay=0.9")
    content = run(recipe_file, *settings, "optimizer.learning_rate=1e-2")
    (best,) = (
        state["best_model_score"]
        for name, state in content["callbacks"].items()
        if "validation/sdr_db" in name
    )
    assert best > 6  # dB; both halves of the mixture are equally loud, so untrained is about 0
    model = build_model(resolve_preset("stemlight-small", ARGUMENTS))
    facts = read_training_checkpoint(tmp_path / "runs" / "tiny" / "last.ckpt", model)
    assert (facts["step"], facts["epoch"]) == (80, 1)
    assert facts["facts"] == {"preset": "stemlight-small", "arguments": ARGUMENTS}
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


def test_a_track_under_another_name_is_not_validated_on_what_was_trained_on(
    recipe_file, music, tmp_path
):
    (tmp_path / "mine" / "best").mkdir(parents=True)
    for name in ("low", "high"):
        (tmp_path / "mine" / "best" / f"{name}.wav").symlink_to(music / "valid/valid0/low.wav")
    recipe = read_recipe(recipe_file, [f"data.train=[{{path: {tmp_path / 'mine'}}}]"])
    with pytest.raises(ConfigError, match="'best' of training and 'valid0' of validation have a f"):
        train(recipe)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["n_step=3"], r"Recipe has no field 'n_step' \(did you mean 'n_steps'"),
        (["n_steps=3"], "n_steps 3 must be a multiple of steps_per_epoch 2"),
        (["n_workers=-1"], "recipe.n_workers must be at least 0, not -1"),
        (["seed=-1"], r"recipe.seed must lie in 0\.\.4294967295, not -1"),
        (["name=''"], "recipe.name must not be empty"),
        (["name=2024-13-45"], "--set 'name=2024-13-45' has a value that is no YAML"),
        (
            ["data.train=[{path: train, weight: .nan}]"],
            "weight of train must be more than 0, not n",
        ),
        (["loss.source_weights={1: 2.0}"], "keys of LossConfig.source_weights must be str, not 1"),
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


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "", "name: 2024-13-45"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"recipe\.yaml (is no readable recipe|must hold a map)"):
        read_recipe(path)


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


@lightning_warns
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (
            "arguments.network.features=[6]",
            r"with network\.features \(4,\) and the recipe has \(6,",
        ),
        ("optimizer.kind=muon", "with optimizer.kind adamw and the recipe has muon; set it back"),
        ("optimizer.learning_rate=1e-5", "with optimizer.learning_rate 0.002 and the recipe has 1"),
        ("ema_decay=null", "with ema_decay a number and the recipe has None"),
    ],
)
def test_a_resumed_run_refuses_what_it_could_not_follow(recipe_file, setting, message):
    break_off(recipe_file, after=2)
    with pytest.raises(ConfigError, match=message):
        run(recipe_file, setting, resume=True)


@lightning_warns
@pytest.mark.parametrize("n_bytes", [0, 5000])
def test_a_damaged_checkpoint_is_refused(recipe_file, n_bytes):
    break_off(recipe_file, after=2)
    path = recipe_file.parent / "runs" / "tiny" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(WeightsError, match=r"last\.ckpt is damaged; remove it to begin anew"):
        run(recipe_file, resume=True)


@lightning_warns
@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, ""),
        (SIGTERMException(), SystemExit, "143"),
        (OSError(28, "No space left on device", "x.ckpt"), OutputError, r"write x\.ckpt: No space"),
        (torch.OutOfMemoryError(), ConfigError, "too little memory for batch_size 2 in 1 parts"),
    ],
)
def test_a_run_that_is_broken_off_says_so(recipe_file, raised, expected, message):
    with (
        patch.object(SeparationTask, "_network", side_effect=raised),
        pytest.raises(expected, match=message),
    ):
        run(recipe_file)


@lightning_warns
@pytest.mark.parametrize("setting", ["output", "data.cache"])
def test_a_folder_that_cannot_be_written_is_told(recipe_file, setting):
    with pytest.raises(OutputError, match="cannot write"):
        run(recipe_file, f"{setting}={recipe_file}/below-a-file")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["train_frames=15"], "train_frames must be a multiple of 2, not 15"),
        (["train_frames=2"], "train_frames 2 gives 64 samples, too few for an n_fft of 256; make"),
        (["loss={resolutions: 1, n_ffts: [4096]}"], "960 samples, too few for an n_fft of 4096"),
    ],
)
def test_mixtures_too_short_or_odd_for_the_network_are_refused(recipe_file, settings, message):
    with pytest.raises(ConfigError, match=message):
        train(read_recipe(recipe_file, settings))


def test_random_numbers_of_an_epoch_depend_on_seed_process_and_epoch():
    drawn = []
    for seed, rank, epoch in [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0), (2**32 - 1, 0, 0)]:
        task = Mock(current_epoch=epoch, global_rank=rank, _trained=None)
        task.settings.seed = seed
        SeparationTask.on_train_epoch_start(task)
        drawn.append(float(torch.rand(1)))
    assert len(set(drawn)) == len(drawn)


@lightning_warns
@pytest.mark.parametrize(
    ("effect", "error", "message"),
    [
        (InputError("cannot read x.bin"), InputError, r"^cannot read x\.bin$"),
        (lambda *_: os._exit(9), ConfigError, "one of n_workers 1 was killed, mostly for want of"),
    ],
)
def test_what_happens_in_a_worker_is_told_in_one_line(recipe_file, effect, error, message):
    with patch.object(Shard, "values", side_effect=effect), pytest.raises(error, match=message):
        run(recipe_file, "n_workers=1", "data.validation=[]")


@lightning_warns
def test_a_network_that_cannot_be_compiled_is_told_in_one_line(recipe_file):
    def no_compiler(*_):
        raise RuntimeError("No working C++ compiler found")

    compiled = partial(torch.compile, backend=no_compiler)
    with (
        patch("torch.compile", compiled),
        pytest.raises(ConfigError, match=r"No working C\+\+ compiler found; set hardware\.compile"),
    ):
        run(recipe_file, "hardware.compile=true", "data.validation=[]")
