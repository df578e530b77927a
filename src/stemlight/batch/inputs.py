"""The song of a track: what state it is in, and a path to read it by."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from stemlight.audio.wording import reason
from stemlight.batch.locations import local_path, open_location
from stemlight.errors import InputError

__all__ = ["Input"]

# What an input is at fault for; trying once more would not help.
_NOT_THERE = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


class Input:
    """A song, wherever it is; `storage_options` are those of fsspec."""

    def __init__(self, url: str, storage_options: Mapping[str, Any]) -> None:
        self._url = url
        self._path = local_path(url)
        if self._path is None:
            self._files, self._place = open_location(url, storage_options)

    def mark(self) -> str | None:
        """Name this state of the file, without reading it; None where nobody tells of changes.

        Raises:
            InputError: there is no such file.
        """
        with self._named_faults():
            if self._path is not None:
                state = self._path.stat()
                facts = f"{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns} {state.st_ino}"
                return _hash(f"{os.fspath(self._path.absolute())} {facts}")
            if self._url.startswith(("http://", "https://")):
                return None  # fsspec takes pages for files that never change
            return _hash(f"{self._url} {self._files.ukey(self._place)}")

    @contextlib.contextmanager
    def opened(self, space: Path) -> Iterator[Path]:
        """Give a path of this machine, of a copy if need be."""
        if self._path is not None:
            yield self._path
            return
        copy = space / "song"
        with self._named_faults():
            self._files.get_file(self._place, str(copy))
        yield copy

    @contextlib.contextmanager
    def _named_faults(self) -> Iterator[None]:
        try:
            yield
        except (*_NOT_THERE, ValueError) as error:  # ValueError: a zero byte in the name
            raise InputError(f"cannot read {self._url}: {reason(error)}") from error


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
