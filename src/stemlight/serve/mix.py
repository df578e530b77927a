"""A mix of stems as it was heard: volume, place between left and right, muted or not."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemlight.audio import AudioWriter, open_audio
from stemlight.errors import UsageError
from stemlight.shapes import Float32

__all__ = ["StemMix", "panned", "write_mix"]

_Block = Float32[np.ndarray, "channels samples"]

_FULL_SCALE = 1.0 - 2.0**-15  # the highest that 16 bits hold


@dataclass(frozen=True)
class StemMix:
    """How one stem goes into a mix; `pan` is -1 (left) to 1 (right)."""

    gain_db: float = 0.0
    pan: float = 0.0


def panned(block: _Block, pan: float) -> _Block:
    """Move stereo to one side, as the browsers' StereoPannerNode does; 0 changes no sample.

    One channel is taken as two equal ones.

    Raises:
        UsageError: there are more than two channels, and `pan` is not 0.
    """
    if pan == 0:
        return block
    if block.shape[0] > 2:
        raise UsageError(f"sound of {block.shape[0]} channels has no left and right; leave pan out")
    left, right = block[0], block[-1]
    angle = (pan + 1 if pan < 0 else pan) * math.pi / 2
    kept, moved = math.cos(angle), math.sin(angle)
    if pan < 0:
        return np.stack([left + right * kept, right * moved])
    return np.stack([left * kept, right + left * moved])


def write_mix(
    stems: Mapping[Path, StemMix], target: Path, *, format: str, bit_depth: str | None
) -> float:
    """Write the sum of the stems; return the gain in dB that kept it from clipping, 0 mostly."""
    if not stems:
        raise UsageError("every stem is muted, so there is nothing to mix; let one be heard")
    with contextlib.ExitStack() as opened:
        infos = [opened.enter_context(open_audio(path)).info for path in stems]
    rate_hz = infos[0].sample_rate_hz
    n_channels = infos[0].n_channels
    if any(how.pan for how in stems.values()):
        n_channels = max(2, n_channels)
    writer = AudioWriter(
        target, sample_rate_hz=rate_hz, n_channels=n_channels, format=format, bit_depth=bit_depth
    )
    gain = 1.0
    if writer.bit_depth != "float":
        peak = max((float(np.abs(block).max()) for block in _mixed(stems, n_channels)), default=0.0)
        gain = min(1.0, _FULL_SCALE / peak) if peak else 1.0
    with writer:
        for block in _mixed(stems, n_channels):
            writer.write(block if gain == 1 else block * np.float32(gain))
    return 20 * math.log10(gain)


def _mixed(stems: Mapping[Path, StemMix], n_channels: int) -> Iterator[_Block]:
    with contextlib.ExitStack() as opened:
        readers = [opened.enter_context(open_audio(path)).blocks() for path in stems]
        while True:
            blocks = [block for reader in readers if (block := next(reader, None)) is not None]
            if len(blocks) < len(readers):
                return
            length = min(block.shape[1] for block in blocks)
            total = np.zeros((n_channels, length), np.float32)
            for block, how in zip(blocks, stems.values(), strict=True):
                total += np.float32(10 ** (how.gain_db / 20)) * panned(block[:, :length], how.pan)
            yield total
            if any(block.shape[1] != length for block in blocks):
                return
