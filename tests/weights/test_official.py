"""The authors' classes and arguments: each is read or known to be of no use, none is guessed."""

from __future__ import annotations

import pytest
import torch

from stemlight.errors import WeightsError
from stemlight.models.presets import PRESETS
from stemlight.weights.official import OFFICIAL_CLASSES, convert_state_dict, official_model

from .official_names import TINY_PRESETS, official_state_dict, tiny_config, tiny_model

# The defaults of the ISMIR 2020 repository, with its small network.
TFC_TDF = {
    "target_name": "vocals",
    "n_fft": 2048,
    "hop_length": 1024,
    "num_frame": 128,
    "spec_type": "complex",
    "spec_est_mode": "mapping",
    "n_blocks": 7,
    "input_channels": 4,
    "internal_channels": 24,
    "n_internal_layers": 5,
    "first_conv_activation": "relu",
    "last_activation": "identity",
    "t_down_layers": None,
    "f_down_layers": None,
    "kernel_size_t": 3,
    "kernel_size_f": 3,
    "bn_factor": 16,
    "min_bn_units": 16,
    "tfc_tdf_bias": False,
    "tfc_tdf_activation": "relu",
    "optimizer": "adam",
    "lr": 1e-3,
}


def test_a_class_and_its_arguments_are_a_model():
    assert official_model("TFC_TDF_NET", TFC_TDF) == PRESETS["tfc-tdf-small"]
    assert official_model("TFC_TDF_NET_Framework", TFC_TDF) == PRESETS["tfc-tdf-small"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_block": 7}, r"unknown arguments: n_block \(did you mean 'n_blocks'\?\)"),
        ({"tfc_tdf_activation": "gelu"}, "tfc_tdf_activation is 'gelu'; known are "),
        ({"spec_est_mode": "guessing"}, "spec_est_mode is 'guessing'; known are mapping, masking"),
        ({"internal_channels": "many"}, "internal_channels is 'many'"),
        ({"t_down_layers": "first"}, "t_down_layers is 'first'"),
    ],
)
def test_an_argument_that_is_unknown_or_wrong_is_named(changes, message):
    with pytest.raises(WeightsError, match=message):
        official_model("TFC_TDF_NET", TFC_TDF | changes)


@pytest.mark.parametrize("name", ["n_fft", "n_blocks", "bn_factor", "last_activation"])
def test_an_argument_that_is_missing_is_named(name):
    given = {key: value for key, value in TFC_TDF.items() if key != name}
    with pytest.raises(WeightsError, match=f"TFC_TDF_NET lacks the argument '{name}'"):
        official_model("TFC_TDF_NET", given)


def test_an_unknown_class_is_answered_with_the_nearest():
    with pytest.raises(WeightsError, match=r"'TFC_TFD_NET' \(did you mean 'TFC_TDF_NET'\?\)"):
        official_model("TFC_TFD_NET", TFC_TDF)
    assert "ConvTDFNet" in OFFICIAL_CLASSES


@pytest.mark.parametrize("preset", TINY_PRESETS)
def test_weights_under_official_names_become_ours_and_nothing_else(preset):
    model = tiny_model(preset)
    state = official_state_dict(tiny_config(preset), model=model)
    converted = convert_state_dict(state)
    ours = model.network.state_dict()
    assert set(converted) == set(ours)
    for name, tensor in converted.items():
        torch.testing.assert_close(tensor, ours[name], rtol=0, atol=0, msg=name)


def test_half_precision_becomes_single_and_counts_stay_counts():
    state = {
        "first_conv.0.weight": torch.ones(4, 4, 1, 2).half(),
        "first_conv.1.num_batches_tracked": torch.tensor(3),
    }
    converted = convert_state_dict(state)
    assert converted["head.0.weight"].dtype == torch.float32
    assert converted["head.1.num_batches_tracked"].dtype == torch.int64
