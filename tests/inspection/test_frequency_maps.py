"""Matrices from frequency to frequency are what the blocks compute, at the right frequencies."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stemlight.inspection import (
    harmonic_profile,
    latent_maps,
    mean_attention,
    places_of,
    plain_maps,
    target_maps,
)

from .material import subject

LINEAR = {"activation": "identity"}


@pytest.mark.parametrize("bn_factor", [None, 4])
def test_a_tdf_without_activations_multiplies_by_its_matrix(bn_factor):
    looked = subject("tfc-tdf-small", bn_factor=bn_factor, **LINEAR)
    maps = plain_maps(looked)
    assert list(maps) == [place.name for place in places_of(looked)]
    for place, matrix in maps.values():
        features = torch.randn(1, place.block.tfc.n_out, 3, place.n_positions)
        with torch.no_grad():
            transformed = place.block.transformation(features).numpy()
        expected = features.numpy() @ matrix.T
        np.testing.assert_allclose(transformed, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("preset", ["lasaft-small", "lightsaft", "stemlight-bands"])
def test_a_target_multiplies_by_its_mix_of_the_latent_sources(preset):
    looked = subject(preset, **LINEAR)
    network = looked.known_network()
    with torch.no_grad():
        control = network.embedding(torch.arange(4))
    found = target_maps(looked, mean_attention(looked))
    assert found
    for place, matrices in found.values():
        features = torch.randn(1, place.block.tfc.n_out, 3, place.n_positions)
        with torch.no_grad():
            transformed = place.block.transformation(features.expand(4, -1, -1, -1), control)
        expected = np.einsum("soi,cti->scto", matrices, features[0].numpy())
        largest = np.abs(expected).max()
        np.testing.assert_allclose(transformed.numpy(), expected, atol=1e-4 * largest)


def test_there_is_a_matrix_for_each_latent_source():
    for place, matrices in latent_maps(subject("lasaft-small")).values():
        assert matrices.shape == (3, place.n_positions, place.n_positions)


def test_a_known_harmonic_line_shows_at_its_ratio_and_at_its_hertz():
    looked = subject("tfc-tdf-small", bn_factor=None)
    place = places_of(looked)[0]
    centres = (place.edges_hz[1:] + place.edges_hz[:-1]) / 2
    weight = place.block.transformation.widen[0].weight
    with torch.no_grad():  # each output hears what is an octave below it
        weight.zero_()
        for column, hz in enumerate(centres):
            row = np.searchsorted(place.edges_hz, 2 * hz, side="right") - 1
            if row < len(centres):
                weight[row, column] = 1.0
    place, matrix = plain_maps(looked)["encoder 1"]
    row, column = np.unravel_index(np.argmax(matrix[:, 20:21]), (len(centres), 1))
    assert place.edges_hz[row] <= 2 * centres[20 + column] < place.edges_hz[row + 1]
    ratios = np.array([0.5, 1.0, 1.5, 2.0, 3.0])
    profile = harmonic_profile(matrix, place.edges_hz, ratios)
    np.testing.assert_allclose(profile[[0, 1, 2, 4]], 0, atol=0.05 * profile[3])
    assert profile[3] > 50


def test_a_ratio_without_positions_has_no_strength():
    profile = harmonic_profile(np.ones((64, 64)), np.arange(65.0), np.array([1.0, 40.0]))
    assert profile[0] == 1
    assert np.isnan(profile[1])
