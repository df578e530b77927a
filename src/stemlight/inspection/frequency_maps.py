"""Frequency transformations as matrices from frequency to frequency.

Two layers are multiplied, as if every unit between them were active. Norms, whose factor is the
same for all frequencies, are left out, and so are activations: what is left is where a block looks
from each frequency, not what it makes of a sound.

Source: "Investigating U-Nets with various intermediate blocks for spectrogram-based singing voice
separation" (2020), which shows the weights of trained single-layer TDFs, and harmonics in them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from einops import rearrange
from torch import Tensor, nn

from stemlight.blocks.latent_sources import LaSaft, LightSaft
from stemlight.blocks.tfc_tdf import Tdf
from stemlight.inspection.places import Place, places_of
from stemlight.inspection.subject import Subject
from stemlight.shapes import Float

__all__ = ["harmonic_profile", "latent_maps", "plain_maps", "target_maps"]

Matrix = Float[np.ndarray, "frequencies_out frequencies_in"]


def plain_maps(subject: Subject) -> dict[str, tuple[Place, Matrix]]:
    """Return the matrix of each place with a TDF that is the same for all sources."""
    found = {}
    for place in places_of(subject):
        if isinstance(place.block.transformation, Tdf):
            matrix = _of_tdf(place.block.transformation)
            found[place.name] = (place, matrix.numpy())
    return found


def latent_maps(
    subject: Subject,
) -> dict[str, tuple[Place, Float[np.ndarray, "latents frequencies_out frequencies_in"]]]:
    """Return, for each place with latent sources, the matrix of each of them."""
    found = {}
    for place in places_of(subject):
        transformation = place.block.transformation
        if isinstance(transformation, LaSaft):
            rows = _of_tdf(transformation.tdf)
            matrices = rearrange(rows, "(f_out n) f_in -> n f_out f_in", n=transformation.n_latents)
        elif isinstance(transformation, LightSaft):
            matrices = _of_light_saft(transformation)
        else:
            continue
        found[place.name] = (place, matrices.numpy())
    return found


def target_maps(
    subject: Subject, shares: Mapping[str, Float[np.ndarray, "sources latents"]]
) -> dict[str, tuple[Place, Float[np.ndarray, "sources frequencies_out frequencies_in"]]]:
    """Return what each target makes of the latent sources, weighted by its attention."""
    return {
        name: (place, np.einsum("sn,noi->soi", shares[name], matrices))
        for name, (place, matrices) in latent_maps(subject).items()
    }


def harmonic_profile(
    matrix: Matrix, edges_hz: Float[np.ndarray, " edges"], ratios: Float[np.ndarray, " ratios"]
) -> Float[np.ndarray, " ratios"]:
    """Return the mean size of the weights along each line `out = ratio * in`.

    It is relative to the mean of all weights; NaN where a line has hardly a position inside. A
    block that relates harmonics has its maxima where the ratios are those of small numbers.
    """
    centres = (edges_hz[1:] + edges_hz[:-1]) / 2
    sizes = np.abs(matrix)
    mean = sizes.mean()
    profile = np.full(len(ratios), np.nan)
    for number, ratio in enumerate(ratios):
        wanted = ratio * centres
        rows = np.searchsorted(edges_hz, wanted, side="right") - 1
        inside = (wanted >= edges_hz[0]) & (rows < len(centres))
        if inside.sum() >= max(4, len(centres) // 16):
            profile[number] = sizes[rows[inside], np.flatnonzero(inside)].mean() / mean
    return profile


def _of_tdf(tdf: Tdf) -> Float[Tensor, "frequencies_out frequencies_in"]:
    matrix = _linear(tdf.widen).weight.detach()
    return matrix if tdf.narrow is None else matrix @ _linear(tdf.narrow).weight.detach()


def _of_light_saft(light: LightSaft) -> Float[Tensor, "latents frequencies_out frequencies_in"]:
    split = _linear(light.split).weight.detach()
    order = "(n units)" if light.latent_order == "latents-first" else "(units n)"
    by_latent = rearrange(split, f"{order} f_in -> n units f_in", n=light.n_latents)
    return torch.matmul(_linear(light.widen).weight.detach(), by_latent)


def _linear(layers: nn.Module) -> nn.Linear:
    assert isinstance(layers, nn.Sequential)
    return next(layer for layer in layers if isinstance(layer, nn.Linear))
