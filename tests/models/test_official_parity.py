"""Parity with the authors' code: their random weights, our networks, the same planes."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors import safe_open

from stemlight.models.conditioned import build_conditioned_unet
from stemlight.weights.official import conditioned_config, convert_state_dict

CASES = ("lightsaft_mdx", "gpocm_lightsaft", "v2_advanced_nolisten", "v2_light_qk")


def load_case(path):
    with safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["config"])


@pytest.fixture(params=CASES)
def case(request, shared):
    tensors, config = load_case(shared(f"fixtures/official/{request.param}.safetensors"))
    weights = {key[3:]: value for key, value in tensors.items() if key.startswith("sd.")}
    network = build_conditioned_unet(conditioned_config(config), config["n_fft"] // 2 + 1)
    network.load_state_dict(convert_state_dict(weights))
    return network.eval(), tensors


def test_official_weights_give_official_planes_to_1e_4(case):
    network, tensors = case
    with torch.no_grad():
        estimates = network.forward_pairs(tensors["in.spec"].float(), tensors["in.cond"])
    assert (estimates - tensors["out.spec"]).abs().max() < 1e-4


def test_all_sources_at_once_equal_one_source_at_a_time(case):
    network, tensors = case
    planes = tensors["in.spec"].float()
    with torch.no_grad():
        together = network(planes, torch.arange(4))
        alone = [network(planes, torch.tensor([index]))[:, 0] for index in range(4)]
    torch.testing.assert_close(together, torch.stack(alone, dim=1), atol=1e-5, rtol=1e-5)
    if "out.spec_multi" in tensors:
        assert (together[:1] - tensors["out.spec_multi"]).abs().max() < 1e-4


def test_only_lightsaft_as_submitted_conditions_its_encoder(case):
    network, _ = case
    is_v2 = hasattr(network.conditioner, "generators")
    assert network.encoder_is_conditioned is not is_v2
