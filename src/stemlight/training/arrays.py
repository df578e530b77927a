"""Decodes tracks once into memory-mapped arrays, so that an epoch costs no decoding."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stemlight.tracks import StemSource, TrackFiles
from stemlight.training.material import ArrayStem, TrainingTrack

__all__ = ["decode_tracks"]

_FORMAT = 1  # raised whenever the decoded samples change for the same files


def decode_tracks(
    tracks: Sequence[TrackFiles],
    cache: Path,
    *,
    sample_rate_hz: int,
    report: Callable[[str], None] = lambda name: None,
) -> list[TrainingTrack]:
    """Decode each track's stems into `cache` unless it is there, and map them into memory.

    A track's folder appears whole or not at all. `report` is called with the name of each track
    that has to be decoded.
    """
    cache.mkdir(parents=True, exist_ok=True)
    decoded = []
    for track in tracks:
        folder = cache / _key(track, sample_rate_hz)
        if not folder.exists():
            report(track.name)
            _decode(track, folder, sample_rate_hz)
        stems = {
            name: ArrayStem(np.load(folder / f"{name}.npy", mmap_mode="r")) for name in track.stems
        }
        decoded.append(TrainingTrack(name=track.name, stems=stems))
    return decoded


def _key(track: TrackFiles, sample_rate_hz: int) -> str:
    """Name a track's folder after all that its samples depend on."""

    def identity(source: StemSource) -> list[object]:
        facts: list[object] = []
        for file in source.files:
            status = file.path.stat()
            facts += [str(file.path.resolve()), file.stream, status.st_size, status.st_mtime_ns]
        return facts

    facts = {name: identity(source) for name, source in track.stems.items()}
    text = json.dumps([_FORMAT, sample_rate_hz, facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _decode(track: TrackFiles, folder: Path, sample_rate_hz: int) -> None:
    partial = Path(tempfile.mkdtemp(prefix=".decoding-", dir=folder.parent))
    try:
        for name, source in track.stems.items():
            np.save(partial / f"{name}.npy", source.read(sample_rate_hz))
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
