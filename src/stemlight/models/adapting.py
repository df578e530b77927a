"""Small additions to trained networks that are trained alone, and merged into the weights later.

Both are parametrizations of PyTorch: the network reads its weights as ever, and optimizers see the
addition in place of the weight.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized, register_parametrization

from stemlight.blocks.latent_sources import LatentAttention
from stemlight.errors import ConfigError
from stemlight.models.control import LinearControl
from stemlight.models.unet import UNet

__all__ = [
    "add_low_rank",
    "add_sources",
    "conditioning_of",
    "merge_additions",
    "train_added_sources",
]

_LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_PARAMETRIZED = ".parametrizations.weight."


class _LowRank(nn.Module):
    """Adds a product of two thin matrices to a weight, whose first axis are rows."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        n_rows, n_columns = weight.flatten(1).shape
        rank = min(rank, n_rows, n_columns)
        # Nothing at first: the network starts as what it was.
        self.up = nn.Parameter(torch.zeros(n_rows, rank))
        self.down = nn.Parameter(torch.randn(rank, n_columns) / n_columns**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        """Return the changed weight."""
        with torch.autocast(weight.device.type, enabled=False):
            return _with_low_rank(weight, self.up, self.down)


def _with_low_rank(weight: Tensor, up: Tensor, down: Tensor) -> Tensor:
    return weight + (up @ down).view_as(weight)


class _Rows(nn.Module):
    """Puts what is trained behind what stays as it is, along one axis."""

    old: Tensor

    def __init__(self, old: Tensor, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.register_buffer("old", old)

    def forward(self, new: Tensor) -> Tensor:
        """Return the whole weight."""
        return torch.cat((self.old, new), dim=self.axis)

    def right_inverse(self, whole: Tensor) -> Tensor:
        """Return the part that is trained."""
        n_old = self.old.shape[self.axis]
        return whole.narrow(self.axis, n_old, whole.shape[self.axis] - n_old)


def conditioning_of(network: UNet) -> list[nn.Module]:
    """Return the modules that read which source is asked for; of some networks there are none."""
    attentions = [part for part in network.modules() if isinstance(part, LatentAttention)]
    own = [part for part in (network.embedding, network.conditioner) if part is not None]
    return [*own, *(attention.query for attention in attentions)]


def add_low_rank(network: UNet, rank: int) -> list[nn.Parameter]:
    """Add an update of low rank to every layer that multiplies, and return its weights.

    Generators of modulations, whose weights are products already, and the embedding stay.
    """
    added: list[nn.Parameter] = []
    for name, layer in list(network.named_modules()):
        is_control = name.startswith("embedding")
        if isinstance(layer, _LAYERS) and not is_control and not is_parametrized(layer):
            update = _LowRank(layer.weight, rank)
            register_parametrization(layer, "weight", update)
            added += [update.up, update.down]
    return added


def add_sources(
    weights: Mapping[str, Tensor], network: UNet, starts: Mapping[int, int]
) -> dict[str, Tensor]:
    """Return `weights` of a network of fewer sources, with more rows of the embedding.

    `starts` maps the position of each new source to that of the old one that it begins as.

    Raises:
        ConfigError: the network tells its sources apart otherwise.
    """
    layer, axis = _embedding(network)
    name = next(key for key, module in network.named_modules() if module is layer) + ".weight"
    order = [starts.get(index, index) for index in range(network.n_sources)]
    rows = weights[name].index_select(axis, torch.tensor(order))
    return {**weights, name: rows}


def train_added_sources(network: UNet, n_old: int) -> list[nn.Parameter]:
    """Make the embedding's rows from `n_old` on a weight of its own, and return it."""
    layer, axis = _embedding(network)
    rows = _Rows(layer.weight.detach().narrow(axis, 0, n_old).clone(), axis)
    register_parametrization(layer, "weight", rows)
    new = layer.parametrizations["weight"].original  # type: ignore[union-attr,index]
    assert isinstance(new, nn.Parameter)
    return [new]


def merge_additions(
    weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return `weights` without additions, which are merged; shapes are those of `wanted`."""
    merged = dict(weights)
    for key in weights:
        layer, separator, part = key.partition(_PARAMETRIZED)
        if not separator or part != "original":
            continue  # weight norms have an original0 and an original1
        prefix, name = layer + _PARAMETRIZED, f"{layer}.weight"
        weight = merged.pop(key)
        if f"{prefix}0.up" in weights:
            up, down = merged.pop(f"{prefix}0.up"), merged.pop(f"{prefix}0.down")
            merged[name] = _with_low_rank(weight, up, down)
        elif f"{prefix}0.old" in weights and name in wanted:
            old = merged.pop(f"{prefix}0.old")
            axis = 0 if old.shape[1:] == wanted[name].shape[1:] else 1
            merged[name] = torch.cat((old, weight), dim=axis)
    return merged


def _embedding(network: UNet) -> tuple[nn.Embedding | nn.Linear, int]:
    """Return what holds a row of numbers for each source, and which of its axes the sources are."""
    if isinstance(network.embedding, nn.Embedding):
        return network.embedding, 0
    if isinstance(network.embedding, LinearControl):
        return network.embedding.linear, 1
    raise ConfigError(
        "a source can be added to a network with an embedding of its sources alone; this one has "
        f"{'none' if network.embedding is None else 'a one-hot control'}"
    )
