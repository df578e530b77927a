"""Several processes learn what one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from stemlight.errors import ConfigError
from stemlight.models.presets import resolve_preset
from stemlight.models.spectrogram import build_model
from stemlight.training.callbacks import HISTORY_FILE
from stemlight.training.data import FoundTrack, ValidationTracks
from stemlight.training.recipe import read_recipe
from stemlight.training.run import train
from stemlight.training.synced_norms import SyncedBatchNorm, synchronise_norms
from stemlight.weights.checkpoints import read_training_checkpoint

from .conftest import ARGUMENTS
from .test_run import lightning_warns

STEPS = (
    "n_steps=6",
    "steps_per_epoch=1",
    "batch_size=4",
    "data.validation=[]",
    "optimizer.warmup_steps=0",
    "optimizer.learning_rate=1e-2",
    "ema_decay=null",
)


def losses(path):
    return [json.loads(line)["loss"] for line in (path / HISTORY_FILE).read_text().splitlines()]


def weights(path):
    network = build_model(resolve_preset("stemlight-small", ARGUMENTS))
    read_training_checkpoint(path / "last.ckpt", network)
    return network.network.state_dict()


@lightning_warns
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_have_the_loss_curve_of_one_and_write_one_checkpoint(recipe_file, strategy):
    runs = recipe_file.parent / "runs"
    train(read_recipe(recipe_file, [*STEPS, "name=one"]))
    # Processes start each other by the command line, as they do for users.
    command = [sys.executable, "-m", "stemlight", "train", str(recipe_file), "--devices", "2"]
    command += ["--strategy", strategy, "--set", "name=two", "--set", "hardware.accelerator=cpu"]
    command += [word for setting in STEPS for word in ("--set", setting)]
    environment = {k: v for k, v in os.environ.items() if "RANK" not in k and "MASTER" not in k}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == f"{runs / 'two' / 'last.ckpt'}\n"  # the second process is silent
    one, two = losses(runs / "one"), losses(runs / "two")
    assert len(one) == 6
    assert two == pytest.approx(one, rel=1e-4)
    assert max(one) > 1.05 * min(one)  # they did not merely stay where they began
    # Biases before a norm have no gradient but rounding, so weights themselves may differ.
    assert [(n, w.shape) for n, w in weights(runs / "two").items()] == [
        (n, w.shape) for n, w in weights(runs / "one").items()
    ]


@pytest.fixture
def company_of_one(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("affine", [True, False])
def test_a_synced_norm_is_a_batch_norm_where_there_is_one_process(company_of_one, affine):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.BatchNorm2d(3, affine=affine), nn.Sequential(nn.BatchNorm1d(5)))
    synced = nn.Sequential(nn.BatchNorm2d(3, affine=affine), nn.Sequential(nn.BatchNorm1d(5)))
    synchronise_norms(synced, on_gpu=False)
    assert isinstance(synced[1][0], SyncedBatchNorm)
    for index, shape in ((0, (4, 3, 6, 2)), (1, (4, 5))):
        part, other = (module[index] for module in (plain, synced))
        values = torch.randn(shape)
        one, two = (values.clone().requires_grad_() for _ in range(2))
        direction = torch.randn(shape)
        for module, input in ((part, one), (other, two)):
            (module(input) * direction).sum().backward()
        torch.testing.assert_close(two.grad, one.grad, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(other.eval()(values), part.eval()(values))
    assert synced.state_dict().keys() == plain.state_dict().keys()


def test_norms_keep_what_they_learned_and_whether_they_learn():
    module = nn.Sequential(nn.BatchNorm2d(2)).eval().requires_grad_(False)
    module[0].running_mean.fill_(3)
    synchronise_norms(module, on_gpu=False)
    assert not module[0].training
    assert not module[0].weight.requires_grad
    assert module[0].running_mean.tolist() == [3, 3]


@pytest.mark.parametrize("n_processes", [1, 2, 3, 5])
def test_validation_tracks_are_shared_out_evenly_and_all_of_them(n_processes):
    tracks = [FoundTrack(None) for _ in range(4)]
    shares = [
        ValidationTracks(tracks, (), 8000, rank=rank, n_processes=n_processes).numbers
        for rank in range(n_processes)
    ]
    assert len({len(share) for share in shares}) == 1  # or one process would wait for ever
    assert {number for share in shares for number in share} == set(range(4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["hardware.accelerator=cuda"], "hardware.accelerator cuda is not here; choose from"),
        (["hardware.devices=3", "batch_size=2"], "batch_size 2 cannot be shared by 3 processes in"),
        (["hardware.strategy=fsdp", "hardware.devices=2"], "ema_decay must be null with hardware"),
        (
            ["hardware.strategy=fsdp", "ema_decay=null"],
            "hardware.devices or nodes must be more than 1 with hardware.strategy fsdp; or choose",
        ),
    ],
)
def test_what_the_machine_or_the_strategy_cannot_do_is_refused(recipe_file, settings, message):
    if "cuda" in settings[0] and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(ConfigError, match=message):
        train(read_recipe(recipe_file, settings))
    assert not (Path(recipe_file).parent / "runs").exists()
