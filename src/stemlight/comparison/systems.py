"""What can be scored: anything with a name that makes stems of a track.

A model is wrapped, never loaded, here; a folder of estimates and the mixture itself need none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from stemlight.audio import read_audio
from stemlight.audio.wording import reason, shown
from stemlight.errors import InputError, did_you_mean
from stemlight.evaluation import ReferenceTrack, Samples
from stemlight.tracks.files import MIXTURE
from stemlight.tracks.stems_yaml import AUDIO_SUFFIXES

__all__ = ["EstimatesFolder", "MixtureAsEstimate", "ModelSystem", "SeparateAt", "System"]

SeparateAt = Callable[[Samples, int], Mapping[str, Samples]]
"""Given a mixture and its sample rate, returns stems of the same length and rate."""


class System(Protocol):
    """A separator, a baseline, or stems that somebody else made."""

    @property
    def name(self) -> str:
        """How tables call it."""

    @property
    def sources(self) -> tuple[str, ...] | None:
        """The stems that it gives; None if it gives whatever has a reference."""

    def identity(self, track: str) -> str:
        """Return a text that changes whenever the stems of this track may."""

    def separate(self, track: ReferenceTrack) -> Mapping[str, Samples]:
        """Return stems of the mixture's shape; only oracles look at the references."""


@dataclass(frozen=True, kw_only=True)
class ModelSystem:
    """A separator behind a call."""

    name: str
    sources: tuple[str, ...]
    sample_rate_hz: int
    """The model's own; the separator is given mixtures of any other, too."""

    fingerprint: str
    separator: SeparateAt

    def identity(self, track: str) -> str:
        """See `System`."""
        return f"model {self.fingerprint}"

    def separate(self, track: ReferenceTrack) -> Mapping[str, Samples]:
        """See `System`."""
        assert track.mixture is not None, "whoever runs systems reads mixtures"
        return self.separator(track.mixture, track.sample_rate_hz)


@dataclass(frozen=True, kw_only=True)
class MixtureAsEstimate:
    """The mixture in place of every stem: what a score is worth that nobody worked for."""

    name: str = "mixture"
    sources: None = None

    def identity(self, track: str) -> str:
        """See `System`."""
        return "mixture"

    def separate(self, track: ReferenceTrack) -> Mapping[str, Samples]:
        """See `System`."""
        assert track.mixture is not None, "whoever runs systems reads mixtures"
        return dict.fromkeys(track.references, track.mixture)


class EstimatesFolder:
    """Stems that another program made: `<folder>/<track>/<stem>.<ext>`.

    Raises:
        InputError: The folder cannot be read, or holds no such files.
    """

    def __init__(self, folder: Path, *, name: str) -> None:
        self.name = name
        self._folder = folder
        self._files = _estimates_in(folder)
        found = {stem: None for files in self._files.values() for stem in files}
        self.sources: tuple[str, ...] = tuple(sorted(found))

    def identity(self, track: str) -> str:
        """Return a hash over the bytes of the track's files."""
        digest = hashlib.sha256()
        for stem, path in sorted(self._files_of(track, self.sources).items()):
            try:
                content = path.read_bytes()
            except OSError as error:
                raise InputError(f"cannot read {shown(path)}: {reason(error)}") from error
            digest.update(f"{len(stem)} {stem} {len(content)}\n".encode())
            digest.update(content)
        return f"files {digest.hexdigest()}"

    def separate(self, track: ReferenceTrack) -> Mapping[str, Samples]:
        """Read the files of stems that have a reference.

        Raises:
            InputError: A file is missing, cannot be read, or has another rate or length.
        """
        assert track.mixture is not None, "whoever runs systems reads mixtures"
        asked = [name for name in self.sources if name in track.references]
        n_samples = track.mixture.shape[1]
        stems = {}
        for name, path in self._files_of(track.name, asked).items():
            audio = read_audio(path, channels=2)
            rate_hz = audio.sample_rate_hz
            if rate_hz != track.sample_rate_hz:
                raise InputError(
                    f"{shown(path)} has {rate_hz} Hz but the references have "
                    f"{track.sample_rate_hz} Hz; resample it first"
                )
            if audio.n_samples != n_samples:
                raise InputError(
                    f"{shown(path)} has {audio.n_samples} samples but the references have "
                    f"{n_samples}; align and cut or pad it first"
                )
            stems[name] = audio.samples
        return stems

    def _files_of(self, track: str, stems: Iterable[str]) -> dict[str, Path]:
        if track not in self._files:
            raise InputError(
                f"{shown(self._folder)} has no folder with estimates of {track!r}"
                f"{did_you_mean(track, self._files)}"
            )
        files = self._files[track]
        for name in stems:
            if name not in files:
                raise InputError(
                    f"{shown(self._folder / track)} has no estimate of {name!r}, which other "
                    f"tracks have; there are {', '.join(files)}"
                )
        return {name: files[name] for name in stems}


def _estimates_in(folder: Path) -> dict[str, dict[str, Path]]:
    """Return the files of each track by stem."""
    try:
        found = {track.name: _stems_in(track) for track in sorted(folder.iterdir())}
    except OSError as error:
        raise InputError(f"cannot read {shown(folder)}: {reason(error)}") from error
    found = {name: stems for name, stems in found.items() if stems}
    if not found:
        raise InputError(
            f"{shown(folder)} holds no estimates; expected a folder for each track with a file "
            f"for each stem, such as 'A Song/vocals.wav' ({', '.join(AUDIO_SUFFIXES)})"
        )
    return found


def _stems_in(folder: Path) -> dict[str, Path]:
    stems: dict[str, Path] = {}
    if not folder.is_dir():
        return stems
    for path in sorted(folder.iterdir()):
        name = path.stem.lower()
        if path.suffix.lower() not in AUDIO_SUFFIXES or path.name.startswith("."):
            continue
        if name in stems:
            raise InputError(
                f"{shown(folder)} has both {shown(stems[name].name)} and {shown(path.name)} for "
                f"{name}; remove one"
            )
        if name != MIXTURE:
            stems[name] = path
    return stems
