"""Options of the authors' constructors: read as they read them, or refused by name."""

from __future__ import annotations

import pytest
import torch

from stemlight.errors import WeightsError
from stemlight.models.spectrogram import build_model
from stemlight.weights.official import official_model

_FIRST = {
    "hop_length": 256,
    "num_frame": 64,
    "n_fft": 512,
    "spec_type": "complex",
    "spec_est_mode": "mapping",
    "input_channels": 4,
    "internal_channels": 2,
    "n_blocks": 5,
    "n_internal_layers": 1,
    "kernel_size_t": 3,
    "kernel_size_f": 3,
    "first_conv_activation": "relu",
    "last_activation": "identity",
    "tfc_activation": "relu",
    "t_down_layers": None,
    "control_vector_type": "embedding",
    "control_input_dim": 4,
    "embedding_dim": 3,
    "control_type": "dense",
    "control_n_layer": 3,
    "condition_to": "decoder",
    "film_type": "complex",
    "gamma_activation": "identity",
    "beta_activation": "identity",
}
_STEP = {"activation": "relu", "norm": "bn"}
_SECOND = {
    "hop_length": 256,
    "num_frame": 64,
    "n_fft": 512,
    "spec_type": "complex",
    "spec_est_mode": "mapping",
    "spec2spec": {
        "_target_": "lasaft.models.conditioned.spec2spec.base.BaseNet",
        "input_channels": 4,
        "internal_channels": 2,
        "n_blocks": 3,
        "first_conv_activation": "relu",
        "last_activation": "identity",
        "control_vector_type": "embedding",
        "control_input_dim": 4,
        "embedding_dim": 3,
        "condition_to": "decoder",
        "mk_block_f": _STEP
        | {
            "num_layers": 1,
            "kt": 3,
            "kf": 3,
            "bn_factor": 16,
            "min_bn_units": 16,
            "bias": False,
            "num_tdfs": 2,
            "dk": 3,
            "query_listen": False,
        },
        "mk_ds_f": _STEP,
        "mk_us_f": _STEP,
    },
}
_LIGHT = "AbstractLaSAFTNet/BaseNet/MkTFCLightSAFTGPoCM"


def first(**changes):
    return official_model("DCUN_TFC_FiLM", _FIRST | changes)


def second(name=_LIGHT, block=None, **changes):
    network = _SECOND["spec2spec"] | changes
    network["mk_block_f"] = network["mk_block_f"] | (block or {})
    return official_model(name, _SECOND | {"spec2spec": network})


@pytest.mark.parametrize(
    ("said", "levels"),
    [
        (None, None),
        ("0", (0,)),
        ("[1]", (1,)),
        ("1, 0", (0, 1)),
        ([0], (0,)),
        ("0,0", (0,)),
        ("-1", ()),
        ("0,7", (0,)),
    ],
)
def test_levels_that_there_are_halve_the_frames_and_no_others(said, levels):
    assert first(t_down_layers=said).network.halved_frames == levels


@pytest.mark.parametrize("n_layers", [1, 2, 4])
def test_the_shared_conditioner_may_have_any_number_of_layers(n_layers):
    conditioner = build_model(first(control_n_layer=n_layers)).network.conditioner.eval()
    modulations = conditioner(torch.zeros(1, 3))
    assert [tuple(pair.gamma.shape) for pair in modulations] == [(1, 2), (1, 2)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("t_down_layers", "deep"),
        ("t_down_layers", 1),
        ("n_blocks", "5"),
        ("n_internal_layers", 0),
        ("kernel_size_t", 2.5),
        ("embedding_dim", True),
        ("condition_to", "middle"),
        ("gamma_activation", ["relu"]),
        ("last_activation", "softplus"),
        ("film_type", None),
        ("dropout", 0.5),
    ],
)
def test_an_unknown_value_or_option_is_refused_by_name(name, value):
    with pytest.raises(WeightsError, match=name):
        first(**{name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "AbstractLaSAFTNet/BaseNet/MkTFCLaSAFTFiLM"}, "MkTFCLaSAFTFiLM"),
        ({"name": "AbstractLaSAFTNet/BaseNetWithZeroShot/MkTFCLaSAFT"}, "BaseNetWithZeroShot"),
        ({"_target_": "lasaft.BaseNetWithZeroShot"}, "_target_.*BaseNetWithZeroShot"),
        ({"block": {"_target_": "lasaft.MkTFCLaSAFT"}}, "_target_.*MkTFCLaSAFT"),
        ({"block": {"query_listen": "yes"}}, "query_listen is 'yes'; known are True, False"),
        ({"block": {"value_listen": True}}, "value_listen"),
        ({"control_vector_type": ["linear"]}, "control_vector_type"),
        ({"mk_ds_f": "MKConvDS"}, "mk_ds_f"),
    ],
)
def test_a_network_of_the_second_generation_is_refused_by_name_too(changes, message):
    second()
    with pytest.raises(WeightsError, match=message):
        second(**changes)
