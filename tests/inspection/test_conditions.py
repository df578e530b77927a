"""What conditions a network, and what lies between two sources."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stemlight.errors import UsageError
from stemlight.inspection import (
    control_vectors,
    distances,
    interpolate,
    modulations,
    observe,
    principal_plane,
)

from .material import noise, subject


@pytest.mark.parametrize("preset", ["lasaft-v2", "stemlight-bands", "lasaft-small"])
def test_an_interpolation_begins_and_ends_with_the_plain_estimates(preset):
    looked, mixture = subject(preset), noise(5000)
    steps = interpolate(looked, mixture, first="drums", second="other", n_steps=3)
    assert list(steps) == ["drums", "drums 50 other 50", "other"]
    estimates = observe(looked, mixture).estimates
    apart = np.abs(estimates["drums"] - estimates["other"]).max()
    for name in ("drums", "other"):
        assert np.abs(steps[name] - estimates[name]).max() < 0.01 * apart
        assert np.abs(steps["drums 50 other 50"] - estimates[name]).max() > 0.1 * apart


def test_an_interpolation_leaves_the_model_as_it_was():
    looked = subject("lightsaft")
    before = control_vectors(looked).copy()
    interpolate(looked, noise(1000), first="vocals", second="bass", n_steps=2)
    np.testing.assert_array_equal(control_vectors(looked), before)
    assert looked.known_network().n_sources == 4


@pytest.mark.parametrize(
    ("way", "message"),
    [
        ({"first": "vocal", "second": "bass"}, "no source 'vocal' .did you mean 'vocals'"),
        ({"first": "bass", "second": "bass"}, "no way from 'bass' to itself"),
        ({"first": "bass", "second": "drums", "n_steps": 1}, "at least 2 steps, not 1"),
    ],
)
def test_a_way_that_does_not_exist_is_refused(way, message):
    with pytest.raises(UsageError, match=message):
        interpolate(subject("lightsaft"), noise(1000), **way)


def test_a_dedicated_network_has_no_control_vectors():
    with pytest.raises(UsageError, match="not conditioned: it always gives vocals"):
        control_vectors(subject("tfc-tdf-small"))
    with pytest.raises(UsageError, match="has no modulation"):
        modulations(subject("tfc-tdf-small"))


def test_modulations_have_the_shapes_of_their_kind():
    for gamma, beta in modulations(subject("film-tdf")).values():
        assert gamma.shape == beta.shape
        assert gamma.shape[0] == 4
    found = modulations(subject("lightsaft"))
    assert list(found) == ["decoder 2", "decoder 1"]
    assert [gamma.shape for gamma, _ in found.values()] == [(4, 5, 5), (4, 4, 4)]


def test_gates_of_a_modulation_of_zeros_are_half_open():
    looked = subject("lightsaft", normalize_modulation=False)
    conditioner = looked.known_network().conditioner
    with torch.no_grad():
        for head in (conditioner.gamma_head, conditioner.beta_head):
            head[0].weight.zero_()
            head[0].bias.zero_()
    for gates in observe(looked, noise(5000)).gates.values():
        np.testing.assert_allclose(gates.by_feature, 0.5)
        np.testing.assert_allclose(gates.by_position, 0.5, rtol=1e-6)


def test_gates_are_means_of_the_same_gates_by_feature_and_by_frequency():
    looked = subject("lightsaft")
    observed = observe(looked, noise(5000)).gates
    assert list(observed) == ["decoder 2", "decoder 1"]
    for gates in observed.values():
        assert gates.by_feature.min() >= 0
        assert gates.by_feature.max() <= 1
        np.testing.assert_allclose(
            gates.by_feature.mean(axis=1), gates.by_position.mean(axis=1), rtol=1e-5
        )


def test_models_without_gates_have_none():
    assert not observe(subject("pocm-lightsaft"), noise(3000)).gates


def test_distances_are_those_of_the_vectors():
    vectors = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]])
    np.testing.assert_allclose(distances(vectors), [[0, 5, 3], [5, 0, 4], [3, 4, 0]])


def test_the_principal_plane_keeps_all_distances_that_lie_in_a_plane():
    plane = np.random.default_rng(0).standard_normal((2, 9))
    vectors = np.array([[0, 0], [2, 1], [-1, 3], [4, 4.0]]) @ plane + 5
    places, shares = principal_plane(vectors)
    np.testing.assert_allclose(distances(places), distances(vectors), atol=1e-9)
    assert shares[0] >= shares[1]
    assert shares.sum() == pytest.approx(1)


def test_one_source_lies_in_the_middle_of_its_plane():
    places, shares = principal_plane(np.ones((1, 5)))
    np.testing.assert_array_equal(places, [[0, 0]])
    np.testing.assert_array_equal(shares, [0, 0])
