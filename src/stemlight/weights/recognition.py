"""Recognises a network of the authors' code by its weights: names and shapes tell the class.

What shapes tell is certain. What they cannot tell (activations, hop, frames, the kind of estimate)
is what a checkpoint's settings say, or else what the authors published.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from stemlight.errors import ConfigError, UsageError, WeightsError
from stemlight.models.config import ModelConfig
from stemlight.weights.official import official_model
from stemlight.weights.official_shapes import (
    IN_BLOCK,
    Shape,
    Shapes,
    bottleneck,
    common_sizes,
    fitting_factor,
)

__all__ = ["is_mixer", "recognise"]

# What was published, for all that neither weights nor settings tell.
_PUBLISHED: Mapping[str, Any] = {
    "n_fft": 2048,
    "hop_length": 1024,
    "num_frame": 128,
    "spec_type": "complex",
    "spec_est_mode": "mapping",
    "first_conv_activation": "relu",
    "last_activation": "identity",
    "tfc_activation": "relu",
    "tfc_tdf_activation": "relu",
    "tdc_activation": "relu",
    "control_vector_type": "embedding",
    "control_type": "dense",
    "gamma_activation": "identity",
    "beta_activation": "identity",
    "pocm_type": "matmul",
}
# Blocks, features, latent sources and their keys' length of LightSAFT as submitted to the MDX
# challenge; features, blocks and latent sources of LASAFT-Net-v2, light.
_MDX_SIZES = (9, 16, 16, 64)
_LEAKY_SIZES = (20, 7, 12)
_MDX_FRAMES = 256  # MDX-Net was trained on

_READS_CONTROL = rf"\.{IN_BLOCK}(linear_query|pocm_generator)\."


def is_mixer(names: Iterable[str]) -> bool:
    """Tell whether the names of weights are those of a KUIELab Mixer."""
    return set(names) in ({"linear.weight"}, {"mixing_layer.weight"})


def recognise(
    shapes: Mapping[str, Shape],
    stored: Mapping[str, Any] | None = None,
    *,
    source: str | None = None,
) -> ModelConfig:
    """Return the model that weights of these shapes belong to.

    `stored` are settings of the checkpoint, `source` is what a network of one source estimates,
    where they do not say it.

    Raises:
        WeightsError: no published network has such weights, or the settings are none of its.
        UsageError: the weights do not tell all that is needed.
    """
    weights = Shapes(shapes)
    given = {"target_name": source} | dict(stored or {})
    try:
        if weights.has(r"(encoding_blocks|ds_dense)\."):
            return _mdx_net(weights, given)
        if not weights.has(r"first_conv\.0\.weight") or not weights.has(r"mid_block\."):
            some = ", ".join(sorted(weights)[:3])
            raise WeightsError(f"no published network has weights called {some}, ...")
        if weights.has(r"condition_generator\."):
            return _first_generation(weights, given)
        if weights.has(r".*\.(linear_query|pocm_generator)\."):
            return _second_generation(weights, given)
        return _dedicated(weights, given)
    except (ConfigError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
        raise WeightsError(f"the weights or their settings fit no network: {error}") from error


def _first_generation(weights: Shapes, given: Mapping[str, Any]) -> ModelConfig:
    found = common_sizes(weights) | _control(weights)
    n_blocks, width = found["n_blocks"], found["internal_channels"]
    n_gammas, _ = weights.matrix("condition_generator.linear_gamma.0.weight")
    n_betas, _ = weights.matrix("condition_generator.linear_beta.0.weight")
    # FiLM that scales all features alike has one number for each block.
    is_simple = n_betas < width
    n_modulated = n_betas if is_simple else n_betas // width
    # Encoder and decoder have as many blocks: only settings can say that it is the encoder.
    half = "encoder" if given.get("condition_to") == "encoder" else "decoder"
    found |= {
        "film_type": "simple" if is_simple else "complex",
        "condition_to": "full" if n_modulated == n_blocks else half,
    }
    kinds = {"_LightSAFT": "LaSAFT_bn_layer", "_LaSAFT": "tdfs", "_TDF": "tdf"}
    kind = next((kind for kind, part in kinds.items() if weights.has(rf"mid_block\.{part}\.")), "")
    if kind:
        found |= _transformation(weights, given, kind)
    trim_samples = None
    if kind == "_LightSAFT" and (n_blocks, width, found["num_tdfs"], found["dk"]) == _MDX_SIZES:
        # As submitted to the MDX challenge, with windows of its own.
        given, trim_samples = {"num_frame": 256, **given}, 8192
    name = f"DCUN_TFC_{'FiLM' if n_gammas == n_betas else 'GPoCM'}{kind}"
    return official_model(name, _completed(found, given), trim_samples=trim_samples)


def _transformation(weights: Shapes, given: Mapping[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if kind != "_TDF":
        found["dk"], found["num_tdfs"] = weights.matrix("mid_block.keys")
    sizes = bottleneck(weights, given, found.get("num_tdfs", 1))
    return found | {("tfc_tdf_bias" if name == "bias" else name): sizes[name] for name in sizes}


def _control(weights: Shapes) -> dict[str, Any]:
    n_sources, embedding_dim = weights.matrix("embedding.weight")
    layers = weights.matching(r"condition_generator\.dense_control_block\.linear\.\d+\.weight")
    is_normalised = weights.has(r"condition_generator\.linear_gamma\.2\.running_mean")
    return {
        "control_input_dim": n_sources,
        "embedding_dim": embedding_dim,
        "control_n_layer": 1 + sum(len(shape) == 2 for shape in layers.values()),
        "pocm_norm": "batch_norm" if is_normalised else None,
    }


def _second_generation(weights: Shapes, given: Mapping[str, Any]) -> ModelConfig:
    settings = given.get("spec2spec")
    settings = settings if isinstance(settings, Mapping) else {}
    found = common_sizes(weights)
    maker, block = _conditioned_block(weights, settings)
    is_linear = "embedding.linear.weight" in weights
    control = weights.matrix("embedding.linear.weight" if is_linear else "embedding.weight")
    n_sources, embedding_dim = reversed(control) if is_linear else control
    norm = {"norm": _norm(weights)}
    # The published light network is the one whose activations are leaky.
    sizes = (found["internal_channels"], found["n_blocks"], block["num_tdfs"])
    usual = "leaky_relu" if sizes == _LEAKY_SIZES else "relu"
    network = {
        "input_channels": found["input_channels"],
        "internal_channels": found["internal_channels"],
        "n_blocks": found["n_blocks"],
        "first_conv_activation": settings.get("first_conv_activation", usual),
        "last_activation": settings.get("last_activation", "identity"),
        "control_vector_type": "linear" if is_linear else "embedding",
        "control_input_dim": n_sources,
        "embedding_dim": embedding_dim,
        "condition_to": _conditioned_blocks(weights),
        "mk_block_f": block | norm | {"activation": _activation(settings, "mk_block_f", usual)},
        "mk_ds_f": norm | {"activation": _activation(settings, "mk_ds_f", usual)},
        "mk_us_f": norm | {"activation": _activation(settings, "mk_us_f", usual)},
        **norm,
    }
    known = _completed(
        {name: found[name] for name in ("n_fft", "spec_type") if name in found}, given
    )
    surroundings = ("n_fft", "hop_length", "num_frame", "spec_type", "spec_est_mode")
    arguments = {name: known[name] for name in surroundings} | {"spec2spec": network}
    return official_model(f"AbstractLaSAFTNet/BaseNet/{maker}", arguments)


def _activation(settings: Mapping[str, Any], part: str, usual: str) -> Any:
    described = settings.get(part)
    return described.get("activation", usual) if isinstance(described, Mapping) else usual


def _norm(weights: Shapes) -> str:
    if "first_conv.1.running_mean" in weights:
        return "bn"
    return "gn" if "first_conv.1.weight" in weights else "in"


def _conditioned_blocks(weights: Shapes) -> str:
    if weights.has(r"mid_block" + _READS_CONTROL):
        return "full"
    return "decoder" if weights.has(r"decoders\.\d+" + _READS_CONTROL) else "encoder"


def _conditioned_block(weights: Shapes, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Read what a conditioned block of LASAFT-Net-v2 is made of, and the class that makes it."""
    place = "encoders.0." if _conditioned_blocks(weights) == "encoder" else "decoders.0."
    makers = {
        "tfc_lightsaft.": "MkTFCLightSAFTGPoCM",
        "tfc_lasaft.": "MkTFCLaSAFTGPoCM",
        "": "MkTFCLaSAFT",
    }
    inner = next((inner for inner in makers if weights.has(re.escape(place + inner))), "")
    prefix = place + inner
    key_listens = f"{prefix}keys.0.weight" in weights
    if key_listens:
        n_latents = weights[f"{prefix}keys.0.weight"][0]
        last = 3 if f"{prefix}keys.3.weight" in weights else 2
        key_dim, _ = weights.matrix(f"{prefix}keys.{last}.weight")
    else:
        key_dim, n_latents = weights.matrix(f"{prefix}keys")
    described = settings.get("mk_block_f")
    described = described if isinstance(described, Mapping) else {}
    convolution = weights.convolution(re.escape(prefix) + r"tfc\.H\.0\.0\.weight")
    return makers[inner], {
        "num_layers": weights.count(re.escape(prefix) + r"tfc\.H\.(\d+)\."),
        "kt": convolution[-2],
        "kf": convolution[-1],
        "num_tdfs": n_latents,
        "dk": key_dim,
        "query_listen": weights.has(re.escape(prefix) + r"query_pocm_generator\."),
        "key_listen": key_listens,
        **bottleneck(weights, described, n_latents),
    }


