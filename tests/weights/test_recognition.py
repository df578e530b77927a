"""Networks are recognised by their weights: what shapes tell, what settings add."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlight.configs import to_mapping
from stemlight.errors import UsageError, WeightsError
from stemlight.models.presets import PRESETS
from stemlight.models.spectrogram import build_model
from stemlight.weights.official import convert_state_dict, official_model
from stemlight.weights.recognition import is_mixer, recognise

from ..models.test_presets import OFFICIAL_SIZES
from ..parity.cases import NETWORKS, discovered
from .official_names import (
    TINY_PRESETS,
    official_state_dict,
    shapes_of,
    tiny_config,
)

# Of tiny networks, what no shape tells and nobody published.
STORED = {"hop_length": 256, "num_frame": 64}
STORED_MDX = {"hop_length": 64, "dim_t": 64}


def recognised(preset, **network):
    """Recognise a tiny network by its weights and what shapes cannot tell."""
    config = tiny_config(preset, **network)
    with torch.device("meta"):
        state = official_state_dict(config)
    stored = STORED_MDX if preset.startswith("tfc-tdf-v2") else STORED
    if preset == "tdc-17":
        stored = {**stored, "n_fft": 512}  # it has neither window nor layers over all bins
    return config, recognise(shapes_of(state), stored, source=config.sources[0])


# ---------------------------------------------------------------- by shapes alone


@pytest.mark.parametrize("preset", OFFICIAL_SIZES)
def test_every_published_network_is_recognised_without_any_settings(preset):
    config = PRESETS[preset]
    with torch.device("meta"):
        weights = shapes_of(official_state_dict(config))
    assert recognise(weights, source=config.sources[0]) == config
    if preset.startswith("tfc-tdf-v2"):
        return
    weights.pop("stft.stft.window", None)  # of all others, the layers over the bins tell as much
    assert recognise(weights, source=config.sources[0]) == config


@pytest.mark.parametrize("preset", TINY_PRESETS)
def test_networks_of_other_sizes_are_recognised(preset):
    config, found = recognised(preset)
    assert found == config


@pytest.mark.parametrize(
    ("preset", "options"),
    [
        ("gpocm", {"n_planes": 4, "kernel_frames": 5, "kernel_bins": 5}),
        ("gpocm", {"modulated_blocks": "all"}),
        ("gpocm", {"normalize_modulation": False}),
        ("gpocm", {"n_control_layers": 2}),
        ("gpocm", {"halved_frames": [1]}),
        ("gpocm", {"halved_frames": []}),
        ("film-tdf", {"modulated_blocks": "all"}),
        ("film-tdf", {"bn_factor": None, "min_bn_units": 16}),
        ("film-tdf", {"bn_factor": 2, "bias": True}),
        ("film-tdf", {"bn_factor": 4, "min_bn_units": 50}),
        ("lasaft-small", {"bn_factor": 8, "n_latents": 5}),
        ("lasaft-small", {"bn_factor": None}),
        ("lightsaft", {"bn_factor": 3, "bias": True}),
        ("tfc-tdf-large", {"bn_factor": 64, "min_bn_units": 4}),
        ("lasaft-v2", {"norm": "group"}),
        ("lasaft-v2", {"norm": "instance"}),
        ("lasaft-v2", {"control": "linear"}),
        ("lasaft-v2", {"query_listens": False}),
        ("lasaft-v2", {"key_listens": False}),
        ("lasaft-v2", {"latent_blocks": "all", "modulated_blocks": "all"}),
        ("lasaft-v2", {"latent_blocks": "encoder", "modulated_blocks": "encoder"}),
        ("lightsaft-plus", {"transformation": "lasaft"}),
        ("lightsaft-plus", {"transformation": "lasaft", "modulation": "none"}),
        ("tfc-tdf-v2-vocals", {"bn_factor": None}),
        ("tfc-tdf-v2-vocals", {"transformation": "none"}),
        ("tfc-tdf-v2-vocals", {"bias": True, "n_tfc_layers": 3, "bn_factor": 5}),
        ("tfc-tdf-v2-vocals", {"n_blocks": 7, "features": [3, 6, 9, 12]}),
        ("tdc-17", {"n_blocks": 7, "kernel_bins": 5}),
    ],
    ids=str,
)
def test_options_that_shapes_tell_are_recognised(preset, options):
    config, found = recognised(preset, **options)
    assert equivalent(found) == equivalent(config)


def equivalent(config):
    """Say what has an effect on the network that is built: units, not how they are divided."""
    said = to_mapping(config)
    network = said["network"]
    if network["halved_frames"] == tuple(range(config.network.n_levels)):
        network["halved_frames"] = None
    factor, least = network.pop("bn_factor"), network.pop("min_bn_units")
    if network["transformation"] != "none" and factor is not None:
        bins = [(config.stft.n_fft // 2) >> level for level in range(config.network.n_levels + 1)]
        network["units"] = [max(count // factor, least) for count in bins]
    return said


@settings(max_examples=15, deadline=None)
@given(
    preset=st.sampled_from(TINY_PRESETS),
    options=st.fixed_dictionaries(
        {},
        optional={
            "n_blocks": st.sampled_from([3, 5, 7]),
            "features": st.tuples(st.integers(2, 6)),
            "n_tfc_layers": st.integers(1, 3),
            "n_latents": st.integers(1, 5),
            "key_dim": st.integers(1, 7),
            "embedding_dim": st.integers(2, 9),
            "bn_factor": st.integers(1, 40),
            "min_bn_units": st.integers(1, 40),
            "bias": st.booleans(),
        },
    ),
)
def test_weights_of_any_size_fit_the_network_that_they_are_recognised_as(preset, options):
    network = PRESETS[preset].network
    meaningless = set()
    if not network.has_latents:
        meaningless |= {"n_latents", "key_dim"}
    if not network.is_conditioned:
        meaningless |= {"embedding_dim"}
    if preset.startswith("tfc-tdf-v2"):
        meaningless |= {"n_blocks", "features", "bn_factor", "min_bn_units"}
    elif preset.startswith("tfc-tdf"):
        meaningless |= {"bias"}  # in the authors' code, the norms are affine with a bias alone
    if network.transformation == "none":
        meaningless |= {"bias"}
    if preset.endswith("-17"):
        meaningless |= {"n_blocks"}
    options = {name: value for name, value in options.items() if name not in meaningless}
    config, found = recognised(preset, **options)
    with torch.device("meta"):
        expected, built = build_model(config), build_model(found)
    assert shapes_of(built.network.state_dict()) == shapes_of(expected.network.state_dict())
    network = dataclasses.replace(
        found.network,
        bn_factor=config.network.bn_factor,
        min_bn_units=config.network.min_bn_units,
    )
    assert dataclasses.replace(found, network=network) == config


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("case", discovered(*NETWORKS))
def test_official_weights_with_official_settings_are_the_official_network(case):
    expected = official_model(case.meta["cls"], case.said("config"))
    assert recognise(shapes_of(case.state_dict()), case.said("config")) == expected


@pytest.mark.parametrize("case", discovered(*NETWORKS))
def test_official_weights_fit_what_they_are_recognised_as_without_settings(case):
    said = case.said("config")
    stored = {name: said[name] for name in ("hop_length", "num_frame") if name in said}
    model = build_model(recognise(shapes_of(case.state_dict()), stored, source="vocals"))
    model.network.load_state_dict(convert_state_dict(case.state_dict()), strict=True)


def test_settings_tell_what_shapes_cannot(tmp_path):
    weights = shapes_of(official_state_dict(tiny_config("gpocm")))
    stored = STORED | {
        "spec_est_mode": "masking",
        "condition_to": "encoder",
        "tfc_activation": "leaky_relu",
        "last_activation": "sigmoid",
        "pocm_type": "naive",
        "lr": 1e-3,  # of the training, like much else
        "anything": [1],
    }
    found = recognise(weights, stored).network
    assert (found.estimate, found.modulated_blocks) == ("masking", "encoder")
    assert (found.activation, found.head_activation) == ("leaky_relu", "relu")
    assert (found.tail_activation, found.gamma_order) == ("sigmoid", "out-first")


def test_settings_of_the_second_generation_lie_in_parts():
    weights = shapes_of(official_state_dict(tiny_config("lasaft-v2")))
    parts = {part: {"activation": "leaky_relu"} for part in ("mk_block_f", "mk_ds_f", "mk_us_f")}
    stored = STORED | {"spec2spec": {"first_conv_activation": "leaky_relu", **parts}}
    found = recognise(weights, stored).network
    assert (found.activation, found.head_activation) == ("leaky_relu", None)
    assert found.resampling_activation == "leaky_relu"


def test_weights_are_right_where_settings_say_something_else():
    config = tiny_config("lightsaft")
    weights = shapes_of(official_state_dict(config))
    lies = {"n_fft": 4096, "n_blocks": 9, "internal_channels": 24, "num_tdfs": 6, "dk": 1}
    assert recognise(weights, STORED | lies | {"bn_factor": 2, "min_bn_units": 3}) == config


@pytest.mark.parametrize("leaky", [True, False])
def test_the_activations_of_the_light_network_are_those_that_are_stored(leaky):
    with torch.device("meta"):
        weights = shapes_of(official_state_dict(PRESETS["lasaft-v2-light"]))
    activation = "leaky_relu" if leaky else "relu"
    stored = {"spec2spec": {"mk_block_f": {"activation": activation}}}
    assert recognise(weights, stored).network.activation == activation


def test_frames_that_are_stored_are_those_of_the_submitted_network_too():
    with torch.device("meta"):
        weights = shapes_of(official_state_dict(PRESETS["lightsaft-mdx"]))
    assert recognise(weights, {"num_frame": 128}).n_frames == 128


@pytest.mark.parametrize(
    "stored",
    [
        {"hop_length": "fast"},
        {"hop_length": 0},
        {"num_frame": None, "hop_length": 10**9},
        {"num_frame": 63},
        {"tfc_activation": "gelu"},
        {"tfc_activation": ["relu"]},
        {"spec_est_mode": {}},
    ],
    ids=str,
)
def test_settings_that_no_network_can_have_are_an_error(stored):
    weights = shapes_of(official_state_dict(tiny_config("gpocm")))
    with pytest.raises(WeightsError):
        recognise(weights, STORED | stored)


# ---------------------------------------------------------------- sources


@pytest.mark.parametrize("preset", ["tfc-tdf-large", "tdc-17", "tfc-tdf-v2-vocals"])
def test_a_network_of_one_source_must_be_told_which_it_is(preset):
    weights = shapes_of(official_state_dict(tiny_config(preset)))
    stored = STORED_MDX if preset.startswith("tfc-tdf-v2") else STORED
    with pytest.raises(UsageError, match="do not tell which source they estimate; add --source"):
        recognise(weights, stored)
    assert recognise(weights, stored, source="flute").sources == ("flute",)
    told = stored | {"target_name": "drums"}
    assert recognise(weights, told, source="flute").sources == ("drums",)


def test_an_mdx_net_without_its_window_must_be_told_the_n_fft():
    weights = shapes_of(official_state_dict(tiny_config("tfc-tdf-v2-vocals")))
    del weights["window"], weights["freq_pad"]
    with pytest.raises(UsageError, match="do not tell n_fft; add --n-fft"):
        recognise(weights, STORED_MDX, source="vocals")
    told = STORED_MDX | {"n_fft": 384}
    assert recognise(weights, told, source="vocals") == tiny_config("tfc-tdf-v2-vocals")


# ---------------------------------------------------------------- what is missing


@pytest.mark.parametrize(
    ("preset", "part", "message"),
    [
        ("gpocm", "first_conv", "no published network has weights called "),
        ("gpocm", "mid_block", "no published network has weights called "),
        ("gpocm", "encoders.0", r"no convolution called .*encoders\.0"),
        ("gpocm", "embedding", r"no weights called embedding\.weight"),
        ("gpocm", "condition_generator.linear_beta", r"called condition_generator\.linear_beta\.0"),
        ("lightsaft", "mid_block.keys", r"no weights called mid_block\.keys"),
        ("lasaft-v2", "decoders.0.tfc_lightsaft.keys.3", r"decoders\.0\.tfc_lightsaft\.keys\.2"),
        ("lasaft-v2", "embedding", r"no weights called embedding\.weight"),
        ("tfc-tdf-v2-vocals", "first_conv", "no convolution called first_conv"),
    ],
)
def test_a_part_that_is_missing_is_named(preset, part, message):
    weights = {
        name: shape
        for name, shape in shapes_of(official_state_dict(tiny_config(preset))).items()
        if not name.removeprefix("spec2spec.").startswith(part)
    }
    with pytest.raises(WeightsError, match=message):
        recognise(weights, STORED, source="vocals")


def test_units_of_different_factors_are_refused():
    weights = shapes_of(official_state_dict(tiny_config("film-tdf")))
    weights["spec2spec.mid_block.tdf.tdf.0.weight"] = (77, 64)
    with pytest.raises(WeightsError, match=r"follow no factor: 77 of 64, 16 of 128, 16 of 256"):
        recognise(weights, STORED)


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"w": (3,)},
        {"first_conv.0.weight": (4, 4, 1, 2)},
        {"first_conv.0.weight": (), "mid_block.x": ()},
        {"ds_dense.0.H.0.0.weight": (4, 4, 3, 3)},
        {"linear.weight": (8, 10)},
    ],
    ids=str,
)
def test_weights_of_other_networks_are_refused(weights):
    with pytest.raises(WeightsError):
        recognise(weights, source="vocals")


@pytest.mark.parametrize("preset", TINY_PRESETS)
def test_any_weights_less_or_of_another_shape_are_refused_or_recognised_but_never_break(preset):
    weights = shapes_of(official_state_dict(tiny_config(preset)))
    for name, shape in list(weights.items())[::7]:
        for changed in (None, (), (0,), (1,) * len(shape), (*shape, 3)):
            other = {key: value for key, value in weights.items() if key != name}
            if changed is not None:
                other[name] = changed
            try:
                recognise(other, STORED, source="vocals")
            except (WeightsError, UsageError):
                continue


def test_mixers_are_told_by_their_only_weights():
    assert is_mixer(["linear.weight"])
    assert is_mixer(["mixing_layer.weight"])
    assert not is_mixer(["linear.weight", "linear.bias"])
    assert not is_mixer([])
