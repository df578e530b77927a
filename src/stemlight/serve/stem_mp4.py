"""A STEM file of a result: the mixture and four stems in one file, for DJ software."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemlight.audio import StemFileWriter, check_stem_mp4, open_audio
from stemlight.audio.stem_mp4 import MIXTURE_STREAM, STEM_MP4_STEMS
from stemlight.errors import UsageError

__all__ = ["holds_stem_mp4", "write_stem_mp4"]


def holds_stem_mp4(result: Mapping[str, Any]) -> bool:
    """Tell whether the stems can be put into a STEM file: four, stereo, at the song's own rate."""
    stems = result["stems"]
    rate_hz = result["sample_rate_hz"]
    try:
        check_stem_mp4(tuple(stems), sample_rate_hz=rate_hz, n_channels=result["n_channels"])
    except UsageError:
        return False
    return all(stem["sample_rate_hz"] == rate_hz for stem in stems.values())


def write_stem_mp4(folder: Path, result: Mapping[str, Any], target: Path) -> None:
    """Write the STEM file of a result whose files lie in `folder`."""
    stems = result["stems"]
    usual = set(stems) == set(STEM_MP4_STEMS)
    files = {name: folder / stem["file"] for name, stem in stems.items()}
    files[MIXTURE_STREAM] = folder / result["original"]["file"]
    target.parent.mkdir(exist_ok=True)
    with contextlib.ExitStack() as opened:
        readers = {
            name: opened.enter_context(open_audio(path)).blocks() for name, path in files.items()
        }
        writer = opened.enter_context(
            StemFileWriter(
                target,
                sample_rate_hz=result["sample_rate_hz"],
                n_channels=result["n_channels"],
                stems=STEM_MP4_STEMS if usual else tuple(stems),
            )
        )
        while True:
            blocks = {name: next(reader, None) for name, reader in readers.items()}
            present = {name: block for name, block in blocks.items() if block is not None}
            if len(present) < len(blocks):  # lossy stems may be padded beyond the song
                return
            shortest = min(block.shape[1] for block in present.values())
            writer.write({name: block[:, :shortest] for name, block in present.items()})
            if any(block.shape[1] != shortest for block in present.values()):
                return
