"""Decodes tracks into shards, so that what was done outlives being killed.

Samples are appended to the last shard and the index is replaced in one step, so at any moment the
index tells of nothing that is not there. What lies behind its last sample is cut off by the next
call, which so makes the very bytes that an unbroken one makes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from stemlight.audio.wording import reason, shown
from stemlight.errors import InputError, OutputError, UsageError
from stemlight.tracks import StemSource, TrackFiles
from stemlight.training.shard_index import (
    INDEX_FILE,
    ShardIndex,
    ShardOptions,
    StoredTrack,
    read_index,
    shard_path,
    write_index,
)
from stemlight.training.shard_spreading import (
    Spread,
    remove_parts,
    sources_to_store,
    tracks_from_workers,
)
from stemlight.training.shard_storing import ShardAppender, move_track, store_track
from stemlight.weights.locks import exclusive

__all__ = ["Preparation", "key_of_track", "prepare_tracks"]

_ROUTINE = 1  # raised whenever other samples or facts come of the same files
_SAVE_SECONDS = 5.0  # between two indices: about what a killed process loses at most
_MAX_SAVE_SHARE = 0.05  # of all time, where the index is long


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What a call did, by the names of tracks."""

    decoded: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    """Those that were there already, unchanged."""
    dropped: tuple[str, ...] = ()
    """Those that were there, and are not asked for any more or have changed since."""
    failed: tuple[str, ...] = ()


def _raise(name: str, error: InputError) -> None:
    raise error


def prepare_tracks(
    tracks: Sequence[TrackFiles],
    folder: Path,
    options: ShardOptions,
    *,
    on_track: Callable[[str, int, int], None] = lambda name, number, n_tracks: None,
    on_failed: Callable[[str, InputError], None] = _raise,
    on_wait: Callable[[], None] | None = None,
    spread: Spread | None = None,
) -> Preparation:
    """Make `folder` hold these tracks and no others, decoding those that are new or have changed.

    One track is in memory at a time. A call that was killed is taken up by the next. While another
    process works on the folder this one waits, after calling `on_wait`. `on_track` is told of each
    track before it is decoded: its name, and which it is of how many that have to be. `on_failed`
    is told of one that cannot be read; if it returns, the others go on. With `spread`, workers
    decode, and this process puts what they made into the shards, in the same order.

    Raises:
        InputError: a track cannot be read, or the folder's index is damaged.
        OutputError: the folder cannot be written.
        UsageError: the folder holds something else, or samples of another rate or format.
    """
    failed: list[str] = []
    wanted: dict[str, TrackFiles] = {}
    for track in tracks:
        try:
            wanted.setdefault(key_of_track(track, options), track)
        except InputError as error:
            on_failed(track.name, error)
            failed.append(track.name)
    index = _index_of(folder, options)
    if index.is_complete and [track.key for track in _intact(index, folder)] == list(wanted):
        kept = tuple(track.name for track in wanted.values())
        return Preparation(kept=kept, failed=tuple(failed))
    try:
        with exclusive(folder / ".lock", on_wait=on_wait):
            result = _Work(folder, options).do(wanted, on_track, on_failed, spread)
    except OSError as error:
        raise OutputError(f"cannot write {shown(folder)}: {reason(error)}") from error
    return replace(result, failed=(*failed, *result.failed))


def key_of_track(track: TrackFiles, options: ShardOptions) -> str:
    """Hash all that a track's samples depend on; of its files, paths, sizes and times.

    Raises:
        InputError: a file is not there.
    """

    def identity(source: StemSource) -> list[object]:
        facts: list[object] = []
        for file in source.files:
            try:
                status = file.path.stat()
            except OSError as error:
                raise InputError(f"cannot read {shown(file.path)}: {reason(error)}") from error
            facts += [str(file.path.resolve()), file.stream, status.st_size, status.st_mtime_ns]
        return facts

    parts = [[name, identity(source)] for name, source in sources_to_store(track, options).items()]
    how = [_ROUTINE, options.sample_rate_hz, options.sample_format]
    text = json.dumps([how, track.name, parts])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _index_of(folder: Path, options: ShardOptions) -> ShardIndex:
    """Return the folder's index; a new one if there is nothing at all."""
    names = _names_in(folder)  # before the question for an index, which comes before all shards
    if not (folder / INDEX_FILE).exists():
        if names:
            raise UsageError(
                f"{shown(folder)} is no prepared folder, and {shown(names[0])} is in it; choose a "
                "new or empty folder"
            )
        return ShardIndex(
            sample_rate_hz=options.sample_rate_hz,
            sample_format=options.sample_format,
            is_complete=False,
        )
    index = read_index(folder)
    there = (index.sample_rate_hz, index.sample_format)
    if there != (options.sample_rate_hz, options.sample_format):
        raise UsageError(
            f"{shown(folder)} holds {there[1]} at {there[0]} Hz, not {options.sample_format} at "
            f"{options.sample_rate_hz} Hz; choose another folder"
        )
    return index


