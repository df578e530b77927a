"""Presets: the authors' parameter counts, and settings that cannot be wrong in silence."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from stemlight.chunking import ChunkPlan
from stemlight.configs import from_mapping, to_mapping
from stemlight.errors import ConfigError
from stemlight.models.config import ModelConfig
from stemlight.models.heads import BandHead, BandTail, apply_estimate
from stemlight.models.presets import PRESETS, resolve_preset
from stemlight.models.size import network_size
from stemlight.models.spectrogram import build_model

# Spectrogram networks alone, as counted in the authors' code: parameters, and 10^9 multiply-adds
# of one window for one source where they are known.
OFFICIAL_SIZES = {
    "tdc-17": (535_924, None),
    "tfc-small": (639_316, 31.62),
    "tfc-17": (1_564_660, None),
    "tfc-tdf-17": (1_930_840, None),
    "tfc-tdf-small": (987_476, 32.54),
    "tfc-tdf-large": (2_232_132, 67.43),
    "film": (720_676, 31.62),
    "film-tdf": (1_069_508, 32.54),
    "film-lasaft": (7_998_436, 50.98),
    "gpocm": (1_146_268, 31.72),
    "gpocm-tdf": (1_495_100, 32.64),
    "lasaft-small": (8_424_028, 51.08),
    "lasaft-large": (31_541_908, 141.35),
    "lasaft-16": (48_226_404, 156.9),
    "lightsaft": (2_374_236, 34.94),
    "lightsaft-16": (4_114_532, 39.55),
    "lightsaft-mdx": (4_159_844, 38.91),
    "lightsaft-4096": (13_404_468, 95.26),
    "lightsaft-plus": (2_040_372, 12.73),
    "lasaft-v2-light": (1_910_270, 25.03),
    "lasaft-v2": (2_468_554, 36.25),
    "lasaft-v2-large": (7_900_700, 81.78),
    "tfc-tdf-v2-bass": (7_423_236, 224.95),
    "tfc-tdf-v2-drums": (7_423_236, 224.95),
    "tfc-tdf-v2-other": (7_423_236, 224.95),
    "tfc-tdf-v2-vocals": (7_423_236, 224.95),
}
# Published networks whose encoder serves all sources: 10^9 multiply-adds for four.
FOUR_SOURCES = {
    "lightsaft-plus": 37.73,
    "lasaft-v2-light": 70.48,
    "lasaft-v2": 102.6,
    "lasaft-v2-large": 239.4,
}

TINY = {
    "stft": {"n_fft": 128, "hop_samples": 32, "kept_bins": 64},
    "network": {"n_blocks": 5, "features": [4, 6, 8], "bins_per_fold": 4, "min_bn_units": 4},
    "chunk": {"chunk_samples": 32 * 15, "trim_samples": 32, "overlap_samples": 32},
}


@pytest.mark.parametrize("name", OFFICIAL_SIZES)
def test_full_size_networks_have_the_official_parameters_and_work(name):
    n_parameters, gmac = OFFICIAL_SIZES[name]
    size = network_size(PRESETS[name])
    assert size.n_parameters == n_parameters
    if gmac is not None:
        # Sums that are no matrix products are not counted on either side.
        assert size.gmac_per_window == pytest.approx(gmac, abs=0.051 if gmac > 100 else 0.021)


@pytest.mark.parametrize(("name", "gmac"), FOUR_SOURCES.items())
def test_an_unconditioned_encoder_is_counted_once_for_all_sources(name, gmac):
    assert network_size(PRESETS[name], n_sources=4).gmac_per_window == pytest.approx(gmac, abs=0.1)


def test_memory_grows_with_the_window_and_holds_all_skips_at_once():
    config = PRESETS["film"]
    size = network_size(config)
    level_bytes = 4 * 24 * config.n_frames * 1024  # of one feature map of the first level
    assert size.weight_bytes == 4 * size.n_parameters
    assert size.peak_map_bytes > level_bytes * (1 + 1 / 4 + 1 / 16) * 2
    longer = dataclasses.replace(
        config, chunk=ChunkPlan(chunk_samples=config.stft.window_samples(2 * config.n_frames))
    )
    assert network_size(longer).peak_map_bytes == pytest.approx(2 * size.peak_map_bytes, rel=0.01)


@pytest.mark.parametrize(("n_sources", "gmac_per_second"), [(4, 1.85), (1, 0.72)])
def test_the_embedded_network_is_light_and_one_stem_lighter(n_sources, gmac_per_second):
    config = PRESETS["stemlight-bands"]
    size = network_size(config, n_sources=n_sources)
    window_seconds = config.n_frames * config.stft.hop_samples / config.sample_rate_hz
    assert size.gmac_per_window / window_seconds == pytest.approx(gmac_per_second, abs=0.01)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_the_way_through_plain_values(name):
    assert from_mapping(ModelConfig, to_mapping(PRESETS[name])) == PRESETS[name]


@pytest.mark.parametrize("n_sources", [1, 3])
@pytest.mark.parametrize("merge_skip", ["concatenate", "multiply"])
def test_a_model_gives_each_asked_source_the_shape_of_the_mixture(n_sources, merge_skip):
    arguments = {**TINY, "network": {**TINY["network"], "merge_skip": merge_skip}}
    model = build_model(resolve_preset("stemlight-small", arguments)).eval()
    mixture = torch.randn(2, 2, 32 * 15)
    with torch.no_grad():
        assert model(mixture, torch.arange(n_sources)).shape == (2, n_sources, 2, 32 * 15)


def test_gains_never_amplify_a_bin():
    model = build_model(resolve_preset("stemlight-small", TINY)).eval()
    planes = 100 * torch.randn(1, 4, 16, 64)
    with torch.no_grad():
        estimates = model.network(planes, torch.arange(4))
    assert (estimates.abs() <= planes.abs()[:, None]).all()


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        ("mapping", [[1.0, 2.0, 3.0, 4.0]]),
        ("masking", [[10.0, 40.0, 90.0, 160.0]]),
    ],
)
def test_what_a_network_gives_is_a_source_or_a_factor_for_each_plane(estimate, expected):
    planes = torch.tensor([10.0, 20.0, 30.0, 40.0])[None, :, None, None]
    output = torch.tensor([1.0, 2.0, 3.0, 4.0])[None, :, None, None]
    estimated = apply_estimate(estimate, planes, output)
    torch.testing.assert_close(estimated[..., 0, 0], torch.tensor(expected))


def test_a_gain_acts_on_both_parts_of_its_channel():
    planes = torch.ones(1, 4, 1, 1)  # [Re L, Re R, Im L, Im R]
    left_only = torch.tensor([100.0, -100.0])[None, :, None, None]
    estimated = apply_estimate("gain", planes, left_only)
    torch.testing.assert_close(estimated[..., 0, 0], torch.tensor([[1.0, 0.0, 1.0, 0.0]]))


def test_a_matrix_takes_from_the_other_channel_too():
    planes = torch.tensor([1.0, 2.0, 3.0, 4.0])[None, :, None, None]  # [Re L, Re R, Im L, Im R]
    shares = torch.tensor([100.0, -100.0, -0.5, 0.25])[None, :, None, None]
    estimated = apply_estimate("matrix", planes, shares)
    # L = 1 L - 0.5 R, R = 0 R + 0.25 L
    torch.testing.assert_close(estimated[..., 0, 0], torch.tensor([[0.0, 0.25, 1.0, 0.75]]))


def test_bands_read_and_write_their_own_bins_alone():
    bands = [(2, 4), (3, 8)]  # bins 0-3, 4-7, 8-15, 16-23, 24-31
    torch.manual_seed(0)
    head = BandHead(5, bands=bands, activation="identity").eval()
    planes = torch.randn(2, 4, 3, 32)
    changed = planes.clone()
    changed[..., 17] = planes[:, [1, 0, 3, 2], :, 17]  # left and right swapped: the level stays
    with torch.no_grad():
        moved = ((head(changed) - head(planes)).abs() > 1e-5).any(dim=(0, 1, 2))
    assert moved.tolist() == [False, False, False, True, False]

    tail = BandTail(5, 2, bands=bands)
    features = torch.randn(2, 5, 3, 5)
    changed = features.clone()
    changed[..., 1] += 1
    moved = (tail(changed) != tail(features)).any(dim=0)
    assert moved.shape == (2, 3, 32)
    assert moved.nonzero()[:, 2].unique().tolist() == [4, 5, 6, 7]


def test_with_bands_a_quiet_song_is_separated_like_a_loud_one():
    bands = {"bins_per_fold": None, "bands": [[8, 4], [4, 8]]}
    arguments = {**TINY["network"], **bands}
    model = build_model(resolve_preset("stemlight-bands", {**TINY, "network": arguments})).eval()
    loud = torch.randn(1, 4, 16, 64)
    with torch.no_grad():
        of_loud, of_quiet = (
            model.network(planes, torch.tensor([0, 3])) for planes in (loud, loud / 100)
        )
    torch.testing.assert_close(of_quiet * 100, of_loud, rtol=0.01, atol=0.001)


def test_sources_are_separated_independently_of_the_company_they_are_asked_in():
    model = build_model(resolve_preset("stemlight-small", TINY)).eval()
    planes = torch.randn(2, 4, 16, 64)
    with torch.no_grad():
        together = model.network(planes, torch.tensor([2, 0]))
        alone = model.network(planes, torch.tensor([0]))
    torch.testing.assert_close(together[:, 1], alone[:, 0], atol=1e-6, rtol=1e-5)


def test_an_unknown_preset_is_answered_with_the_closest_one():
    with pytest.raises(
        ConfigError, match=r"no preset 'lightsaft-mxd' \(did you mean 'lightsaft-mdx'"
    ):
        resolve_preset("lightsaft-mxd")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"network": {"latents": 3}},
            r"has no field 'latents' \(did you mean",
        ),
        ({"network": {"n_blocks": 8}}, "n_blocks must be an odd number of at least 3, not 8"),
        ({"network": {"features": [0]}}, "features must be at least 1, not 0"),
        ({"network": {"bn_factor": 0}}, "bn_factor must be at least 1, not 0"),
        ({"network": {"n_latents": -1}}, "n_latents must be at least 1, not -1"),
        ({"network": {"features": [1, 2]}}, "needs 1 width or 5 .* not 2"),
        (
            {"network": {"n_sources": 2}},
            r"4 sources \(vocals, drums, bass, other\) do not fit .* 2",
        ),
        ({"network": {"estimate": "mapping"}}, "got 'mapping' with head 'folded'"),
        ({"network": {"head": "pairs"}}, "head 'pairs' with bins_per_fold 8"),
        ({"network": {"head": "bands", "bins_per_fold": None}}, "head 'bands' with bands None"),
        ({"network": {"bands": [[4, 512]]}}, "head 'folded' with bands"),
        (
            {"network": {"head": "bands", "bins_per_fold": None, "bands": [[0, 4]]}},
            "bands must be pairs of numbers of at least 1",
        ),
        ({"network": {"kernel_bins": 4}}, "kernel_bins must be an odd number, not 4"),
        ({"network": {"halved_bins": [7]}}, r"halved_bins must name levels in 0\.\.3, not \[7\]"),
        (
            {"network": {"halved_bins": [0], "halved_frames": [1, 2]}},
            "level 3 halves neither frames nor bins",
        ),
        ({"stft": {"representation": "magnitude"}}, "has 2 planes, the network takes 4"),
        (
            {"network": {"modulation": "film-simple"}},
            "'film-simple' needs conditioner 'shared'",
        ),
        ({"chunk": {"chunk_samples": 100_000}}, "multiple of hop_samples 1024, not 100000"),
        (
            {"chunk": {"chunk_samples": 102_400}},
            "101 frames does not halve 4 times; .* example 113664",
        ),
        (
            {"stft": {"kept_bins": 3000}},
            r"kept_bins must lie in 1\.\.2049 for n_fft 4096, not 3000",
        ),
    ],
)
def test_a_wrong_argument_is_refused_with_what_came_and_what_is_allowed(arguments, message):
    with pytest.raises(ConfigError, match=message):
        resolve_preset("stemlight-small", arguments)


def test_bands_must_cover_the_bins_that_the_network_sees():
    arguments = {"head": "bands", "bins_per_fold": None, "bands": [[32, 16], [16, 96]]}
    config = resolve_preset("stemlight-small", {"network": arguments})
    assert build_model(config).network.head.bands == ((32, 16), (16, 96))
    short = {"network": {**arguments, "bands": [[32, 8]]}}
    with pytest.raises(ConfigError, match="bands cover 256 bins but the network sees 2048"):
        build_model(resolve_preset("stemlight-small", short))


def test_bins_that_do_not_halve_are_refused_when_the_network_is_built():
    config = dataclasses.replace(
        PRESETS["stemlight-small"].network, n_blocks=7, features=(4,), bins_per_fold=7
    )
    model = dataclasses.replace(PRESETS["stemlight-small"], network=config)
    with pytest.raises(ConfigError, match="2048 bins do not halve 3 times"):
        build_model(model)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_take_short_windows(name):
    config = PRESETS[name]
    plan = config.low_latency_chunk()
    short = dataclasses.replace(config, chunk=plan)  # refused if the frames did not halve
    assert 32 <= short.n_frames < 32 + config.network.frame_multiple
    assert plan.chunk_samples < config.chunk.chunk_samples
