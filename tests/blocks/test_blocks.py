"""What each block promises, apart from parity with the authors' code."""

from __future__ import annotations

import pytest
import torch

from stemlight.blocks.conditioning import (
    ModulationPair,
    PerBlockConditioner,
    SharedConditioner,
    feature_wise_modulation,
    gated_pointwise_modulation,
    modulation_size,
    pointwise_modulation,
)
from stemlight.blocks.latent_sources import LaSaft, LatentAttention, LightSaft
from stemlight.blocks.tfc_tdf import (
    Tdf,
    Tfc,
    TfcFtBlock,
    bottleneck_units,
    make_downsample,
    make_norm,
    make_upsample,
)


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def features(n_items=2, n_features=3, n_frames=5, n_bins=8):
    return torch.randn(n_items, n_features, n_frames, n_bins)


def test_pocm_is_a_1x1_convolution_and_gpocm_its_sigmoid_times_the_input():
    inputs = features()
    pair = ModulationPair(torch.randn(2, 3, 3), torch.randn(2, 3))
    plain, gated = pointwise_modulation(inputs, pair), gated_pointwise_modulation(inputs, pair)
    for item in range(2):
        # conv2d's weights are (out, in); gamma is (in, out).
        convolved = torch.nn.functional.conv2d(
            inputs[item : item + 1], pair.gamma[item].T[:, :, None, None], pair.beta[item]
        )
        torch.testing.assert_close(plain[item], convolved[0])
        torch.testing.assert_close(gated[item], torch.sigmoid(convolved[0]) * inputs[item])


@pytest.mark.parametrize("n_numbers", [3, 1])
def test_film_scales_and_shifts_each_feature_or_all_alike(n_numbers):
    inputs = features()
    gamma, beta = torch.randn(2, n_numbers), torch.randn(2, n_numbers)
    modulated = feature_wise_modulation(inputs, ModulationPair(gamma, beta))
    expected = gamma.expand(2, 3)[1, 2] * inputs[1, 2] + beta.expand(2, 3)[1, 2]
    torch.testing.assert_close(modulated[1, 2], expected)


def test_a_film_is_a_pocm_with_a_diagonal():
    inputs = features()
    gamma, beta = torch.randn(2, 3), torch.randn(2, 3)
    torch.testing.assert_close(
        feature_wise_modulation(inputs, ModulationPair(gamma, beta)),
        pointwise_modulation(inputs, ModulationPair(torch.diag_embed(gamma), beta)),
    )


@pytest.mark.parametrize("conditioner_type", [SharedConditioner, PerBlockConditioner])
@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("gpocm", [((3, 6, 6), (3, 6)), ((3, 5, 5), (3, 5))]),
        ("film", [((3, 6), (3, 6)), ((3, 5), (3, 5))]),
        ("film-simple", [((3, 1), (3, 1)), ((3, 1), (3, 1))]),
    ],
)
def test_a_conditioner_makes_one_modulation_of_the_right_size_for_each_block(
    conditioner_type, kind, shapes
):
    sizes = [modulation_size(kind, width) for width in (6, 5)]
    modulations = conditioner_type(4, sizes).eval()(torch.randn(3, 4))
    assert [(tuple(m.gamma.shape), tuple(m.beta.shape)) for m in modulations] == shapes


@pytest.mark.parametrize("conditioner_type", [SharedConditioner, PerBlockConditioner])
def test_the_two_orders_of_gamma_are_each_other_transposed(conditioner_type):
    sizes = [modulation_size("gpocm", 5)]
    conditioner = conditioner_type(4, sizes).eval()
    control = torch.randn(3, 4)
    (in_first,) = conditioner(control)
    conditioner.gamma_order = "out-first"
    (out_first,) = conditioner(control)
    torch.testing.assert_close(in_first.gamma, out_first.gamma.transpose(1, 2))
    torch.testing.assert_close(in_first.beta, out_first.beta)


