"""Walks folders of songs, of this machine and of object stores."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from stemlight.batch.locations import join, local_path, open_location, shown_url
from stemlight.cli.inputs import SONG_SUFFIXES
from stemlight.errors import UsageError

__all__ = ["songs_below"]

_Entries = Callable[[str], tuple[list[str], list[str]]]


def songs_below(
    where: str, options: Mapping[str, Any], but: str | None
) -> Iterator[tuple[str, str]]:
    """Yield the songs below a folder: the path below it, and the whole path or URL.

    Raises:
        UsageError: `but`, which is passed over, is the folder itself.
        OSError: a folder cannot be read; object stores raise others, too.
    """
    root = local_path(where)
    entries: _Entries = _local_entries
    skipped: str | None = None
    if root is not None:
        top = os.path.realpath(root)
        if but is not None and (other := local_path(but)) is not None:
            skipped = os.path.realpath(other)
    else:
        files, place = open_location(where, options)
        top, entries = place.rstrip("/"), _remote_entries(files)
        if but is not None and but.partition("://")[0] == where.partition("://")[0]:
            skipped = open_location(but, options)[1].rstrip("/")
    if skipped == top:
        raise UsageError(f"{shown_url(where)} is input and output in one; choose another output")
    folders = [""]
    while folders:
        below = folders.pop()
        names, songs = entries(f"{top}/{below}" if below else top)
        for name in sorted(songs):
            if not name.startswith(".") and Path(name).suffix.lower() in SONG_SUFFIXES:
                yield f"{below}{name}", join(where, f"{below}{name}")
        folders += [
            f"{below}{name}/"
            for name in sorted(names, reverse=True)
            if not name.startswith(".") and f"{top}/{below}{name}" != skipped
        ]


def _local_entries(folder: str) -> tuple[list[str], list[str]]:
    """Return the names of folders and of files."""
    with os.scandir(folder) as entries:
        found = list(entries)
    folders = [entry.name for entry in found if entry.is_dir(follow_symlinks=False)]
    return folders, [entry.name for entry in found if entry.is_file()]


def _remote_entries(files: Any) -> _Entries:
    def entries(folder: str) -> tuple[list[str], list[str]]:
        found = files.ls(folder, detail=True)
        files.invalidate_cache(folder)  # which would hold all that was ever listed
        names: dict[bool, list[str]] = {True: [], False: []}
        for entry in found:
            path = entry["name"].rstrip("/")
            if path != folder.rstrip("/"):
                names[entry["type"] == "directory"].append(path.rpartition("/")[2])
        return names[True], names[False]

    return entries
