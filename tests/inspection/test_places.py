"""Positions of maps lie at the frequencies that they are said to lie at."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stemlight.inspection import places_of

from .material import FRAMES, RATE_HZ, subject

BIN_HZ = RATE_HZ / 256
HEADS = ("stemlight-small", "stemlight-bands", "lasaft-small", "tfc-tdf-v2-bass")


@pytest.mark.parametrize("preset", HEADS)
@pytest.mark.parametrize("bin", [3, 21, 40, 60])
def test_a_position_changes_with_the_bins_between_its_edges_and_with_no_others(preset, bin):
    looked = subject(preset)
    n_bins = looked.known_model().stft.kept_bins
    silent = torch.zeros(1, 4, 4, n_bins)
    sounding = silent.clone()
    sounding[..., bin] = 1.0
    with torch.no_grad():
        head = looked.known_network().head
        changed = (head(sounding) != head(silent)).flatten(0, 2).any(dim=0).numpy()
    edges = places_of(looked)[0].edges_hz
    hz = bin * BIN_HZ
    touching = (edges[:-1] <= hz) & (hz <= edges[1:])
    np.testing.assert_array_equal(changed, touching)


@pytest.mark.parametrize("preset", HEADS)
def test_places_have_as_many_positions_and_frames_as_their_maps(preset):
    looked = subject(preset)
    shapes = {}
    handles = [
        place.block.register_forward_hook(
            lambda block, inputs, output, name=place.name: shapes.update({name: output.shape})
        )
        for place in places_of(looked)
    ]
    with torch.no_grad():
        planes = torch.zeros(1, 4, FRAMES, looked.known_model().stft.kept_bins)
        looked.known_network()(planes, torch.tensor([0]))
    for handle in handles:
        handle.remove()
    for place in places_of(looked):
        assert shapes[place.name][3] == place.n_positions
        assert shapes[place.name][2] * place.hops_per_frame == FRAMES


def test_places_come_in_the_order_of_execution():
    names = [place.name for place in places_of(subject("lightsaft"))]
    assert names == ["encoder 1", "encoder 2", "middle", "decoder 2", "decoder 1"]