def _dedicated(weights: Shapes, given: Mapping[str, Any]) -> ModelConfig:
    found = common_sizes(weights) | {"target_name": _source(given)}
    if weights.has(r"downsamplings?\.0\.conv\."):
        return _tdc(weights, found, given)
    if weights.has(r"mid_block\.tif\."):
        found |= _transformation(weights, given, "_TDF")
        return official_model("TFC_TDF_NET", _completed(found, given))
    return official_model("TFC_NET", _completed(found, given))


def _tdc(weights: Shapes, found: dict[str, Any], given: Mapping[str, Any]) -> ModelConfig:
    if weights["first_conv.0.weight"][2:] != (2, 1):
        return official_model("TDC_NET", _completed(found, given))
    # The oldest code base: bins before frames, channel-major planes, frames that are not centred,
    # and a trim that is no whole number of hops.
    arguments = _completed(found, {"num_frame": 64, **given})
    model = official_model("TDC_NET", arguments, trim_samples=5000)
    stft = dataclasses.replace(model.stft, packing="channel-major", centered=False)
    chunk_samples = stft.window_samples(arguments["num_frame"])
    chunk = dataclasses.replace(model.chunk, chunk_samples=chunk_samples)
    return dataclasses.replace(model, stft=stft, chunk=chunk)