@pytest.mark.parametrize("query_listens", [False, True])
@pytest.mark.parametrize("key_listens", [False, True])
def test_attention_sums_to_one_and_differs_by_frame_only_where_it_listens(
    query_listens, key_listens
):
    attention = LatentAttention(
        3,
        8,
        control_dim=4,
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
        def forward(self, features, control):
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


def test_a_lasaft_with_all_attention_on_one_latent_source_is_the_tdf_of_that_one():
    n_latents, n_bins = 3, 8

    class OnlySecond(torch.nn.Module):
        def forward(self, features, control):
            return torch.tensor([[[0.0, 1.0, 0.0]]]).expand(len(features), 1, n_latents)

    tdf = Tdf(3, n_bins, n_units=4, n_bins_out=n_bins * n_latents)
    block = LaSaft(tdf, attention=OnlySecond(), n_latents=n_latents).eval()
    inputs = features()
    torch.testing.assert_close(block(inputs, torch.zeros(2, 4)), tdf(inputs)[..., 1::n_latents])


@pytest.mark.parametrize("strides", [(2, 2), (1, 2), (2, 1)])
def test_sampling_steps_divide_the_axes_they_are_told_and_undo_it(strides):
    inputs = features(n_frames=4)
    down = make_downsample(3, 5, "relu", strides=strides)(inputs)
    assert down.shape == (2, 5, 4 // strides[0], 8 // strides[1])
    assert make_upsample(5, 3, "relu", strides=strides)(down).shape == inputs.shape


@pytest.mark.parametrize(
    ("n_features", "n_groups"), [(24, 4), (20, 5), (16, 4), (4, 1), (9, 3), (7, 1)]
)
def test_a_group_norm_has_the_groups_of_the_published_configurations(n_features, n_groups):
    assert make_norm("group", n_features).num_groups == n_groups


def test_a_plain_tfc_reads_only_the_layer_before():
    tfc = Tfc(2, 3, 3, dense=False)
    assert [layer[0].in_channels for layer in tfc.layers] == [2, 3, 3]


def test_a_kernel_of_one_frame_keeps_every_frame_alone():
    tfc = Tfc(3, 3, 3, kernel=(1, 3)).eval()
    inputs = features()
    changed = inputs.clone()
    changed[:, :, 2] += 1
    difference = (tfc(changed) - tfc(inputs)).abs().sum(dim=(0, 1, 3))
    assert difference[2] > 0
    assert difference[[0, 1, 3, 4]].sum() == 0


def test_a_tdf_without_bottleneck_is_one_layer():
    tdf = Tdf(3, 8, n_units=bottleneck_units(8, None, 16))
    assert [tuple(p.shape) for p in tdf.parameters() if p.ndim == 2] == [(8, 8)]


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
    block = TfcFtBlock(tfc, tdf).eval()
    inputs = features()
    torch.testing.assert_close(block(inputs), tfc(inputs) + tdf(tfc(inputs)))


@pytest.mark.parametrize(("n_bins", "units"), [(1024, 64), (128, 16), (8, 16)])
def test_a_bottleneck_is_a_share_of_the_bins_but_never_too_small(n_bins, units):
    assert bottleneck_units(n_bins, 16, 16) == units


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("n_repeats", [1, 3])
def test_a_skip_beside_the_features_gives_what_it_gives_behind_them(dense, n_repeats):
    tfc = Tfc(7, 4, n_layers=3, dense=dense).eval()
    own, skip = features(2 * n_repeats, 5), features(2, 2)
    with torch.no_grad():
        behind = skip.repeat_interleave(n_repeats, dim=0)
        expected = tfc(torch.cat((own, behind), dim=1))
        tfc.split_skip(2)
        torch.testing.assert_close(tfc(own, skip), expected, atol=1e-6, rtol=1e-5)


def test_one_modulation_for_all_items_is_that_of_each():
    inputs = features()
    one = ModulationPair(torch.randn(1, 3, 3), torch.randn(1, 3))
    each = ModulationPair(*(part.expand(2, *part.shape[1:]) for part in one))
    torch.testing.assert_close(
        pointwise_modulation(inputs, one), pointwise_modulation(inputs, each), atol=1e-6, rtol=1e-5
    )
