"""The music of a recipe: tracks to train on, decoded or prepared, and tracks to validate on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from stemlight.errors import ConfigError, did_you_mean
from stemlight.shapes import Float32
from stemlight.tracks import TrackFiles, find_split, find_tracks
from stemlight.training.material import TrainingTrack
from stemlight.training.recipe import DataConfig, Recipe, TrackFolder
from stemlight.training.shards import decode_tracks, is_prepared, open_prepared
from stemlight.training.task import ValidationTrack
from stemlight.weights.locks import exclusive

__all__ = ["FoundTrack", "RecipeTracks", "ValidationTracks", "find_recipe_tracks", "mixed_sources"]

_MAX_KEPT_BYTES = 1 << 30  # of validation tracks, in memory


@dataclass(frozen=True)
class FoundTrack:
    """A track in sound files, or one that was prepared."""

    track: TrackFiles | TrainingTrack
    weight: float = 1.0  # see `TrackFolder`, as for the next
    from_step: int = 0

    @property
    def name(self) -> str:
        """The track's name, as `only` and `exclude` know it."""
        return self.track.name

    def real_paths(self) -> set[str]:
        """Return where its sound files are, behind links; of prepared tracks nobody knows."""
        if not isinstance(self.track, TrackFiles):
            return set()
        parts = [*self.track.stems.values(), *filter(None, [self.track.mixture])]
        return {os.path.realpath(file.path) for part in parts for file in part.files}

    def read(
        self, sources: Sequence[str], sample_rate_hz: int
    ) -> tuple[Float32[np.ndarray, "2 samples"], dict[str, Float32[np.ndarray, "2 samples"]]]:
        """Read mixture and asked sources; see `TrackFiles.read`."""
        if isinstance(self.track, TrackFiles):
            return self.track.read(sources, sample_rate_hz)
        return self.track.read(sources)


@dataclass(frozen=True, kw_only=True)
class RecipeTracks:
    """What a recipe trains and validates on."""

    train: list[FoundTrack]
    validation: list[FoundTrack]

    @classmethod
    def find(cls, data: DataConfig, sources: Sequence[str], sample_rate_hz: int) -> RecipeTracks:
        """Find all tracks, without reading them.

        Raises:
            InputError: a folder is missing and not optional, or holds no tracks.
            ConfigError: a track, or a file, is in both, or `only` or `exclude` names one that is
                not there.
        """
        train, held_out = (
            find_recipe_tracks(data, folders, sources, sample_rate_hz=sample_rate_hz)
            for folders in (data.train, data.validation)
        )
        both = {track.name for track in train} & {track.name for track in held_out}
        if both:
            raise ConfigError(f"{sorted(both)[0]!r} is in both training and validation; exclude it")
        trained_on = {path: track.name for track in train for path in track.real_paths()}
        for track in held_out:
            for name in {trained_on.get(path) for path in track.real_paths()} - {None}:
                raise ConfigError(
                    f"{name!r} of training and {track.name!r} of validation have a file in "
                    "common; exclude one"
                )
        if not train:
            raise ConfigError("data.train has no tracks; name a folder of tracks")
        return cls(train=train, validation=held_out)

    def open_training_tracks(
        self,
        cache: Path,
        *,
        sample_rate_hz: int,
        sources: Sequence[str],
        report: Callable[[str], None],
    ) -> list[TrainingTrack]:
        """Open the training tracks; what is not prepared is decoded into `cache` first.

        Processes of one run wait for each other, so that each track is decoded once.
        """
        opened = []
        with exclusive(cache / ".decoding.lock"):
            for found in self.train:
                track = found.track
                if isinstance(track, TrackFiles):
                    (track,) = decode_tracks(
                        [track],
                        cache,
                        sample_rate_hz=sample_rate_hz,
                        sources=sources,
                        report=lambda name: report(f"decoding {name}"),
                    )
                opened.append(replace(track, weight=found.weight, from_step=found.from_step))
        return opened


def mixed_sources(recipe: Recipe, sources: Sequence[str]) -> tuple[str, ...]:
    """Return all sources that a recipe's mixtures hold, those that are asked for first."""
    mixings = recipe.mixings().values()
    also_mixed = (source for mixing in mixings for source in mixing.also_mixed)
    return tuple(dict.fromkeys((*sources, *also_mixed)))


def find_recipe_tracks(
    data: DataConfig,
    folders: Iterable[TrackFolder],
    sources: Sequence[str],
    *,
    sample_rate_hz: int,
) -> list[FoundTrack]:
    """Find the tracks of some folders of a recipe.

    Raises:
        InputError: a folder is missing and not optional.
        ConfigError: `only` or `exclude` names a track that the folder does not have.
    """
    tracks: list[FoundTrack] = []
    for folder in folders:
        path = Path(data.root) / folder.path
        if folder.optional and not path.is_dir():
            continue
        found = [
            FoundTrack(track, folder.weight, folder.from_step)
            for track in _tracks_of(folder, path, sources, sample_rate_hz)
        ]
        names = [track.name for track in found]
        for name in (*(folder.only or ()), *folder.exclude):
            if name not in names:
                raise ConfigError(f"{path} has no track {name!r}{did_you_mean(name, names)}")
        tracks += [
            track
            for track in found
            if (folder.only is None or track.name in folder.only)
            and track.name not in folder.exclude
        ]
    return tracks


def _tracks_of(
    folder: TrackFolder, path: Path, sources: Sequence[str], sample_rate_hz: int
) -> Sequence[TrackFiles | TrainingTrack]:
    if is_prepared(path):
        if folder.split is not None or folder.renamed:
            raise ConfigError(
                f"{path} was prepared; say split and renamed to stemlight data prepare instead"
            )
        return open_prepared(path, sample_rate_hz=sample_rate_hz)
    if folder.split is not None:
        return find_split(path, folder.split, sources=sources, renamed=folder.renamed)
    return find_tracks(path, sources=sources, renamed=folder.renamed)


class ValidationTracks(Dataset[ValidationTrack]):
    """Whole tracks, read when they are asked for; as many as fit stay in memory.

    Of several processes each has its share, as many as the others; some tracks may then be in two.
    """

    def __init__(
        self,
        tracks: Sequence[FoundTrack],
        sources: Sequence[str],
        sample_rate_hz: int,
        *,
        rank: int = 0,
        n_processes: int = 1,
    ) -> None:
        n_each = -(-len(tracks) // n_processes)
        self.numbers = [(rank + n_processes * turn) % len(tracks) for turn in range(n_each)]
        self.tracks = tracks
        self.sources = sources
        self.sample_rate_hz = sample_rate_hz
        self._kept: dict[int, ValidationTrack] = {}
        self._n_kept_bytes = 0

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> ValidationTrack:
        """Read track number `index` of this process."""
        if index in self._kept:
            return self._kept[index]
        number = self.numbers[index]
        found = self.tracks[number]
        track = ValidationTrack(number, found.name, *found.read(self.sources, self.sample_rate_hz))
        n_bytes = track.mixture.nbytes * (1 + len(track.references))
        if self._n_kept_bytes + n_bytes <= _MAX_KEPT_BYTES:
            self._kept[index] = track
            self._n_kept_bytes += n_bytes
        return track
