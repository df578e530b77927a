"""Fresh weights: the authors' spread, the same for a seed, and nobody else's random numbers."""

from __future__ import annotations

import math

import pytest
import torch

from stemlight.models.initialisation import fresh_model, redraw
from stemlight.models.presets import PRESETS, initialisation_of, resolve_preset

SMALL = {
    "stft": {"n_fft": 512, "hop_samples": 128},
    "network": {"n_blocks": 5, "features": [12]},
    "chunk": {"chunk_samples": 128 * 15, "trim_samples": 128},
}


def parameters(initialisation, preset="lightsaft-plus", seed=0):
    network = fresh_model(resolve_preset(preset, SMALL), initialisation, seed=seed).network
    return dict(network.named_parameters())


def fans(shape):
    receptive = math.prod(shape[2:])
    return shape[1] * receptive, shape[0] * receptive


@pytest.mark.parametrize("preset", ["lightsaft", "lasaft-v2", "tfc-tdf-small", "film"])
@pytest.mark.parametrize(
    ("initialisation", "spread"),
    [
        ("xavier-normal", lambda fan_in, fan_out: math.sqrt(2 / (fan_in + fan_out))),
        ("kaiming-normal", lambda fan_in, fan_out: math.sqrt(2 / fan_in)),
    ],
)
def test_weights_spread_as_the_authors_draw_them(initialisation, spread, preset):
    drawn, plain = parameters(initialisation, preset), parameters("pytorch", preset)
    n_checked = 0
    for name, parameter in drawn.items():
        if parameter.ndim < 2:
            assert torch.equal(parameter, plain[name])  # biases and norms
        elif parameter.numel() > 1000 and not name.endswith(".keys"):
            n_checked += 1
            expected = spread(*fans(parameter.shape))
            assert parameter.std().item() == pytest.approx(expected, rel=0.15)
            assert abs(parameter.mean().item()) < 0.15 * expected
    assert n_checked > 5


def test_keys_spread_as_those_of_the_authors_which_have_two_axes_more():
    module = torch.nn.Module()
    module.attention = torch.nn.Module()
    module.attention.keys = torch.nn.Parameter(torch.zeros(300, 40))
    redraw(module, "kaiming-normal")
    assert module.attention.keys.std().item() == pytest.approx(math.sqrt(2 / 12_000), rel=0.05)


def test_a_seed_is_all_that_weights_depend_on():
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    one = parameters("kaiming-normal")
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(10)
    two, other = parameters("kaiming-normal"), parameters("kaiming-normal", seed=1)
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["head.0.weight"], other["head.0.weight"])


def test_every_preset_begins_as_its_authors_begin():
    begins = {name: initialisation_of(name) for name in PRESETS}
    assert {name for name, how in begins.items() if how == "kaiming-normal"} == {
        "lightsaft-plus",
        "lasaft-v2-light",
        "lasaft-v2",
        "lasaft-v2-large",
    }
    assert {name for name, how in begins.items() if how == "pytorch"} == {
        "stemlight-bands",
        "stemlight-small",
        *(f"tfc-tdf-v2-{source}" for source in ("bass", "drums", "other", "vocals")),
    }
    assert {"film", "lasaft-large", "lightsaft-mdx", "tfc-tdf-large", "tdc-17"} <= {
        name for name, how in begins.items() if how == "xavier-normal"
    }
