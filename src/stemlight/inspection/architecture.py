"""The parts of a network as its config tells them: shapes, parameters, what is conditioned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from stemlight.blocks.latent_sources import LaSaft, LightSaft
from stemlight.blocks.tfc_tdf import Tdf, TfcFtBlock
from stemlight.inspection.places import kept_bins, level_edges_hz, level_frames
from stemlight.models.config import ModelConfig, UNetConfig
from stemlight.models.spectrogram import build_model

__all__ = ["Part", "PartKind", "parts_of"]

PartKind = Literal["head", "encoder", "down", "middle", "up", "decoder", "tail", "control"]


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of a network; `shape` is that of its output: features, frames, bins.

    `text` says what it is in one line or two.
    """

    name: str
    kind: PartKind
    text: str
    n_parameters: int
    level: int = 0
    shape: tuple[int, int, int] | None = None
    is_conditioned: bool = False


def parts_of(config: ModelConfig) -> list[Part]:
    """Return all parts in the order of execution; no weights are made."""
    with torch.device("meta"):
        network = build_model(config).network
    told = config.network
    widths = told.features if len(told.features) > 1 else told.features * (told.n_levels + 1)
    shapes = [
        (width, frames, len(edges) - 1)
        for width, frames, edges in zip(
            widths, level_frames(config), level_edges_hz(config), strict=True
        )
    ]
    n_levels = told.n_levels
    parts = [_plain("head", "head", _head_text(told), network.head, 0, shapes[0])]
    for level in range(n_levels):
        deeper = shapes[level + 1]
        parts += [
            _block(told, "encoder", level, network.encoders[level], shapes[level]),
            _plain(
                f"down {level + 1}",
                "down",
                _step(told, level, "÷"),
                network.downs[level],
                level,
                deeper,
            ),
        ]
    parts.append(_block(told, "middle", n_levels, network.middle, shapes[-1]))
    for level in reversed(range(n_levels)):
        number = n_levels - 1 - level
        parts += [
            _plain(
                f"up {level + 1}",
                "up",
                _step(told, level, "×"),
                network.ups[number],
                level,
                shapes[level],
            ),
            _block(told, "decoder", level, network.decoders[number], shapes[level]),
        ]
    n_estimates = 1 if told.is_conditioned else told.n_sources
    outputs = (n_estimates * told.n_planes, config.n_frames, kept_bins(config))
    parts.append(_plain("tail", "tail", _tail_text(told), network.tail, 0, outputs))
    return [*parts, *_control_parts(told, network.embedding, network.conditioner)]


def _control_parts(
    told: UNetConfig, embedding: nn.Module | None, conditioner: nn.Module | None
) -> list[Part]:
    parts = []
    if embedding is not None:
        text = f"{told.control}: {told.n_sources} sources × {told.control_dim}"
        parts.append(_plain("control", "control", text, embedding, 0, None))
    if conditioner is not None:
        text = f"{told.conditioner}: {told.modulation} of {told.modulated_blocks}"
        parts.append(_plain("conditioner", "control", text, conditioner, 0, None))
    return parts


def _plain(
    name: str,
    kind: PartKind,
    text: str,
    module: nn.Module,
    level: int,
    shape: tuple[int, int, int] | None,
) -> Part:
    return Part(
        name=name,
        kind=kind,
        text=text,
        n_parameters=_count(module),
        level=level,
        shape=shape,
        is_conditioned=kind == "control",
    )


def _block(
    told: UNetConfig, kind: PartKind, level: int, block: nn.Module, shape: tuple[int, int, int]
) -> Part:
    assert isinstance(block, TfcFtBlock)
    return Part(
        name="middle" if kind == "middle" else f"{kind} {level + 1}",
        kind=kind,
        text=_block_text(told, block),
        n_parameters=_count(block),
        level=level,
        shape=shape,
        is_conditioned=block.conditioned,
    )


def _block_text(told: UNetConfig, block: TfcFtBlock) -> str:
    first = block.tfc.layers[0]
    assert isinstance(first, nn.Sequential)
    convolution = first[0]
    assert isinstance(convolution, nn.Conv2d)
    frames, bins = convolution.kernel_size
    density = "dense " if block.tfc.dense else ""
    text = f"{len(block.tfc.layers)} {density}convolutions {frames}×{bins}"
    if block.modulate is not None:
        text += f", {told.modulation}"
    transformation = block.transformation
    if isinstance(transformation, Tdf):
        return f"{text}\nTDF {_units(transformation)}"
    if isinstance(transformation, LaSaft):
        return f"{text}\nLaSAFT, {transformation.n_latents} latent sources"
    if isinstance(transformation, LightSaft):
        return f"{text}\nLightSAFT, {transformation.n_latents} latent sources"
    return text


def _units(tdf: Tdf) -> str:
    layers = [part for part in tdf.modules() if isinstance(part, nn.Linear)]
    return "→".join(str(n) for n in (layers[0].in_features, *(lin.out_features for lin in layers)))


def _head_text(told: UNetConfig) -> str:
    return {
        "pairs": "bins in pairs",
        "pointwise": "bins one by one",
        "folded": f"{told.bins_per_fold} bins folded into features",
        "bands": " + ".join(f"{count} bands of {width}" for count, width in told.bands or ()),
    }[told.head]


def _tail_text(told: UNetConfig) -> str:
    every = (
        "" if told.is_conditioned or told.n_sources == 1 else f" of all {told.n_sources} sources"
    )
    return {
        "mapping": "the planes themselves",
        "masking": "a factor for each plane",
        "gain": "a gain for each channel and bin",
        "matrix": "a matrix between the channels for each bin",
    }[told.estimate] + every


def _step(told: UNetConfig, level: int, sign: str) -> str:
    frames, bins = told.strides(level)
    return f"frames {sign}{frames}, bins {sign}{bins}"


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
