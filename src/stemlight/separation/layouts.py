"""Fits any channel layout to networks that know stereo alone.

A layout is divided into groups: pairs, which a network sees as stereo, and single channels, which
are doubled before and averaged after. Every group is separated by itself, so the stems have the
input's layout. Numbers are positions in the order of WAVE_FORMAT_EXTENSIBLE.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stemlight.errors import UsageError
from stemlight.shapes import Float32

__all__ = ["MOST_CHANNELS", "ChannelLayout", "layout_for"]

MOST_CHANNELS = 32
"""More channels than any real layout has; beyond it, samples and channels were swapped."""

_GROUPS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((0,),),  # mono
    2: ((0, 1),),  # stereo
    3: ((0, 1), (2,)),  # FL FR FC
    4: ((0, 1), (2, 3)),  # quad: FL FR BL BR
    5: ((0, 1), (3, 4), (2,)),  # 5.0: FL FR FC BL BR
    6: ((0, 1), (4, 5), (2,), (3,)),  # 5.1: FL FR FC LFE BL BR
    8: ((0, 1), (4, 5), (6, 7), (2,), (3,)),  # 7.1: FL FR FC LFE BL BR SL SR
}


@dataclass(frozen=True)
class ChannelLayout:
    """How `n_channels` channels are divided into groups of one or two; each is in one group."""

    groups: tuple[tuple[int, ...], ...]

    @property
    def n_channels(self) -> int:
        """Channels of the whole layout."""
        return sum(len(group) for group in self.groups)

    def spread(
        self, mixture: Float32[np.ndarray, "channels samples"]
    ) -> list[Float32[np.ndarray, "2 samples"]]:
        """Return one stereo signal per group; a single channel is on both sides."""
        return [mixture[[group[0], group[-1]]] for group in self.groups]

    def gather(
        self, stereo: Sequence[Float32[np.ndarray, "sources 2 samples"]]
    ) -> Float32[np.ndarray, "sources channels samples"]:
        """Put the separated groups back where their channels were; the reverse of `spread`."""
        if self.groups == ((0, 1),):
            return stereo[0]  # stereo is the common case and needs no copy
        n_sources, _, n_samples = stereo[0].shape
        stems = np.empty((n_sources, self.n_channels, n_samples), np.float32)
        for group, stem in zip(self.groups, stereo, strict=True):
            if len(group) == 2:
                stems[:, list(group)] = stem
            else:
                # Halved before they are added, so that the sum cannot overflow.
                stems[:, group[0]] = 0.5 * stem[:, 0] + 0.5 * stem[:, 1]
        return stems


def layout_for(n_channels: int) -> ChannelLayout:
    """Return the layout of `n_channels`: the usual surround layouts, else pairs in order.

    Of an odd unknown count, the last channel stands alone.

    Raises:
        UsageError: `n_channels` is not in 1..32.
    """
    if not 1 <= n_channels <= MOST_CHANNELS:
        raise UsageError(f"channels must lie in 1..{MOST_CHANNELS}, not {n_channels}")
    pairs = tuple(
        tuple(range(first, min(first + 2, n_channels))) for first in range(0, n_channels, 2)
    )
    return ChannelLayout(_GROUPS.get(n_channels, pairs))
