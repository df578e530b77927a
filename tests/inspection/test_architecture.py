"""The drawing's parts are those of the network."""

from __future__ import annotations

import pytest
import torch

from stemlight.inspection import parts_of
from stemlight.models.presets import PRESETS
from stemlight.models.spectrogram import build_model

from .material import FRAMES, NETWORKS, subject


def test_parameters_of_all_parts_are_those_of_the_network():
    for name in ("stemlight-small", "stemlight-bands", "lasaft-large", "lasaft-v2", "tdc-17"):
        with torch.device("meta"):
            network = build_model(PRESETS[name]).network
        expected = sum(parameter.numel() for parameter in network.parameters())
        assert sum(part.n_parameters for part in parts_of(PRESETS[name])) == expected, name


@pytest.mark.parametrize("preset", NETWORKS)
def test_shapes_of_blocks_are_those_of_their_maps(preset):
    looked = subject(preset)
    network = looked.known_network()
    shapes = {}
    modules = {"middle": network.middle, "head": network.head}
    for level in range(2):
        modules[f"encoder {level + 1}"] = network.encoders[level]
        modules[f"down {level + 1}"] = network.downs[level]
        modules[f"up {level + 1}"] = network.ups[1 - level]
        modules[f"decoder {level + 1}"] = network.decoders[1 - level]
    for name, module in modules.items():
        module.register_forward_hook(
            lambda _, inputs, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    with torch.no_grad():
        planes = torch.zeros(1, 4, FRAMES, looked.known_model().stft.kept_bins)
        estimates = network(planes, torch.arange(network.n_sources))
    parts = {part.name: part for part in parts_of(looked.known_config())}
    assert {name: parts[name].shape for name in modules} == shapes
    n_planes = parts["tail"].shape[0] * (1 if network.is_conditioned else 1 / network.n_sources)
    assert (n_planes, *parts["tail"].shape[1:]) == estimates.shape[2:]
    conditioned = {name for name, part in parts.items() if part.is_conditioned}
    told = {n for n in modules if getattr(modules[n], "conditioned", False)}
    assert conditioned - {"control", "conditioner"} == told
