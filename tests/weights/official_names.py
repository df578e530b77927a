"""Our networks under the authors' names: state dicts as the files of their code hold them."""

from __future__ import annotations

import re

import torch

from stemlight.configs import merge
from stemlight.models.presets import PRESETS, resolve_preset
from stemlight.models.spectrogram import build_model

# Ours to theirs. Where the authors' repositories name a part differently, the last table decides.
_COMMON = (
    (r"^head\.", "first_conv."),
    (r"^tail\.", "last_conv.0."),
    (r"^middle\.", "mid_block."),
    (r"^downs\.", "downsamplings."),
    (r"^ups\.", "upsamplings."),
    (r"^conditioner\.control\.", "condition_generator.dense_control_block.linear."),
    (r"^conditioner\.(gamma|beta)_head\.", r"condition_generator.linear_\1."),
    (r"\.parametrizations\.weight\.original0$", ".weight_g"),
    (r"\.parametrizations\.weight\.original1$", ".weight_v"),
    (r"\.transformation\.attention\.query\.mix\.", ".query_pocm_generator."),
    (r"\.transformation\.attention\.query\.project\.", ".linear_query."),
    (r"\.transformation\.attention\.query\.", ".linear_query."),
    (r"\.transformation\.attention\.listening_keys\.project\.", ".keys."),
    (r"\.transformation\.attention\.keys$", ".keys"),
    (r"\.transformation\.split\.", ".LaSAFT_bn_layer."),
)
_LIGHT = ((r"\.transformation\.widen\.", ".LaSIFT."),)
_NARROW, _WIDE = r"\.transformation\.(?:tdf\.)?narrow\.", r"\.transformation\.(?:tdf\.)?widen\."


def _tdf(module, single):
    """One layer or two, numbered through; each has a norm and an activation."""
    yield _NARROW, f".{module}."
    for index in (0, 1):
        yield _WIDE + rf"{index}\.", f".{module}.{index if single else index + 3}."


_TINY = {
    "stft": {"n_fft": 512, "hop_samples": 256},
    "network": {"n_blocks": 5, "features": [4], "n_tfc_layers": 2},
    "chunk": {"chunk_samples": 256 * 63, "trim_samples": 5120},
}
_TINY_KINDS = {
    "latents": {"network": {"n_latents": 3, "key_dim": 6, "embedding_dim": 8}},
    "conditioned": {"network": {"embedding_dim": 8}},
    "plain": {"network": {}},
    "tdc-17": {"chunk": {"chunk_samples": 512 + 256 * 63, "trim_samples": 5000}},
    "mdx": {
        "stft": {"n_fft": 384, "hop_samples": 64, "kept_bins": 128},
        "network": {"features": [4, 8, 12]},
        "chunk": {"chunk_samples": 64 * 63, "trim_samples": 192},
    },
}
TINY_PRESETS = (
    *("tdc-17", "tfc-small", "tfc-17", "tfc-tdf-17", "tfc-tdf-small", "tfc-tdf-large"),
    *("film", "film-tdf", "film-lasaft", "film-lightsaft"),
    *("gpocm", "gpocm-tdf", "lasaft-small", "lightsaft", "lightsaft-4096"),
    *("lightsaft-plus", "lasaft-v2", "tfc-tdf-v2-vocals", "tfc-tdf-v2-bass"),
)


def tiny_config(preset, **network):
    """Return the network of a preset, as small as its structure can be shown by."""
    kind = "plain"
    if preset.startswith("tfc-tdf-v2"):
        kind = "mdx"
    elif preset == "tdc-17":
        kind = preset
    elif not preset.startswith("tfc"):
        kind = "latents" if PRESETS[preset].network.has_latents else "conditioned"
    arguments = merge(_TINY, _TINY_KINDS[kind])
    if preset.endswith("-17") and preset != "tdc-17":
        arguments = merge(arguments, {"network": {"halved_frames": [0]}})
    return resolve_preset(preset, merge(arguments, {"network": network}))


def tiny_model(preset, seed=0, **network):
    """Return a tiny network whose weights and statistics are all random."""
    torch.manual_seed(seed)
    model = build_model(tiny_config(preset, **network)).eval()
    with torch.no_grad():
        for name, tensor in model.network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif name.endswith("running_mean"):
                tensor.uniform_(-0.2, 0.2)
    return model