def _names_in(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UsageError(f"{shown(folder)} cannot be the folder: {reason(error)}") from error


def _intact(index: ShardIndex, folder: Path) -> list[StoredTrack]:
    """Return the tracks whose samples are all there."""
    n_bytes = {}
    for number in index.end_of_shard:
        with contextlib.suppress(FileNotFoundError):
            n_bytes[number] = shard_path(folder, number).stat().st_size
    return [
        track
        for track in index.tracks
        if all(part.end_byte <= n_bytes.get(part.shard, 0) for part in track.parts)  # type: ignore[arg-type]
    ]


class _Work:
    """The work on a folder that nobody else works on."""

    def __init__(self, folder: Path, options: ShardOptions) -> None:
        self.folder = folder
        self.options = options
        self.index = _index_of(folder, options)  # another process may have changed it meanwhile
        self.tracks: dict[str, StoredTrack] = {}
        self.save_at = 0.0

    def do(
        self,
        wanted: Mapping[str, TrackFiles],
        on_track: Callable[[str, int, int], None],
        on_failed: Callable[[str, InputError], None],
        spread: Spread | None,
    ) -> Preparation:
        intact = {track.key: track for track in _intact(self.index, self.folder)}
        self.tracks = {key: intact[key] for key in wanted if key in intact}
        kept = tuple(track.name for track in self.tracks.values())
        dropped = [track.name for track in self.index.tracks if track.key not in self.tracks]
        self._save()
        self._remove_what_nobody_knows()
        self._close_holes()
        missing = {key: track for key, track in wanted.items() if key not in self.tracks}
        decoded, failed = [], []
        with (
            ShardAppender(self.folder, self.index, self.options) as shards,
            contextlib.closing(self._stores(missing, shards, spread)) as stores,
        ):
            try:
                for number, (key, track) in enumerate(missing.items(), start=1):
                    on_track(track.name, number, len(missing))
                    store = next(stores)
                    try:
                        self.tracks[key] = store()
                    except InputError as error:
                        on_failed(track.name, error)
                        failed.append(track.name)
                        continue
                    decoded.append(track.name)
                    if time.monotonic() >= self.save_at:
                        shards.sync()
                        self._save()
            except BaseException:
                shards.sync()
                self._save()
                raise
            shards.sync()
        self.tracks = {key: self.tracks[key] for key in wanted if key in self.tracks}
        self._save(is_complete=True)
        return Preparation(
            decoded=tuple(decoded), kept=kept, dropped=tuple(dropped), failed=tuple(failed)
        )

    def _stores(
        self, missing: Mapping[str, TrackFiles], shards: ShardAppender, spread: Spread | None
    ) -> Generator[Callable[[], StoredTrack]]:
        """Yield what appends each track, or raises what is wrong with it."""
        if spread is not None:
            yield from tracks_from_workers(missing, self.folder, self.options, shards, spread)
            return
        for key, track in missing.items():
            sources = sources_to_store(track, self.options)
            yield partial(store_track, track.name, key, sources, self.options, shards)

    def _save(self, *, is_complete: bool = False) -> None:
        begun_at = time.monotonic()
        index = replace(self.index, tracks=tuple(self.tracks.values()), is_complete=is_complete)
        n_begun = max(index.end_of_shard, default=-1) + 1
        self.index = replace(index, n_shards_begun=max(index.n_shards_begun, n_begun))
        write_index(self.folder, self.index)
        now = time.monotonic()
        self.save_at = now + max(_SAVE_SECONDS, (now - begun_at) / _MAX_SAVE_SHARE)

    def _remove_what_nobody_knows(self) -> None:
        """Cut off what an unfinished track left, and remove shards that hold nothing else."""
        remove_parts(self.folder)
        ends = {
            shard_path(self.folder, number): end for number, end in self.index.end_of_shard.items()
        }
        for path in sorted(self.folder.glob("shard-*.bin")):
            if path not in ends:
                path.unlink()
            elif path.stat().st_size > ends[path]:
                os.truncate(path, ends[path])

    def _close_holes(self) -> None:
        """Copy what is left of shards that hold dropped tracks into new ones."""
        ends = self.index.end_of_shard
        live = dict.fromkeys(ends, 0)
        for part in (part for track in self.tracks.values() for part in track.parts):
            live[part.shard] += part.n_bytes  # type: ignore[index]
        holed = {number for number, end in ends.items() if live[number] < end}
        if not holed:
            return
        with ShardAppender(self.folder, self.index, self.options) as shards:
            shards.begin_new()
            for key, track in self.tracks.items():
                if any(part.shard in holed for part in track.parts):
                    self.tracks[key] = move_track(track, holed, shards)
            shards.sync()
        self._save()
        self._remove_what_nobody_knows()
