"""Finds tracks with ground-truth stems: STEM mp4 files and folders of one file per stem."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemlight.audio import read_audio
from stemlight.errors import InputError
from stemlight.shapes import Float32

__all__ = ["MIXTURE", "STEM_MP4_ORDER", "StemSource", "TrackFiles", "find_tracks"]

MIXTURE = "mixture"
STEM_MP4_ORDER = (MIXTURE, "drums", "bass", "other", "vocals")
"""Order of the audio streams in the STEM mp4 files of MUSDB18."""

_STEM_MP4_SUFFIX = ".stem.mp4"
_AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aiff", ".opus")


@dataclass(frozen=True, kw_only=True)
class StemSource:
    """Where the samples of one stem come from: a file and one of its audio streams."""

    path: Path
    stream: int = 0

    def read(self, sample_rate_hz: int) -> Float32[np.ndarray, "2 samples"]:
        """Read the stem as stereo at `sample_rate_hz`."""
        return read_audio(
            self.path, sample_rate_hz=sample_rate_hz, channels=2, stream=self.stream
        ).samples


@dataclass(frozen=True, kw_only=True)
class TrackFiles:
    """A track and its stems by name; a stem that the track lacks is silent in its mixture."""

    name: str
    stems: Mapping[str, StemSource]
    mixture: StemSource | None = None  # None: the sum of the stems

    def read(
        self, sources: Iterable[str], sample_rate_hz: int
    ) -> tuple[Float32[np.ndarray, "2 samples"], dict[str, Float32[np.ndarray, "2 samples"]]]:
        """Read mixture and asked stems, all of one length: that of the longest stem or mixture."""
        stems = {name: source.read(sample_rate_hz) for name, source in self.stems.items()}
        mixture = None if self.mixture is None else self.mixture.read(sample_rate_hz)
        n_samples = max(stem.shape[1] for stem in stems.values())
        if mixture is not None:
            n_samples = max(n_samples, mixture.shape[1])
        padded = {name: _pad(stem, n_samples) for name, stem in stems.items()}
        if mixture is None:
            mixture = sum(padded.values(), np.zeros((2, n_samples), np.float32))
        silence = np.zeros((2, n_samples), np.float32)
        return _pad(mixture, n_samples), {name: padded.get(name, silence) for name in sources}


def find_tracks(
    root: Path, *, sources: Iterable[str], renamed: Mapping[str, str] | None = None
) -> list[TrackFiles]:
    """Find all tracks below `root`, sorted by name.

    `renamed` maps file stems to source names, for material that is named otherwise: with
    `{"guitar": "other"}` the file `guitar.ogg` serves as `other`.

    Raises:
        InputError: `root` is no folder, or holds no track.
    """
    if not root.is_dir():
        raise InputError(f"{root} is not a folder; give a folder of tracks with stems")
    stem_of_file = {name: name for name in sources} | dict(renamed or {})
    tracks = [_stem_mp4(path) for path in root.rglob(f"*{_STEM_MP4_SUFFIX}")]
    folders = {path.parent for path in root.rglob("*") if path.suffix.lower() in _AUDIO_SUFFIXES}
    for folder in folders:
        if track := _folder(folder, stem_of_file, has_own_mixture=not renamed):
            tracks.append(track)
    if not tracks:
        raise InputError(
            f"{root} holds no tracks; expected *{_STEM_MP4_SUFFIX} files or folders with "
            f"{', '.join(sorted(stem_of_file))} as audio files"
        )
    return sorted(tracks, key=lambda track: track.name)


def _stem_mp4(path: Path) -> TrackFiles:
    streams = {name: StemSource(path=path, stream=i) for i, name in enumerate(STEM_MP4_ORDER)}
    mixture = streams.pop(MIXTURE)
    return TrackFiles(name=path.name.removesuffix(_STEM_MP4_SUFFIX), stems=streams, mixture=mixture)


def _folder(
    folder: Path, stem_of_file: Mapping[str, str], *, has_own_mixture: bool
) -> TrackFiles | None:
    files = {
        path.stem.lower(): path
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in _AUDIO_SUFFIXES
    }
    stems = {
        stem_of_file[name]: StemSource(path=path)
        for name, path in files.items()
        if name in stem_of_file
    }
    if not stems:
        return None
    mixture = files.get(MIXTURE) if has_own_mixture else None
    return TrackFiles(
        name=folder.name,
        stems=stems,
        mixture=None if mixture is None else StemSource(path=mixture),
    )


def _pad(samples: Float32[np.ndarray, "2 samples"], n_samples: int) -> np.ndarray:
    return np.pad(samples, ((0, 0), (0, n_samples - samples.shape[1])))
