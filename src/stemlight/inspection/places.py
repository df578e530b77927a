"""Where the blocks of a network lie: which frequencies and frames their maps stand for.

Blocks are numbered by level, 1 being the one with all frames and bins, and come in the order of
execution: encoder 1, encoder 2 ..., middle, ... decoder 2, decoder 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stemlight.blocks.tfc_tdf import TfcFtBlock
from stemlight.inspection.subject import Subject
from stemlight.models.config import ModelConfig
from stemlight.shapes import Float

__all__ = ["Place", "bin_hz", "kept_bins", "level_edges_hz", "level_frames", "places_of"]

Edges = Float[np.ndarray, " edges"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A block, and the frequencies between which each position of its maps lies."""

    name: str
    block: TfcFtBlock
    edges_hz: Edges
    hops_per_frame: int  # frames of the spectrogram that one frame of the block stands for

    @property
    def n_positions(self) -> int:
        """Length of the frequency axis of its maps."""
        return len(self.edges_hz) - 1


def bin_hz(config: ModelConfig) -> float:
    """Return the distance of two bins of the spectrogram."""
    return config.sample_rate_hz / config.stft.n_fft


def kept_bins(config: ModelConfig) -> int:
    """Return how many bins the network sees."""
    return config.stft.kept_bins or config.stft.n_fft // 2 + 1


def places_of(subject: Subject) -> list[Place]:
    """Return all blocks of the network in the order of execution."""
    config, network = subject.known_config(), subject.known_network()
    edges, hops = level_edges_hz(config), _hops_per_frame(config)
    n_levels = config.network.n_levels

    def place(name: str, block: object, level: int) -> Place:
        assert isinstance(block, TfcFtBlock)
        return Place(name=name, block=block, edges_hz=edges[level], hops_per_frame=hops[level])

    down = [
        place(f"encoder {level + 1}", network.encoders[level], level) for level in range(n_levels)
    ]
    up = [
        place(f"decoder {level + 1}", network.decoders[n_levels - 1 - level], level)
        for level in reversed(range(n_levels))
    ]
    return [*down, place("middle", network.middle, n_levels), *up]


def level_edges_hz(config: ModelConfig) -> list[Edges]:
    """Return the frequencies between the positions of each level and, last, of the middle."""
    edges = _head_edges_bins(config) * bin_hz(config)
    levels = [edges]
    for level in range(config.network.n_levels):
        edges = edges[:: config.network.strides(level)[1]]
        levels.append(edges)
    return levels


def level_frames(config: ModelConfig) -> list[int]:
    """Return the frames of a window in each level and, last, in the middle."""
    return [config.n_frames // hops for hops in _hops_per_frame(config)]


def _hops_per_frame(config: ModelConfig) -> list[int]:
    hops = [1]
    for level in range(config.network.n_levels):
        hops.append(hops[-1] * config.network.strides(level)[0])
    return hops


def _head_edges_bins(config: ModelConfig) -> Edges:
    """Return where the positions behind the head begin and end; bin k is [k - 1/2, k + 1/2]."""
    n_bins, network = kept_bins(config), config.network
    if network.head == "pairs":  # position i reads the bins i and i + 1
        return np.arange(n_bins, dtype=np.float64)
    widths: Sequence[int] = [1] * n_bins
    if network.head == "folded":
        widths = [network.bins_per_fold or 1] * (n_bins // (network.bins_per_fold or 1))
    elif network.head == "bands":
        widths = [width for count, width in network.bands or () for _ in range(count)]
    return np.maximum(np.concatenate(([0], np.cumsum(widths))) - 0.5, 0)