def _mdx_net(weights: Shapes, given: Mapping[str, Any]) -> ModelConfig:
    blocks = r"(?:encoding_blocks|bottleneck_block|ds_dense|mid_dense)(?:\.\d+)?\."
    narrow = weights.matching(blocks + r"tdf\.0\.weight")
    convolution = weights.convolution(blocks + r"(?:tfc\.)?H\.0\.0\.weight")
    found: dict[str, Any] = {
        "target_name": _source(given),
        "dim_c": weights.convolution(r"first_conv\.0\.weight")[1],
        "num_blocks": 2 * weights.count(r"ds\.(\d+)\.") + 1,
        "l": weights.count(blocks + r"(?:tfc\.)?H\.(\d+)\."),
        "g": weights.convolution(r"first_conv\.0\.weight")[0],
        "k": convolution[-1],
        "bn": None,  # no TDFs
        "bias": bool(weights.matching(blocks + r"tdf\.0\.bias")),
    }
    if narrow:
        pairs = {(bins, units) for units, bins in narrow.values()}
        n_bins = found["dim_f"] = max(bins for bins, _ in pairs)
        is_single = not weights.matching(blocks + r"tdf\.3\.weight")
        candidates = ((factor, 0) for factor in range(n_bins, 0, -1))
        found["bn"] = 0 if is_single else fitting_factor(pairs, candidates)[0]
    if "window" in weights:
        found["n_fft"] = weights["window"][0]
        if "freq_pad" in weights:  # zeros for the bins that are cut off
            _, _, n_cut, found["dim_t"] = weights["freq_pad"]
            found["dim_f"] = found["n_fft"] // 2 + 1 - n_cut
    names = ("n_fft", "dim_f", "dim_t", "hop_length", "overlap")
    stored = {name: given[name] for name in names if given.get(name) is not None}
    arguments = {"hop_length": 1024, "dim_t": _MDX_FRAMES} | stored | found
    for name in ("n_fft", "dim_f"):
        if name not in arguments:
            raise UsageError(
                f"the weights do not tell {name}; add --n-fft N, or --preset and --set"
            )
    return official_model("ConvTDFNet", arguments)


def _source(given: Mapping[str, Any]) -> str:
    name = given.get("target_name")
    if not isinstance(name, str):
        raise UsageError("the weights do not tell which source they estimate; add --source NAME")
    return name


def _completed(found: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what shapes do not tell: as stored, or else as published."""
    stored = {name: given[name] for name in _PUBLISHED if given.get(name) is not None}
    return {**_PUBLISHED, **stored, **found}
