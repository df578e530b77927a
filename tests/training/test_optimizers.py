"""Optimizers and schedules do what they are called, and go on where they were."""

from __future__ import annotations

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from stemlight.errors import ConfigError
from stemlight.training.optimizers import (
    OptimizerConfig,
    Patience,
    learning_rate_factor,
    make_optimizer,
)

KINDS = ("adam", "adamw", "rmsprop", "muon")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.ConvTranspose2d(6, 2, 3))


def kernels(module):
    return [weight for weight in module.parameters() if weight.ndim > 1]


def optimizer_of(module, **fields):
    return make_optimizer(module.parameters(), OptimizerConfig(**fields), matrices=kernels(module))


def learn(module, optimizer, n_steps, seed=0):
    generator = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(n_steps):
        planes = torch.randn(4, 2, 8, 8, generator=generator)
        loss = (module(planes) - planes).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", KINDS)
def test_every_optimizer_makes_the_loss_fall(kind):
    module = network()
    losses = learn(module, optimizer_of(module, kind=kind, learning_rate=1e-2), 60)
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_optimizer_goes_on_where_its_state_was_taken(kind):
    module = network()
    optimizer = optimizer_of(module, kind=kind)
    learn(module, optimizer, 3)
    again = copy.deepcopy(module)
    resumed = optimizer_of(again, kind=kind)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    learn(module, optimizer, 3, seed=1)
    learn(again, resumed, 3, seed=1)
    for one, other in zip(module.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_frozen_weights_are_left_alone(kind):
    module = network()
    frozen = module[0].weight.requires_grad_(False).clone()
    learn(module, optimizer_of(module, kind=kind), 2)
    torch.testing.assert_close(module[0].weight, frozen, atol=0, rtol=0)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_muon_moves_kernels_along_orthogonal_matrices_and_biases_as_adamw_does(memory_format):
    module = network().to(memory_format=memory_format)
    before = copy.deepcopy(module)
    learn(module, optimizer_of(module, kind="muon", learning_rate=0.1, weight_decay=0), 1)
    for new, old in zip(kernels(module), kernels(before), strict=True):
        step = ((new - old) / 0.1).flatten(1).detach()
        values = torch.linalg.svdvals(step) / (0.2 * max(step.shape) ** 0.5)
        assert 0.5 < values.min() < values.max() < 1.3  # Newton-Schulz is no exact inverse
        assert step.square().mean().sqrt() == pytest.approx(0.2, rel=0.3)
    torch.testing.assert_close(
        (module[0].bias - before[0].bias).abs(), torch.full((6,), 0.1), rtol=1e-3, atol=0
    )


def test_muon_takes_the_same_step_whether_features_are_last():
    plain, last = network(), network().to(memory_format=torch.channels_last)
    for module in (plain, last):
        learn(module, optimizer_of(module, kind="muon", learning_rate=0.01), 3)
    for one, other in zip(plain.parameters(), last.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-3)  # it computes in bfloat16


def test_muon_obeys_the_schedule_of_both_of_its_parts():
    module = network()
    optimizer = optimizer_of(module, kind="muon")
    before = copy.deepcopy(module)
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    learn(module, optimizer, 1)
    for one, other in zip(module.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=0)


def test_the_rate_warms_up_stays_and_falls():
    config = OptimizerConfig(warmup_steps=10, decay_from=0.5, final_share=0.1)
    factors = [learning_rate_factor(step, 100, config) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[10:51] == pytest.approx([1.0] * 41)
    assert all(a > b for a, b in pairwise(factors[51:]))
    assert factors[100] == pytest.approx(0.1)


@pytest.mark.parametrize("schedule", ["constant", "plateau"])
def test_other_schedules_stay_after_the_warm_up(schedule):
    config = OptimizerConfig(warmup_steps=4, schedule=schedule)
    factors = [learning_rate_factor(step, 10, config) for step in range(10)]
    assert factors == pytest.approx([0.25, 0.5, 0.75, *[1.0] * 7])


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_patience_counts_values_that_are_no_better_than_the_best(higher_is_better):
    sign = 1 if higher_is_better else -1
    patience = Patience(higher_is_better=higher_is_better)
    counts = []
    for value in (1.0, 2.0, 1.5, float("nan"), 2.0, 2.1):
        patience.update(sign * value)
        counts.append(patience.n_worse)
    assert counts == [0, 0, 1, 2, 3, 0]
    resumed = Patience(higher_is_better=higher_is_better)
    resumed.load_state_dict(patience.state_dict())
    resumed.update(sign * 2.05)
    assert resumed.n_worse == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"learning_rate": 0.0}, r"learning_rate must be more than 0, not 0\.0"),
        ({"learning_rate": float("inf")}, "learning_rate must be more than 0, not inf"),
        ({"weight_decay": -1.0}, r"weight_decay must be at least 0, not -1\.0"),
        ({"betas": (1.5, 0.9)}, r"betas must be at least 0 and below 1, not 1\.5, 0\.9"),
        ({"kind": "muon", "momentum": -1.0}, r"momentum must be at least 0 and below 1, not -1\.0"),
        ({"final_share": -1.0}, r"final_share must lie in 0\.\.1, not -1\.0"),
        ({"decay_from": 5.0}, r"decay_from must lie in 0\.\.1, not 5\.0"),
        ({"warmup_steps": -4}, "warmup_steps must be at least 0, not -4"),
        ({"clip_norm": 0.0}, r"clip_norm must be more than 0, or null for none, not 0\.0"),
        ({"momentum": 0.9}, "momentum belongs to rmsprop and muon; adamw has betas"),
        ({"plateau_factor": 1.0}, r"plateau_factor between 0 and 1, not 5 and 1\.0"),
        ({"plateau_patience": 0}, r"plateau_patience must be at least 1 .* not 0 and 0\.5"),
    ],
)
def test_a_wrong_optimizer_is_refused(fields, message):
    with pytest.raises(ConfigError, match=message):
        OptimizerConfig(**fields)
