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

from stemlight.models.folding import prepare_for_inference
from stemlight.models.presets import PRESETS, resolve_preset
from stemlight.models.spectrogram import build_model
from stemlight.weights.export import export_onnx

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


def export(model, path):
    """Write the graph; its sources are called 0, 1, 2 ..."""
    export_onnx(model, path, [str(index) for index in range(model.network.n_sources)])


def check_parity(model, session, n_batch, n_frames, sources):
    generator = torch.Generator().manual_seed(n_batch)
    n_planes = 4 if model.stft.representation == "complex" else 2
    planes = torch.randn(n_batch, n_planes, n_frames, model.stft.kept_bins, generator=generator)
    with torch.no_grad():
        expected = model.network(planes, torch.tensor(sources)).numpy()
    found = session.run([f"estimate_{source}" for source in sources], {"planes": planes.numpy()})
    shape = (n_batch, n_planes, n_frames, model.stft.kept_bins)
    assert [estimate.shape for estimate in found] == [shape] * len(sources)
    found = np.stack(found, axis=1)
    rms = np.sqrt(np.mean(expected**2))
    assert rms > 0
    assert np.abs(found - expected).max() < TOLERANCE * rms


@pytest.mark.parametrize("preset", NETWORKS.values())
def test_every_preset_in_full_size_becomes_a_graph_that_computes_the_same(preset, tmp_path):
    config = PRESETS[preset]
    model = fresh(config)
    export(model, tmp_path / "graph.onnx")
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
MATRIX = {**FOLDED, "estimate": "matrix"}
BANDS = {"head": "bands", "bands": [[4, 2], [4, 6]], "estimate": "matrix"}
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
    "matrix": MATRIX,
    "bands": BANDS,
    "dedicated": {**ALONE, "transformation": "tdf", "n_sources": 1},
    "dedicated, masking": {**ALONE, "transformation": "tdf", "n_sources": 1, "estimate": "masking"},
    "multi-head": {**ALONE, "transformation": "tdf"},
    "multi-head, masking": {**ALONE, "transformation": "none", "estimate": "masking"},
    "multi-head, folded": {**ALONE, "transformation": "tdf", **FOLDED},
    "pointwise": {"head": "pointwise"},
}
_EVEN_BINS = ("folded", "matrix", "bands", "multi-head, folded", "pointwise")


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
    return [(1, 4, [1]), (3, 8, [3, 0, 2]), (2, 12, [0, 1, 2, 3])]


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_becomes_a_graph_that_computes_the_same(name, tmp_path):
    config = small_config(OPTIONS[name], even=name in _EVEN_BINS)
    model = fresh(config)
    export(model, tmp_path / "graph.onnx")
    session = session_of(tmp_path / "graph.onnx")
    for n_batch, n_frames, sources in orders(config.network.n_sources):
        check_parity(model, session, n_batch, n_frames, sources)


@pytest.mark.parametrize("estimate", ["mapping", "masking"])
@pytest.mark.parametrize("name", ["as it is", "dedicated", "multi-head", "instance norm"])
def test_networks_on_magnitudes_become_graphs(name, estimate, tmp_path):
    config = small_config({**OPTIONS[name], "estimate": estimate}, representation="magnitude")
    model = fresh(config)
    export(model, tmp_path / "graph.onnx")
    session = session_of(tmp_path / "graph.onnx")
    for n_batch, n_frames, sources in orders(config.network.n_sources):
        check_parity(model, session, n_batch, n_frames, sources)


def convolutions(*parts):
    return sum(isinstance(module, _CONVOLUTIONS) for part in parts for module in part.modules())


def convolutions_in(path):
    return [
        node for node in onnx.load(path).graph.node if node.op_type in ("Conv", "ConvTranspose")
    ]


def modulations(*parts):
    """Count the convolutions that a condition generates: gated point-wise ones."""
    blocks = [module for part in parts for module in part.modules()]
    return sum(getattr(block, "modulate", None) is not None for block in blocks)


@pytest.mark.parametrize(
    "options", [{}, LISTENING, {"transformation": "lasaft"}, {"transformation": "tdf"}]
)
def test_all_before_the_first_condition_is_in_the_graph_once(options, tmp_path):
    model = fresh(small_config(options))
    network = model.network
    assert not network.encoder_is_conditioned
    export(model, tmp_path / "graph.onnx")
    shared = [network.head, network.encoders, network.downs, network.middle]
    shared += [network.ups[0], network.decoders[0].tfc]  # before the first condition
    n_of_one = convolutions(network) + modulations(network)
    n_shared = convolutions(*shared)
    # Each convolution that reads a skip becomes two, of which one is the same for all.
    n_skips = convolutions(*(decoder.tfc for decoder in network.decoders))
    n_found = len(convolutions_in(tmp_path / "graph.onnx"))
    assert n_found == n_shared + n_skips + network.n_sources * (n_of_one - n_shared)


@pytest.mark.parametrize("name", ["as it is", "listening", "plain", "latents in the encoder"])
def test_a_prepared_network_gives_what_the_network_gives(name):
    model = fresh(small_config(OPTIONS[name]))
    prepared = prepare_for_inference(model.network)
    planes = torch.randn(2, 4, 8, model.stft.kept_bins, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for sources in ([0, 1, 2, 3], [2]):
            expected = model.network(planes, torch.tensor(sources))
            found = prepared(planes, torch.tensor(sources))
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("options", [{"latent_blocks": "all"}, {"modulated_blocks": "encoder"}])
def test_the_beginning_of_a_conditioned_encoder_is_there_once(options, tmp_path):
    model = fresh(small_config(options))
    network = model.network
    assert network.encoder_is_conditioned
    export(model, tmp_path / "graph.onnx")
    n_shared = convolutions(network.head, network.encoders[0].tfc)
    n_of_one = convolutions(network) + modulations(network)
    n_found = len(convolutions_in(tmp_path / "graph.onnx"))
    assert n_found == n_shared + network.n_sources * (n_of_one - n_shared)


@pytest.mark.parametrize("name", ["dedicated", "multi-head"])
def test_without_a_condition_everything_is_there_once(name, tmp_path):
    model = fresh(small_config(OPTIONS[name]))
    export(model, tmp_path / "graph.onnx")
    assert len(convolutions_in(tmp_path / "graph.onnx")) == convolutions(model.network)


def test_a_generated_convolution_reads_constants(tmp_path):
    """Nothing that tells sources apart is computed when a song is separated."""
    model = fresh(small_config({}))
    export(model, tmp_path / "graph.onnx")
    graph = onnx.load(tmp_path / "graph.onnx").graph
    varying = {"planes"}
    for node in graph.node:
        if varying.intersection(node.input):
            varying.update(node.output)
    n_modulations = 0
    for node in graph.node:
        if node.op_type == "Conv":
            assert node.input[0] in varying
            assert not varying.intersection(node.input[1:])
            n_modulations += node.input[1] not in {tensor.name for tensor in graph.initializer}
    assert n_modulations == modulations(model.network) * model.network.n_sources


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
        export(copy.deepcopy(model), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert torch.equal(torch.random.get_rng_state(), state)
