"""The key maps are pure renames."""

from __future__ import annotations

import pytest

from stemlight.errors import WeightsError
from stemlight.weights.official_keys import rename_keys


@pytest.mark.parametrize(
    ("official", "ours"),
    [
        ("spec2spec.first_conv.0.weight", "head.0.weight"),
        ("spec2spec.last_conv.0.bias", "tail.bias"),
        ("spec2spec.encoders.2.tfc.H.1.0.weight", "encoders.2.tfc.layers.1.0.weight"),
        ("spec2spec.mid_block.tdf.tdf.4.bias", "middle.transformation.widen.1.bias"),
        ("spec2spec.decoders.0.keys", "decoders.0.transformation.attention.keys"),
        (
            "spec2spec.decoders.1.tfc_lightsaft.linear_query.2.bias",
            "decoders.1.transformation.attention.query.project.2.bias",
        ),
        (
            "spec2spec.decoders.1.pocm_generator.2.weight_v",
            "conditioner.generators.1.2.parametrizations.weight.original1",
        ),
        (
            "spec2spec.condition_generator.linear_gamma.2.running_var",
            "conditioner.gamma_head.1.running_var",
        ),
    ],
)
def test_an_official_name_becomes_ours(official, ours):
    assert rename_keys([official]) == {official: ours}


def test_the_window_is_left_out():
    assert rename_keys(["stft.stft.window"]) == {}


def test_two_parameters_of_one_name_are_refused():
    with pytest.raises(WeightsError, match=r"map to 'a'; one of them is 'y'"):
        rename_keys(["x", "y"], rules=((r"^[xy]$", "a"),))
