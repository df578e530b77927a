"""The key maps are pure renames, from every repository's names to ours and no others."""

from __future__ import annotations

import time

import pytest

from stemlight.errors import WeightsError
from stemlight.weights.official_keys import rename_keys

from .official_names import TINY_PRESETS, official_state_dict, tiny_config, tiny_model


@pytest.mark.parametrize(
    ("official", "ours"),
    [
        ("spec2spec.first_conv.0.weight", "head.0.weight"),
        ("spec2spec.last_conv.0.bias", "tail.bias"),
        ("spec2spec.encoders.2.tfc.H.1.0.weight", "encoders.2.tfc.layers.1.0.weight"),
        ("spec2spec.encoders.2.H.1.0.weight", "encoders.2.tfc.layers.1.0.weight"),
        ("spec2spec.decoders.0.keys", "decoders.0.transformation.attention.keys"),
        (
            "spec2spec.decoders.1.tfc_lightsaft.linear_query.2.bias",
            "decoders.1.transformation.attention.query.project.2.bias",
        ),
        (
            "spec2spec.decoders.0.pocm_generator.2.weight_v",
            "conditioner.generators.0.2.parametrizations.weight.original1",
        ),
        (
            "spec2spec.condition_generator.linear_gamma.2.running_var",
            "conditioner.gamma_head.2.running_var",
        ),
        ("downsampling.3.conv.weight", "downs.3.0.weight"),
        ("ds_dense.1.H.0.1.bias", "encoders.1.tfc.layers.0.1.bias"),
        ("bottleneck_block.tfc.H.2.0.weight", "middle.tfc.layers.2.0.weight"),
        ("final_conv.0.weight", "tail.weight"),
    ],
)
def test_an_official_name_becomes_ours(official, ours):
    assert rename_keys([official]) == {official: ours}


@pytest.mark.parametrize("prefix", ["mid_block.tdf.tdf.", "mid_block.tif.tif.", "mid_dense.tdf."])
def test_what_a_layer_of_a_tdf_is_called_depends_on_whether_there_are_two(prefix):
    single = [f"{prefix}0.weight", f"{prefix}1.bias"]
    assert list(rename_keys(single).values()) == [
        "middle.transformation.widen.0.weight",
        "middle.transformation.widen.1.bias",
    ]
    double = rename_keys([*single, f"{prefix}3.weight", f"{prefix}4.bias"])
    assert list(double.values()) == [
        "middle.transformation.narrow.0.weight",
        "middle.transformation.narrow.1.bias",
        "middle.transformation.widen.0.weight",
        "middle.transformation.widen.1.bias",
    ]


def test_generators_of_blocks_are_numbered_in_the_order_of_execution():
    blocks = [f"encoders.{i}" for i in (0, 1, 10)] + ["mid_block", "decoders.0", "decoders.2"]
    names = [f"{block}.pocm_generator.0.bias" for block in blocks]
    found = rename_keys(reversed(names))
    assert [found[name] for name in names] == [
        f"conditioner.generators.{index}.0.bias" for index in range(len(blocks))
    ]


@pytest.mark.parametrize("name", ["stft.stft.window", "stft.window", "window", "freq_pad"])
def test_what_follows_from_the_configuration_is_left_out(name):
    assert rename_keys([name]) == {}


@pytest.mark.parametrize("preset", TINY_PRESETS)
def test_all_names_of_a_network_become_ours_each_once(preset):
    model = tiny_model(preset)
    renamed = rename_keys(official_state_dict(tiny_config(preset), model=model))
    assert sorted(renamed.values()) == sorted(model.network.state_dict())


def test_two_parameters_of_one_name_are_refused():
    with pytest.raises(WeightsError, match=r"map to 'a'; one of them is 'y'"):
        rename_keys(["x", "y"], rules=((r"^[xy]$", "a"),))


def test_names_that_no_rule_fits_stay_and_loading_refuses_them():
    assert rename_keys(["extra.weight"]) == {"extra.weight": "extra.weight"}


def test_the_time_grows_as_the_number_of_names():
    def seconds(n_names):
        names = [f"decoders.{i % 1000}.{i}.pocm_generator.bias" for i in range(n_names)]
        names += [f"encoders.{i % 1000}.pocm_generator.{i}" for i in range(n_names)]
        start = time.process_time()
        assert len(rename_keys(names)) == 2 * n_names
        return time.process_time() - start

    seconds(100)  # patterns are compiled once
    assert seconds(4000) < 30 * seconds(400)
