"""Has workers decode tracks, each into a file of its own, and takes these up in their order.

The files lie in the folder of the shards, which workers must reach, as they must the tracks.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from stemlight.errors import InputError
from stemlight.tracks import MIXTURE, StemSource, TrackFiles
from stemlight.training.shard_index import ShardOptions, StoredTrack
from stemlight.training.shard_storing import PartFile, ShardAppender, store_track, take_track

__all__ = ["Spread", "remove_parts", "sources_to_store", "tracks_from_workers"]

_Task = tuple[str, tuple[str, TrackFiles]]
Spread = Callable[
    [Callable[[], Callable[[_Task], Any]], Iterable[_Task]], Iterator[tuple[_Task, Any]]
]
"""Given what makes a worker, which does one task, and tasks with their names: yields each task with
its result as it ends, or with an `InputError` if its worker dies of it."""

_PARTS = ".parts-"  # and what nobody guesses: a worker that outlived its run must not meet us


def sources_to_store(track: TrackFiles, options: ShardOptions) -> dict[str, StemSource]:
    """Return the stems and, unless they are all there is, the mixture under its name."""
    sources = dict(track.stems)
    is_whole = all(source in track.stems for source in options.sources)
    if track.mixture is not None and not is_whole:
        sources[MIXTURE] = track.mixture
    return sources


def tracks_from_workers(
    tracks: Mapping[str, TrackFiles],
    folder: Path,
    options: ShardOptions,
    shards: ShardAppender,
    spread: Spread,
) -> Iterator[Callable[[], StoredTrack]]:
    """Yield, in the order of the tracks, what appends each or raises what is wrong with it."""
    parts = folder / f"{_PARTS}{secrets.token_hex(8)}"
    parts.mkdir()
    tasks = ((track.name, (key, track)) for key, track in tracks.items())
    made: dict[str, _Part | InputError] = {}
    try:
        with contextlib.closing(spread(_Decoding(options, parts), tasks)) as ends:  # type: ignore[type-var]
            for key in tracks:
                while key not in made:
                    (_, (ended, _)), made[ended] = next(ends)
                yield partial(_take, made.pop(key), parts, shards)
    finally:
        remove_parts(folder)


@dataclass(frozen=True)
class _Part:
    """What a worker made of a track."""

    track: StoredTrack
    """Its samples lie in the file."""
    file: str


@dataclass(frozen=True)
class _Decoding:
    """Makes workers that decode."""

    options: ShardOptions
    folder: Path

    def __call__(self) -> Callable[[_Task], _Part | InputError]:
        return self._decode

    def _decode(self, task: _Task) -> _Part | InputError:
        name, (key, track) = task
        file = f"{key}-{secrets.token_hex(4)}"
        try:
            sources = sources_to_store(track, self.options)
            with PartFile(self.folder / file) as part:
                return _Part(store_track(name, key, sources, self.options, part), file)
        except InputError as error:
            return error


def _take(made: _Part | InputError, folder: Path, shards: ShardAppender) -> StoredTrack:
    if isinstance(made, InputError):
        raise made
    path = folder / made.file
    stored = take_track(made.track, path, shards)
    path.unlink()
    return stored


def remove_parts(folder: Path) -> None:
    """Remove what workers left that were killed."""
    for path in folder.glob(f"{_PARTS}*"):
        shutil.rmtree(path, ignore_errors=True)
