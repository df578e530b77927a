"""Which songs are done: a record beside the stems, `.stemlight.json`.

A song is recognised by one hash over the bytes of its file, what names the model, and all options
that change the stems. The record holds, for each hash, size and sha256 of every stem; one that was
changed or removed means that the song is done anew. It gets its place before the stems do, in the
same step where the folder is new: at whatever moment the process is killed, what lies there then is
either recognised as complete or known to be replaceable.

Records hold neither times nor paths, so the same work makes the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemlight.audio.files import ReadableFile
from stemlight.audio.wording import reason, shown
from stemlight.configs import from_mapping, to_mapping
from stemlight.errors import ConfigError, InputError, UsageError
from stemlight.separation.stem_files import WrittenStems

__all__ = [
    "RECORD_FILE",
    "DoneSong",
    "FileMark",
    "SongRecord",
    "hash_song",
    "hash_work",
    "read_record",
]

RECORD_FILE = ".stemlight.json"

_FORMAT = 1
_ROUTINE = 1  # of making stems out of what the engine gives; a change of their bytes raises it

_HASHED_BYTES = 1 << 20  # at once


@dataclass(frozen=True, kw_only=True)
class FileMark:
    """What a file was like when it was finished."""

    sha256: str
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class DoneSong:
    """The files of a song's stems, and what was told about them."""

    files: dict[str, FileMark]
    written: WrittenStems


@dataclass(frozen=True, kw_only=True)
class SongRecord:
    """What was done in one folder, by the hash of the work."""

    done: dict[str, DoneSong] = field(default_factory=dict)
    format: int = _FORMAT

    @property
    def files(self) -> frozenset[str]:
        """Names of all stems that were written here and not replaced by others since."""
        return frozenset(name for song in self.done.values() for name in song.files)

    def finished(
        self, folder: Path, key: str, on_progress: Callable[[], None]
    ) -> WrittenStems | None:
        """Return what was written by that work, if all of it is there as it was written."""
        song = self.done.get(key)
        if song is None:
            return None
        for name, mark in song.files.items():
            try:
                if (folder / name).stat().st_size != mark.n_bytes:
                    return None
                if _hash_file(folder / name, on_progress) != mark.sha256:
                    return None
            except OSError:
                return None
        return song.written

    def with_song(
        self,
        key: str,
        paths: Iterable[Path],
        written: WrittenStems,
        on_progress: Callable[[], None],
    ) -> SongRecord:
        """Add finished work; what was done before under one of the file names is forgotten."""
        files = {
            path.name: FileMark(sha256=_hash_file(path, on_progress), n_bytes=path.stat().st_size)
            for path in paths
        }
        others = {
            other: song
            for other, song in self.done.items()
            if other != key and not files.keys() & song.files.keys()
        }
        return SongRecord(done={**others, key: DoneSong(files=files, written=written)})

    def write(self, folder: Path) -> None:
        """Write the record into a folder of files that are still to get their place."""
        text = json.dumps(to_mapping(self), indent=2, sort_keys=True, allow_nan=False)
        (folder / RECORD_FILE).write_text(text + "\n", encoding="utf-8")


def read_record(folder: Path) -> SongRecord:
    """Return the record of a folder, an empty one if there is none that can be understood."""
    try:
        content = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        record = from_mapping(SongRecord, content)
    except (OSError, ValueError, RecursionError, ConfigError):
        return SongRecord()
    return record if record.format == _FORMAT else SongRecord()


def hash_work(song_sha256: str, model: str, options: Mapping[str, object]) -> str:
    """Return the name of a piece of work: what goes in, what is done with it."""
    work = {"input": song_sha256, "model": model, "options": options, "routine": _ROUTINE}
    return hashlib.sha256(json.dumps(work, sort_keys=True).encode()).hexdigest()


def hash_song(song: Path | ReadableFile, on_progress: Callable[[int], None]) -> str:
    """Return the sha256 of all bytes of a song; `on_progress` is called with 0 samples.

    Raises:
        InputError: it cannot be read.
        UsageError: it is a file object that cannot seek, so it could be read only once.
    """
    try:
        if isinstance(song, Path):
            return _hash_file(song, lambda: on_progress(0))
        if not song.seekable():
            raise UsageError(
                "a song is recognised by its content, but this file object cannot seek; copy it "
                "into a file, or leave resume out"
            )
        song.seek(0)
        sha256 = _hash_content(song, lambda: on_progress(0))
        song.seek(0)
    except (OSError, ValueError) as error:
        name = shown(song) if isinstance(song, Path) else "<stream>"
        raise InputError(f"cannot read {name}: {reason(error)}") from error
    return sha256


def _hash_file(path: Path, on_progress: Callable[[], None]) -> str:
    with path.open("rb") as file:
        return _hash_content(file, on_progress)


def _hash_content(file: Any, on_progress: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    while content := file.read(_HASHED_BYTES):
        digest.update(content)
        on_progress()
    return digest.hexdigest()
