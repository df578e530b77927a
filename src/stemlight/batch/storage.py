"""Where results are: a folder of this machine, or an object store.

    results/<key[:2]>/<key>/    a track's stems and result.json, found by what the work was
    seen/<mark[:2]>/<mark>      the sha256 of an input's content, so that it is not read again
    reports/                    a table and a summary of each run
    partial/                    what is being made

A result is complete if result.json is there. On a disk the whole folder gets its place in one step;
in an object store result.json is written last. Results hold neither times nor names, so the same
work makes the same bytes, and it does not matter who was first.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from stemlight.batch.locations import local_path, one_line, open_location
from stemlight.configs import from_mapping, to_mapping
from stemlight.errors import ConfigError, OutputError, StemlightError, UsageError
from stemlight.separation.placing import hidden_folder_for, remove_left_overs
from stemlight.separation.resume import FileMark

__all__ = ["RESULT_FILE", "Store", "StoredResult", "describe_files"]

RESULT_FILE = "result.json"

_FORMAT = 1
_HASHED_BYTES = 1 << 20
# Other file systems are object stores, in which a file needs no folder.
_WITH_FOLDERS = frozenset(("sftp", "ssh", "ftp", "smb", "hdfs", "webhdfs"))


@dataclass(frozen=True, kw_only=True)
class StoredResult:
    """What is known of a finished track; its JSON is the same for the same work."""

    input_sha256: str
    model: str
    """See `stemlight.weights.fingerprints.model_fingerprint`."""
    options: dict[str, Any]
    sample_rate_hz: int
    n_channels: int
    duration_seconds: float
    gain_db: float
    """Of all stems alike, so that none of them clips; 0 unless one would."""
    files: dict[str, FileMark]
    format: int = _FORMAT


def describe_files(folder: Path) -> dict[str, FileMark]:
    """Return size and sha256 of every file of a folder, by name."""
    marks = {}
    for path in sorted(folder.iterdir()):
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while content := file.read(_HASHED_BYTES):
                digest.update(content)
        marks[path.name] = FileMark(sha256=digest.hexdigest(), n_bytes=path.stat().st_size)
    return marks


@dataclass(frozen=True)
class Store:
    """A place for results, which travels to workers; `storage_options` are those of fsspec."""

    url: str
    storage_options: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> None:
        """Find out whether something can be written, before any work is done.

        Raises:
            UsageError: nothing can.
            MissingExtraError: a package for such URLs is not installed.
        """
        name = f"partial/{secrets.token_hex(8)}"
        try:
            files = self._files()
            files.write(name, b"")
            files.remove(name)
        except StemlightError:
            raise
        except Exception as error:  # packages for object stores raise what they like
            raise UsageError(
                f"cannot write to {self.url}: {one_line(error)}; make it first, or choose another "
                "place"
            ) from error

    def find(self, key: str) -> StoredResult | None:
        """Return the complete result of a piece of work; None if there is none.

        Raises:
            OSError: the store does not answer; object stores raise others, too.
        """
        content = self._files().read(f"{_result_folder(key)}/{RESULT_FILE}")
        if content is None:
            return None
        try:
            result = from_mapping(StoredResult, json.loads(content))
        except (ValueError, RecursionError, ConfigError):
            return None
        return result if result.format == _FORMAT else None

    def place(self, key: str, folder: Path, result: StoredResult) -> None:
        """Give a folder of `workspace` its place, with all that `result` says of it."""
        text = json.dumps(to_mapping(result), indent=2, sort_keys=True, allow_nan=False)
        (folder / RESULT_FILE).write_text(text + "\n", encoding="utf-8")
        self._files().place(_result_folder(key), folder)

    def content_of(self, mark: str) -> str | None:
        """Return the sha256 of the content that an input had when it had this mark."""
        content = self._files().read(_seen_file(mark))
        return None if content is None else content.decode("ascii", "replace").strip()

    def remember(self, mark: str, sha256: str) -> None:
        """Note the sha256 of the content of an input."""
        self._files().write(_seen_file(mark), f"{sha256}\n".encode())

    def put_report(self, path: Path) -> str:
        """Copy a finished file among the reports; return where it is.

        Raises:
            OutputError: it cannot be written.
        """
        try:
            self._files().put(f"reports/{path.name}", path)
        except Exception as error:  # packages for object stores raise what they like
            raise OutputError(f"cannot write a report to {self.url}: {one_line(error)}") from error
        return f"{self.url.rstrip('/')}/reports/{path.name}"

    @contextlib.contextmanager
    def workspace(self) -> Iterator[Path]:
        """Give a folder of this machine that is removed at the end, by the next run at the latest.

        Raises:
            OutputError: it cannot be made.
        """
        place = self._place_for_work()
        place.parent.mkdir(parents=True, exist_ok=True)
        with hidden_folder_for(place) as folder:
            folder.chmod(0o700)  # in the temporary folder music is nobody else's
            yield folder

    def remove_left_overs(self) -> None:
        """Remove what killed processes of this machine left; what others work in stays."""
        remove_left_overs(self._place_for_work())

    def _place_for_work(self) -> Path:
        root = local_path(self.url)
        if root is None:
            return Path(tempfile.gettempdir()) / "stemlight-batch"
        return root / "partial" / "track"

    def _files(self) -> _Files:
        root = local_path(self.url)
        if root is not None:
            return _LocalFiles(root.absolute())
        return _RemoteFiles(*open_location(self.url, self.storage_options))


class _Files(Protocol):
    """What a store needs of a disk or an object store; names are relative to the store."""

    def read(self, name: str) -> bytes | None: ...
    def write(self, name: str, content: bytes) -> None: ...
    def remove(self, name: str) -> None: ...
    def put(self, name: str, path: Path) -> None: ...
    def place(self, name: str, folder: Path) -> None: ...


class _LocalFiles:
    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, content: bytes) -> None:
        with self._pending(name) as part:
            part.write_bytes(content)

    def put(self, name: str, path: Path) -> None:
        with self._pending(name) as part:
            shutil.copyfile(path, part)

    def remove(self, name: str) -> None:
        (self._root / name).unlink()

    def place(self, name: str, folder: Path) -> None:
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        for path in (*folder.iterdir(), folder):
            _synchronise(path)
        try:
            folder.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            if (target / RESULT_FILE).exists():
                return  # somebody else did the same work
            target.rename(folder.with_name(f"{folder.name}-harmed"))
            folder.rename(target)

    @contextlib.contextmanager
    def _pending(self, name: str) -> Iterator[Path]:
        """Give a path whose file gets its name when it is whole."""
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        place = self._root / "partial" / "file"
        place.parent.mkdir(exist_ok=True)
        with hidden_folder_for(place) as folder:  # which is left over where the process is killed
            yield folder / "file"
            _synchronise(folder / "file")
            (folder / "file").replace(target)


class _RemoteFiles:
    def __init__(self, files: Any, root: str) -> None:
        self._files = files
        self._root = root.rstrip("/")

    def read(self, name: str) -> bytes | None:
        try:
            content: bytes = self._files.cat_file(f"{self._root}/{name}")
        except FileNotFoundError:
            return None
        return content

    def write(self, name: str, content: bytes) -> None:
        self._files.pipe_file(self._path(name), content)

    def put(self, name: str, path: Path) -> None:
        self._files.put_file(str(path), self._path(name))

    def remove(self, name: str) -> None:
        self._files.rm_file(f"{self._root}/{name}")

    def place(self, name: str, folder: Path) -> None:
        if self.read(f"{name}/{RESULT_FILE}") is not None:
            return  # somebody else did the same work
        paths = sorted(folder.iterdir(), key=lambda path: path.name == RESULT_FILE)
        for path in paths:
            self.put(f"{name}/{path.name}", path)

    def _path(self, name: str) -> str:
        """Return the path of a file to write; its folder is made where there are such."""
        path = f"{self._root}/{name}"
        protocols = self._files.protocol
        if _WITH_FOLDERS.intersection([protocols] if isinstance(protocols, str) else protocols):
            self._files.makedirs(path.rpartition("/")[0], exist_ok=True)
        return path


def _result_folder(key: str) -> str:
    return f"results/{key[:2]}/{key}"


def _seen_file(mark: str) -> str:
    return f"seen/{mark[:2]}/{mark}"


def _synchronise(path: Path) -> None:
    """Bring a file or folder to the disk: names must not survive a power cut without content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
