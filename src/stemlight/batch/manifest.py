"""Which tracks a batch is about: a folder, or a table with one row for each.

A folder is walked: files with the suffixes of sound and video, sorted, without hidden ones and
without folders behind links. The id of a track is its path below the folder.

A table is CSV with a header, JSON lines or Parquet, by its suffix. Its columns:

    path        a file or URL; relative ones are relative to the table
    id          what the report calls the track; the path as written, unless given
    stems       names separated by commas; in JSON lines and Parquet also a list
    format, bit_depth, bit_rate     as the options of the command

All but `path` may be missing, and their cells be empty: then what the command says holds. Other
columns are left alone, unless their name looks like one of these written wrongly.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO

from stemlight.batch.locations import (
    join,
    local_path,
    one_line,
    open_location,
    parent,
    shown_url,
)
from stemlight.batch.walking import songs_below
from stemlight.errors import MissingExtraError, StemlightError, UsageError

__all__ = ["OPTION_COLUMNS", "Item", "read_items"]

OPTION_COLUMNS = ("stems", "format", "bit_depth", "bit_rate")
"""Columns of a table that change what is made of a track."""

_COLUMNS = ("path", "id", *OPTION_COLUMNS)
_ROWS_AT_ONCE = 1024
_CLOSE = 0.75  # `stem`, `formats` and `bitrate` are, `tempo` and `item` are not

_Row = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True)
class Item:
    """A track to separate."""

    id: str
    path: str
    """A path of this machine or a URL."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """What is not as for the others, by the names in `OPTION_COLUMNS`: `stems` is a tuple of
    names, `bit_rate` a number, the others are strings."""


def read_items(
    where: str, *, storage_options: Mapping[str, Any] | None = None, but: str | None = None
) -> Iterator[Item]:
    """Yield the tracks of a folder or table, one after the other; `but` is a folder to pass over.

    Raises:
        UsageError: there is no such folder or table, it cannot be read, or a row is wrong.
        MissingExtraError: a package that is needed to read it is not installed.
    """
    options = storage_options or {}
    try:
        if _is_folder(where, options):
            for id, path in songs_below(where, options, but):
                yield Item(id, path)
        else:
            yield from _items_of(where, _rows(where, options))
    except StemlightError:
        raise
    except Exception as error:
        if local_path(where) is not None and not isinstance(error, OSError):
            raise
        # Packages for object stores raise what they like.
        raise UsageError(f"cannot read {shown_url(where)}: {one_line(error)}") from error


def _is_folder(where: str, options: Mapping[str, Any]) -> bool:
    if not where:
        raise UsageError("'' is no name of a folder or table")
    path = local_path(where)
    if path is not None:
        return path.is_dir()
    if _reader_of(where) is not None:
        return False
    files, place = open_location(where, options)
    return bool(files.isdir(place))


def _items_of(where: str, rows: Iterator[_Row]) -> Iterator[Item]:
    first_with: dict[str, int] = {}
    folder = parent(where)
    for number, row in rows:
        try:
            item = _item(row, folder)
        except ValueError as error:
            raise UsageError(f"{shown_url(where)}, row {number}: {error}") from error
        before = first_with.setdefault(item.id, number)
        if before != number:
            raise UsageError(
                f"{shown_url(where)}, row {number}: the id {item.id!r} is that of row {before}; "
                "give each row an id of its own"
            )
        yield item


def _item(row: Mapping[str, Any], folder: str) -> Item:
    given = {name: value for name, value in row.items() if not _is_empty(value)}
    path = _text(given, "path")
    if path is None:
        raise ValueError("has no path; write a file's path or URL there")
    options: dict[str, Any] = {}
    if "stems" in given:
        options["stems"] = _stems(given["stems"])
    for name in ("format", "bit_depth"):
        if name in given:
            options[name] = _text(given, name)
    if "bit_rate" in given:
        options["bit_rate"] = _number(given["bit_rate"])
    return Item(_text(given, "id") or path, join(folder, path), options)


def _is_empty(value: Any) -> bool:
    return value in (None, "", []) or (isinstance(value, float) and math.isnan(value))


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    if isinstance(value, int) and not isinstance(value, bool) and name != "path":
        return str(value)  # ids and bit depths look like numbers
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name} must be text, not {value!r}")
    return value


def _stems(value: Any) -> tuple[str, ...]:
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"stems must be names separated by commas, not {value!r}")
    names = tuple(name.strip() for name in names)
    if not all(names):
        raise ValueError(f"stems must be names separated by commas, not {value!r}")
    return names


def _number(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if isinstance(number, float) and number.is_integer():  # where some cells are empty
        number = int(number)
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError(f"bit_rate must be a number of kbit/s, 1 or more, not {value!r}")
    return number


def _rows(where: str, options: Mapping[str, Any]) -> Iterator[_Row]:
    read = _reader_of(where)
    if read is None:
        path = local_path(where)
        fault = "is not there" if path is not None and not path.exists() else "is neither"
        raise UsageError(
            f"{shown_url(where)} {fault}; give a folder with something in it, or a table that ends "
            f"in {', '.join(_READERS)}"
        )
    with _opened(where, options) as file:
        try:
            yield from read(file)
        except ValueError as error:  # also of the decoder of UTF-8, and of Arrow
            raise UsageError(f"{shown_url(where)}: {' '.join(str(error).split())}") from error


@contextmanager
def _opened(where: str, options: Mapping[str, Any]) -> Iterator[BinaryIO]:
    path = local_path(where)
    if path is not None:
        with path.open("rb") as file:
            yield file
    else:
        files, place = open_location(where, options)
        with files.open(place, "rb") as file:
            yield file


def _csv_rows(file: BinaryIO) -> Iterator[_Row]:
    with io.TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True, restkey=None)
        try:
            _check_columns(reader.fieldnames or ())
            for row in reader:
                number = reader.line_num
                if None in row:
                    raise ValueError(f"row {number} has more cells than the header has columns")
                yield number, row
        except csv.Error as error:
            raise ValueError(f"row {reader.reader.line_num} is no CSV: {error}") from error


def _json_rows(file: BinaryIO) -> Iterator[_Row]:
    checked: tuple[str, ...] = ()
    for number, line in enumerate(file, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"row {number} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise ValueError(f'row {number} is no object of JSON; write {{"path": ...}}')
        if checked != tuple(row):
            checked = tuple(row)
            _check_columns(checked, f"row {number}")
        yield number, row


def _parquet_rows(file: BinaryIO) -> Iterator[_Row]:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"reading Parquet needs {error.name}, which is not installed; "
            "run: pip install 'stemlight[batch]'"
        ) from error
    table = parquet.ParquetFile(file)
    names = table.schema_arrow.names
    _check_columns(names)
    number = 0
    known = [name for name in _COLUMNS if name in names]
    for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=known):
        for row in batch.to_pylist():
            number += 1
            yield number, row


def _check_columns(names: Iterable[str], place: str = "it") -> None:
    """Refuse a table without paths, and one with an option that is probably written wrongly."""
    names = list(names)
    missing = [name for name in OPTION_COLUMNS if name not in names]
    for name in names:
        meant = get_close_matches(str(name).lower(), missing, n=1, cutoff=_CLOSE)
        if name not in _COLUMNS and meant:
            raise ValueError(
                f"{place} has a column {name!r} (did you mean {meant[0]!r}?); correct it, or call "
                "it something else"
            )
    if "path" not in names:
        has = ", ".join(names) or "none"
        raise ValueError(f"{place} has no column 'path'; its columns are: {has}")


_READERS: Mapping[str, Callable[[BinaryIO], Iterator[_Row]]] = {
    ".csv": _csv_rows,
    ".jsonl": _json_rows,
    ".ndjson": _json_rows,
    ".parquet": _parquet_rows,
}


def _reader_of(where: str) -> Callable[[BinaryIO], Iterator[_Row]] | None:
    return _READERS.get(Path(where).suffix.lower())
