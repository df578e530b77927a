"""Sizes of the authors' networks, read off the names and shapes of their weights."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stemlight.errors import WeightsError

__all__ = [
    "IN_BLOCK",
    "Shape",
    "Shapes",
    "bottleneck",
    "common_sizes",
    "fitting_factor",
]

Shape = tuple[int, ...]

IN_BLOCK = r"(?:tfc_lightsaft\.|tfc_lasaft\.)?"
"""What LASAFT-Net-v2 puts before the parts of a conditioned block."""

_BLOCK = rf"(?:encoders\.\d+|mid_block|decoders\.\d+)\.{IN_BLOCK}"
_NARROW_LAYER = rf"{_BLOCK}(LaSAFT_bn_layer|tdfs\.tdf|tdf\.tdf|tif\.tif)\.0\.weight"
_WIDE_LAYER = rf"{_BLOCK}(LaSIFT\.[01]|(tdfs\.tdf|tdf\.tdf|tif\.tif)\.3)\.weight"

_PUBLISHED_FACTOR, _PUBLISHED_LEAST_UNITS = 16, 16


class Shapes(Mapping[str, Shape]):
    """Shapes by name, without the prefix that Lightning modules add."""

    def __init__(self, shapes: Mapping[str, Shape]) -> None:
        self._shapes = {
            re.sub(r"^(conditional_)?spec2spec\.", "", name): shape
            for name, shape in shapes.items()
        }

    def __getitem__(self, name: str) -> Shape:
        if name not in self._shapes:
            raise WeightsError(f"there are no weights called {name}, which such a network has")
        return self._shapes[name]

    def __contains__(self, name: object) -> bool:
        return name in self._shapes

    def __iter__(self) -> Iterator[str]:
        return iter(self._shapes)

    def __len__(self) -> int:
        return len(self._shapes)

    def matching(self, pattern: str) -> dict[re.Match[str], Shape]:
        """Return what a pattern matches from the start to the end of a name."""
        matches = ((re.fullmatch(pattern, name), shape) for name, shape in self._shapes.items())
        return {match: shape for match, shape in matches if match}

    def has(self, pattern: str) -> bool:
        """Tell whether a name begins with a pattern."""
        return any(re.match(pattern, name) for name in self._shapes)

    def count(self, pattern: str) -> int:
        """Count the different texts that the first group of a pattern matches."""
        return len({match[1] for name in self._shapes if (match := re.match(pattern, name))})

    def matrix(self, name: str) -> tuple[int, int]:
        """Return the last two axes of weights."""
        shape = self[name]
        if len(shape) < 2:
            raise WeightsError(f"the weights {name} have {len(shape)} axes, not two or more")
        return shape[-2], shape[-1]

    def convolution(self, pattern: str) -> Shape:
        """Return the shape of the first convolution that a pattern matches."""
        found = next(iter(self.matching(pattern).values()), ())
        if len(found) not in (3, 4):
            raise WeightsError(f"there is no convolution called {pattern.replace(chr(92), '')}")
        return found


def common_sizes(weights: Shapes) -> dict[str, Any]:
    """Return what the weights tell of every network but MDX-Net, as the authors' arguments."""
    width, n_planes = weights.convolution(r"first_conv\.0\.weight")[:2]
    convolution = weights.convolution(rf"encoders\.0\.{IN_BLOCK}(?:tfc\.)?H\.0\.0\.weight")
    n_levels = weights.count(r"downsamplings?\.(\d+)\.")
    downs = weights.matching(r"downsamplings\.(\d+)\.0\.weight")
    halved = sorted(int(match[1]) for match, shape in downs.items() if shape[2:3] == (2,))
    return {
        "input_channels": n_planes,
        "spec_type": "complex" if n_planes == 4 else "magnitude",
        "internal_channels": width,
        "n_blocks": 2 * n_levels + 1,
        "n_internal_layers": weights.count(rf"mid_block\.{IN_BLOCK}(?:tfc\.)?H\.(\d+)\."),
        "kernel_size_t": convolution[2] if len(convolution) == 4 else 1,
        "kernel_size_f": convolution[-1],
        "t_down_layers": None if len(halved) == n_levels else halved,
        **_n_fft(weights),
    }


def _n_fft(weights: Shapes) -> dict[str, int]:
    """Read it off the Hann window, or off the bins of the first level, which are half of it."""
    windows = weights.matching(r"(?:.*\.)?window")
    if windows:
        return {"n_fft": next(iter(windows.values()))[0]}
    bins = [shape[1] for shape in weights.matching(_NARROW_LAYER).values()]
    return {"n_fft": 2 * max(bins)} if bins else {}


def bottleneck(weights: Shapes, stored: Mapping[str, Any], n_latents: int = 1) -> dict[str, Any]:
    """Return factor and least units of all frequency transformations, and whether they have a bias.

    Several factors may give the same units: the stored one is taken then, or the published.

    Raises:
        WeightsError: no factor gives the units of all levels.
    """
    pairs = set()
    for match, (units, bins) in weights.matching(_NARROW_LAYER).items():
        # The authors divide the bins of all latent sources of a LaSAFT, of a LightSAFT those of
        # each.
        if match[1] == "tdfs.tdf":
            bins *= n_latents
        elif match[1] == "LaSAFT_bn_layer":
            units //= n_latents
        pairs.add((bins, units))
    bias = bool(weights.matching(_NARROW_LAYER.replace("weight", "bias")))
    if not weights.matching(_WIDE_LAYER):
        return {"bn_factor": None, "min_bn_units": _PUBLISHED_LEAST_UNITS, "bias": bias}
    most_bins = max((bins for bins, _ in pairs), default=0)
    least_units = min((units for _, units in pairs), default=0)
    factor, least = fitting_factor(
        pairs,
        [
            (stored.get("bn_factor"), stored.get("min_bn_units")),
            (_PUBLISHED_FACTOR, _PUBLISHED_LEAST_UNITS),
            # Of several, the greatest is the one without a rest, if there is one.
            *((factor, _PUBLISHED_LEAST_UNITS) for factor in range(most_bins, 0, -1)),
            *((factor, least_units) for factor in range(most_bins, 0, -1)),
        ],
    )
    return {"bn_factor": factor, "min_bn_units": least, "bias": bias}


def fitting_factor(
    pairs: Iterable[tuple[int, int]], candidates: Iterable[tuple[Any, Any]]
) -> tuple[int, int]:
    """Return the first factor and least units that make the units of all bins.

    Raises:
        WeightsError: none does.
    """
    pairs = sorted(pairs)
    for factor, least in candidates:
        known = isinstance(factor, int) and isinstance(least, int) and factor > 0
        if known and all(max(bins // factor, least) == units for bins, units in pairs):
            return factor, least
    listed = ", ".join(f"{units} of {bins}" for bins, units in pairs)
    raise WeightsError(f"the units of its frequency transformations follow no factor: {listed}")
