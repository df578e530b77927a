"""Graphs: every preset and every option gives one that computes what the network computes."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from stemlight.models.presets import PRESETS, resolve_preset
from stemlight.models.spectrogram import build_model
from stemlight.weights.export import export_onnx, prepare_for_inference

TOLERANCE = 1e-4  # of the root mean square of the output
_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)

# One of each network: the four of MDX-Net differ in their transforms alone.
NETWORKS = {
    (config.network, build_bins): name
    for name, config in PRESETS.items()
    for build_bins in [config.stft.kept_bins or config.stft.n_fft // 2 + 1]
}


def well_used(model):
    """Give all norms statistics that are no identity, as training does."""
    generator = torch.Generator().manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return model.eval()


def fresh(config, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return well_used(build_model(config))


def session_of(graph):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def check_parity(model, session, n_batch, n_frames, sources):
    generator = torch.Generator().manual_seed(n_batch)
    n_planes = 4 if model.stft.representation == "complex" else 2
    planes = torch.randn(n_batch, n_planes, n_frames, model.stft.kept_bins, generator=generator)
    with torch.no_grad():
        expected = model.network(planes, torch.tensor(sources)).numpy()
    feed = {"planes": planes.numpy(), "sources": np.array(sources)}
    (found,) = session.run(["estimates"], feed)
    assert found.shape == (n_batch, len(sources), n_planes, n_frames, model.stft.kept_bins)
    rms = np.sqrt(np.mean(expected**2))
    assert rms > 0
    assert np.abs(found - expected).max() < TOLERANCE * rms


@pytest.mark.parametrize("preset", NETWORKS.values())
def test_every_preset_in_full_size_becomes_a_graph_that_computes_the_same(preset, tmp_path):
    config = PRESETS[preset]
    model = fresh(config)
    export_onnx(model, tmp_path / "graph.onnx")
    session = session_of(tmp_path / "graph.onnx")
    sources = [2, 0] if config.network.n_sources > 2 else [0]
    # More frames than the graph was traced with, where that takes no long time.
    n_frames = max(config.network.frame_multiple, 4)
    check_parity(model, session, 1, n_frames, sources)


# Options, each laid over a small network with LightSAFT and GPoCM, which has most parts.
SMALL = {
    "stft": {"n_fft": 64, "hop_samples": 16},
    "network": {
        "n_blocks": 5,
        "features": [4],
        "n_tfc_layers": 2,
        "n_latents": 3,
        "key_dim": 4,
        "embedding_dim": 5,
        "bn_factor": 4,
        "min_bn_units": 3,
    },
    "chunk": {"chunk_samples": 16 * 15, "trim_samples": 16},
}
LISTENING = {"query_listens": True, "key_listens": True}
FOLDED = {"head": "folded", "bins_per_fold": 4, "estimate": "gain"}
ALONE = {"modulation": "none"}
OPTIONS = {
    "as it is": {},
    "no encoder of its own": {"latent_blocks": "all"},
    "latents in the encoder": {"latent_blocks": "encoder"},
    "all modulated": {"modulated_blocks": "all", "latent_blocks": "all"},
    "encoder modulated": {"modulated_blocks": "encoder"},
    "shared conditioner": {"conditioner": "shared", "normalize_modulation": True},
    "no norm of it": {"conditioner": "shared", "gamma_activation": "tanh", "n_control_layers": 2},
    "rows are outputs": {"gamma_order": "out-first"},
    "pocm": {"modulation": "pocm", "beta_activation": "sigmoid", "conditioner": "shared"},
    "film": {"modulation": "film"},
    "film-simple": {"modulation": "film-simple", "conditioner": "shared"},
    "attention alone": ALONE,
    "lasaft": {"transformation": "lasaft", "latent_blocks": "all"},
    "lasaft without bottleneck": {"transformation": "lasaft", "bn_factor": None},
    "lasaft listening": {"transformation": "lasaft", **LISTENING},
    "lightsaft without bottleneck": {"bn_factor": None},
    "lightsaft of 2021": {"latent_order": "latents-first", "norm_after_widening": True},
    "listening": LISTENING,
    "listening, latents first": {"latent_order": "latents-first", **LISTENING},
    "query listens": {"query_listens": True},
    "keys listen": {"key_listens": True, "latent_blocks": "all"},
    "tdf": {"transformation": "tdf", "affine_tdf_norm": False},
    "tdf without bottleneck": {"transformation": "tdf", "bn_factor": None, "bias": True},
    "no transformation": {"transformation": "none"},
    "one-hot control": {"control": "one-hot"},
    "linear control": {"control": "linear"},
    "one conditioned source": {"n_sources": 1},
    "group norm": {"norm": "group", "features": [9]},
    "group norm of one group": {"norm": "group", "affine_tdf_norm": False},
    "instance norm": {"norm": "instance"},
    "instance norm, tdf": {"norm": "instance", "transformation": "tdf", "affine_tdf_norm": False},
    "masking": {"estimate": "masking", "tail_activation": "sigmoid"},
    "masking with tanh": {"estimate": "masking", "tail_activation": "tanh"},
    "leaky tail": {"tail_activation": "leaky_relu"},
    "leaky": {"activation": "leaky_relu", "resampling_activation": "leaky_relu"},
    "no activation between": {"resampling_activation": "identity", "head_activation": "tanh"},
    "frames are kept": {"halved_frames": []},
    "bins are kept": {"halved_bins": []},
    "frames of one level": {"halved_frames": [1]},
    "bins of one level": {"halved_bins": [0]},
    "frames alone": {"kernel_bins": 1, "kernel_frames": 5},
    "bins alone": {"kernel_frames": 1},
    "plain": {"dense": False, "merge_skip": "multiply", "features": [3, 5, 7]},
    "widths": {"features": [3, 5, 7], "latent_blocks": "all"},
    "folded": FOLDED,
    "dedicated": {**ALONE, "transformation": "tdf", "n_sources": 1},
    "dedicated, masking": {**ALONE, "transformation": "tdf", "n_sources": 1, "estimate": "masking"},
    "multi-head": {**ALONE, "transformation": "tdf"},
    "multi-head, masking": {**ALONE, "transformation": "none", "estimate": "masking"},
    "multi-head, folded": {**ALONE, "transformation": "tdf", **FOLDED},
    "pointwise": {"head": "pointwise"},
}
_EVEN_BINS = ("folded", "multi-head, folded", "pointwise")


def small_config(options, *, even=False, representation="complex"):
    network = {**SMALL["network"], **options}
    network["n_planes"] = 4 if representation == "complex" else 2
    stft = {**SMALL["stft"], "representation": representation}
    n_sources = network.get("n_sources", 4)
    return resolve_preset(
        "lightsaft-plus",
        {
            **SMALL,
            "network": network,
            "stft": {**stft, "kept_bins": 32 if even else None},
            "sources": ["vocals", "drums", "bass", "other"][:n_sources],
        },
    )


def orders(n_sources):
    """Batches, windows and asked sources that a graph must take."""
    if n_sources == 1:
        return [(1, 4, [0]), (3, 12, [0])]
    return [(1, 4, [1]), (3, 8, [3, 0, 2]), (2, 12, [0, 1, 2, 3]), (1, 8, [2, 2])]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_becomes_a_graph_that_computes_the_same(name, tmp_path):
    config = small_config(OPTIONS[name], even=name in _EVEN_BINS)
    model = fresh(config)
    export_onnx(model, tmp_path / "graph.onnx")
    session = session_of(tmp_path / "graph.onnx")
    for n_batch, n_frames, sources in orders(config.network.n_sources):
        check_parity(model, session, n_batch, n_frames, sources)


@pytest.mark.parametrize("estimate", ["mapping", "masking"])
@pytest.mark.parametrize("name", ["as it is", "dedicated", "multi-head", "instance norm"])
def test_networks_on_magnitudes_become_graphs(name, estimate, tmp_path):
    config = small_config({**OPTIONS[name], "estimate": estimate}, representation="magnitude")
    model = fresh(config)
    export_onnx(model, tmp_path / "graph.onnx")
    session = session_of(tmp_path / "graph.onnx")
    for n_batch, n_frames, sources in orders(config.network.n_sources):
        check_parity(model, session, n_batch, n_frames, sources)


def convolutions(*parts):
    return sum(isinstance(module, _CONVOLUTIONS) for part in parts for module in part.modules())


def rows_of_convolutions(path, n_batch, n_frames, n_bins, sources):
    """Run a graph and return how many feature maps each of its convolutions gives."""
    graph = onnx.load(path)
    nodes = [node for node in graph.graph.node if node.op_type in ("Conv", "ConvTranspose")]
    for node in nodes:
        graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(node.output[0]))
    planes = np.zeros((n_batch, 4, n_frames, n_bins), np.float32)
    feed = {"planes": planes, "sources": np.array(sources)}
    maps = session_of(graph.SerializeToString()).run([node.output[0] for node in nodes], feed)
    return [len(found) for found in maps]


@pytest.mark.parametrize(
    ("options", "is_shared"),
    [
        ({}, True),
        (LISTENING, True),
        ({"transformation": "lasaft"}, True),
        ({"transformation": "tdf"}, True),
        ({"latent_blocks": "all"}, False),
        ({"modulated_blocks": "encoder"}, False),
    ],
)
def test_an_unconditioned_encoder_is_in_the_graph_once_and_runs_once(options, is_shared, tmp_path):
    model = fresh(small_config(options))
    network = model.network
    assert network.encoder_is_conditioned != is_shared
    path = tmp_path / "graph.onnx"
    export_onnx(model, path)
    n_batch, sources = 2, [3, 1, 0]
    rows = rows_of_convolutions(path, n_batch, 8, model.stft.kept_bins, sources)
    n_before = convolutions(network.head, network.encoders, network.downs, network.middle)
    n_behind = convolutions(network.ups, network.decoders, network.tail)
    shared_rows = n_batch if is_shared else n_batch * len(sources)
    assert sorted(rows) == sorted([shared_rows] * n_before + [n_batch * len(sources)] * n_behind)


@pytest.mark.parametrize("name", ["dedicated", "multi-head"])
def test_without_a_condition_everything_runs_once(name, tmp_path):
    config = small_config(OPTIONS[name])
    model = fresh(config)
    export_onnx(model, tmp_path / "graph.onnx")
    sources = list(range(config.network.n_sources))
    rows = rows_of_convolutions(tmp_path / "graph.onnx", 2, 8, model.stft.kept_bins, sources)
    assert rows == [2] * convolutions(model.network)


def test_norms_behind_convolutions_and_weight_norms_are_folded_away(tmp_path):
    model = fresh(small_config({**LISTENING, "conditioner": "per-block"}))
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    prepared = prepare_for_inference(model.network)
    for layers in prepared.modules():
        if isinstance(layers, nn.Sequential):
            kinds = [type(layer) for layer in layers]
            pairs = itertools.pairwise(kinds)
            assert not any(a in _CONVOLUTIONS and b is nn.BatchNorm2d for a, b in pairs)
    assert not any("parametrizations" in name for name in prepared.state_dict())
    after = model.network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_the_same_weights_give_the_same_bytes_and_use_up_no_random_numbers(tmp_path):
    model = fresh(small_config({}))
    state = torch.random.get_rng_state()
    for name in ("one", "two"):
        export_onnx(copy.deepcopy(model), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert torch.equal(torch.random.get_rng_state(), state)