def shapes_of(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def official_state_dict(config, *, model=None):
    """Return weights of a config under the authors' names, random unless of a `model`.

    Which repository's names they are is told by the config.
    """
    model = model or build_model(config)
    network = config.network
    generation = _generation(config)
    inner = {"ismir": "tif.tif", "mdx": "tdf"}.get(generation, "tdf.tdf")
    if network.transformation == "lasaft" and generation == 1:
        inner = "tdfs.tdf"
    single = network.bn_factor is None
    ours_of = model.network.state_dict()
    conditioned = {name.partition(".transformation.attention.")[0] for name in ours_of}
    state = {}
    for name, tensor in ours_of.items():
        reads_control = re.match(r"[a-z]+(\.\d+)?", name)[0] in conditioned
        rules = list(_COMMON)
        if network.transformation == "lightsaft" and reads_control:
            rules += _LIGHT
        if network.transformation == "lasaft" and reads_control:
            rules += _tdf("tdfs.tdf", single)
        rules += _tdf(inner, single)
        for pattern, theirs in rules:
            name = re.sub(pattern, theirs, name)
        name = re.sub(r"\.tfc\.layers\.", ".tfc.H.", name)
        if network.transformation == "none":
            name = name.replace(".tfc.H.", ".H.")
        if generation == 2:
            name = _second(name, network, reads_control)
            if name.endswith(".keys"):
                tensor = tensor[None, None]
        if generation == "tdc":
            name, tensor = _tdc(name, tensor)
        if generation == "mdx":
            name = _mdx(name)
        state[name] = tensor.clone()
    if generation == "mdx":
        n_cut = config.stft.n_fft // 2 + 1 - config.stft.kept_bins
        state["window"] = torch.hann_window(config.stft.n_fft)
        state["freq_pad"] = torch.zeros(1, network.n_planes, n_cut, config.n_frames)
    elif generation != "tdc":
        state = {f"spec2spec.{name}": tensor for name, tensor in state.items()}
        state["stft.stft.window"] = torch.hann_window(config.stft.n_fft)
    return state


def _generation(config):
    network = config.network
    if network.head == "pointwise":
        return "mdx"
    if network.kernel_frames == 1:
        return "tdc"
    if not network.is_conditioned:
        return "ismir"
    return 1 if network.conditioner == "shared" else 2


def _second(name, network, reads_control):
    if match := re.match(r"conditioner\.generators\.(\d+)\.(.*)", name):
        index, n_levels = int(match[1]), network.n_levels
        block = {
            "decoder": f"decoders.{index}",
            "encoder": f"encoders.{index}",
            "all": (
                [f"encoders.{i}" for i in range(n_levels)]
                + ["mid_block"]
                + [f"decoders.{i}" for i in range(n_levels)]
            )[index % (2 * n_levels + 1)],
        }[network.modulated_blocks]
        return f"{block}.pocm_generator.{match[2]}"
    if reads_control and network.modulation != "none":
        inner = {"lightsaft": "tfc_lightsaft", "lasaft": "tfc_lasaft"}[network.transformation]
        name = re.sub(r"^((?:encoders|decoders)\.\d+|mid_block)\.", rf"\1.{inner}.", name)
    return name


def _tdc(name, tensor):
    """Name the oldest code's parts: no axis of frames, and the ends with bins before frames."""
    name = re.sub(r"^(down|up)samplings\.(\d+)\.0\.", r"\1sampling.\2.conv.", name)
    name = re.sub(r"^(down|up)samplings\.(\d+)\.1\.", r"\1sampling.\2.bn.", name)
    name = name.replace("last_conv.", "final_conv.")
    if tensor.ndim == 4:
        ends = name.startswith(("first_conv", "final_conv"))
        tensor = tensor.transpose(-1, -2) if ends else tensor[:, :, 0]
    return name, tensor.contiguous()


def _mdx(name):
    for ours, theirs in (
        ("mid_block.", "bottleneck_block."),
        ("encoders.", "encoding_blocks."),
        ("decoders.", "decoding_blocks."),
        ("downsamplings.", "ds."),
        ("upsamplings.", "us."),
        ("last_conv.", "final_conv."),
    ):
        if name.startswith(ours):
            name = theirs + name.removeprefix(ours)
    return name
