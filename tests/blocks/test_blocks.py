"""What each block promises, apart from parity with the authors' code."""

from __future__ import annotations

import pytest
import torch

from stemlight.blocks.conditioning import (
    PerBlockConditioner,
    PointwiseModulation,
    SharedConditioner,
    gated_pointwise_modulation,
)
from stemlight.blocks.latent_sources import LatentAttention, LightSaft
from stemlight.blocks.tfc_tdf import Tdf, Tfc, TfcFtBlock, bottleneck_units


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def features(n_items=2, n_features=3, n_frames=5, n_bins=8):
    return torch.randn(n_items, n_features, n_frames, n_bins)


def test_gpocm_is_the_sigmoid_of_a_1x1_convolution_times_the_input():
    inputs = features()
    gamma, beta = torch.randn(2, 3, 3), torch.randn(2, 3)
    modulated = gated_pointwise_modulation(inputs, PointwiseModulation(gamma, beta))
    for item in range(2):
        # conv2d's weights are (out, in); gamma is (in, out).
        convolved = torch.nn.functional.conv2d(
            inputs[item : item + 1], gamma[item].T[:, :, None, None], beta[item]
        )
        expected = torch.sigmoid(convolved[0]) * inputs[item]
        torch.testing.assert_close(modulated[item], expected)


@pytest.mark.parametrize("conditioner_type", [SharedConditioner, PerBlockConditioner])
def test_a_conditioner_makes_one_modulation_of_the_right_size_for_each_block(conditioner_type):
    conditioner = conditioner_type(4, [6, 5]).eval()
    modulations = conditioner(torch.randn(3, 4))
    shapes = [(tuple(m.gamma.shape), tuple(m.beta.shape)) for m in modulations]
    assert shapes == [((3, 6, 6), (3, 6)), ((3, 5, 5), (3, 5))]


@pytest.mark.parametrize("query_listens", [False, True])
@pytest.mark.parametrize("key_listens", [False, True])
def test_attention_sums_to_one_and_differs_by_frame_only_where_it_listens(
    query_listens, key_listens
):
    attention = LatentAttention(
        3,
        8,
        embedding_dim=4,
        n_latents=6,
        key_dim=5,
        query_listens=query_listens,
        key_listens=key_listens,
    ).eval()
    weights = attention(features(), torch.randn(2, 4))
    torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
    assert weights.shape == (2, 5 if query_listens or key_listens else 1, 6)
    if weights.shape[1] > 1:
        assert not torch.allclose(weights[:, 0], weights[:, 1])


@pytest.mark.parametrize("order", ["latents-first", "units-first"])
def test_a_latent_source_without_attention_leaves_no_trace(order):
    """With all attention on one latent source, the weights that make the others are idle."""
    n_latents, n_units = 3, 4

    class OnlySecond(torch.nn.Module):
        def forward(self, features, embedding):
            return torch.tensor([[[0.0, 1.0, 0.0]]]).expand(len(features), 1, n_latents)

    block = LightSaft(
        3,
        8,
        attention=OnlySecond(),
        n_latents=n_latents,
        n_units=n_units,
        latent_order=order,
        norm_after_widening=True,
    ).eval()
    inputs = features()
    before = block(inputs, torch.zeros(2, 4))
    rows = torch.arange(n_latents * n_units)
    latent = rows // n_units if order == "latents-first" else rows % n_latents
    with torch.no_grad():
        block.split[0].weight[latent != 1] += 1
    torch.testing.assert_close(block(inputs, torch.zeros(2, 4)), before)
    with torch.no_grad():
        block.split[0].weight[latent == 1] += 1
    assert not torch.allclose(block(inputs, torch.zeros(2, 4)), before)


def test_a_tdf_sees_each_frame_alone_and_all_of_its_bins():
    tdf = Tdf(3, 8, n_units=4).eval()
    inputs = features()
    changed = inputs.clone()
    changed[:, :, 2, 0] += 1
    difference = (tdf(changed) - tdf(inputs)).abs().sum(dim=(0, 1))
    assert difference[2].count_nonzero() > 4
    assert difference[[0, 1, 3, 4]].sum() == 0


def test_a_tfc_reaches_one_frame_and_bin_further_with_each_layer():
    tfc = Tfc(2, 3, 2).eval()
    inputs = torch.randn(1, 2, 9, 9)
    changed = inputs.clone()
    changed[..., 4, 4] += 1
    touched = (tfc(changed) - tfc(inputs)).abs().sum(dim=(0, 1)) > 0
    assert touched[2:7, 2:7].sum() > 15
    touched[2:7, 2:7] = False
    assert not touched.any()


def test_a_block_adds_its_transformation_to_the_convolution():
    tfc, tdf = Tfc(3, 3, 1), Tdf(3, 8, n_units=4)
    block = TfcFtBlock(tfc, tdf, conditioned=False).eval()
    inputs = features()
    torch.testing.assert_close(block(inputs), tfc(inputs) + tdf(tfc(inputs)))


@pytest.mark.parametrize(("n_bins", "units"), [(1024, 64), (128, 16), (8, 16)])
def test_a_bottleneck_is_a_share_of_the_bins_but_never_too_small(n_bins, units):
    assert bottleneck_units(n_bins, 16, 16) == units
