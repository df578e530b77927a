"""Places that people name: paths of this machine, and URLs of whatever fsspec knows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stemlight.audio.wording import shown
from stemlight.errors import MissingExtraError, UsageError

__all__ = ["join", "local_path", "one_line", "open_location", "parent", "shown_url"]

_LOCAL = ("file://", "local://")


def local_path(url: str) -> Path | None:
    """Return the path of a file or folder of this machine; None if it is elsewhere."""
    if "://" not in url:
        return Path(url)
    for protocol in _LOCAL:
        if url.startswith(protocol):
            return Path(url.removeprefix(protocol))
    return None


def open_location(url: str, storage_options: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the file system of fsspec that a URL names, and the path in it.

    Raises:
        MissingExtraError: fsspec, or the package for such URLs, is not installed.
        UsageError: there are no such URLs, or the options are not for them.
    """
    protocol = url.partition("://")[0]
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{protocol}:// needs {error.name}, which is not installed; "
            "run: pip install 'stemlight[batch]'"
        ) from error
    try:
        files, path = url_to_fs(url, **storage_options)
    except ImportError as error:
        raise MissingExtraError(
            f"{protocol}:// needs a package of its own ({one_line(error)}); install it beside "
            "fsspec, for example s3fs for s3://, gcsfs for gs://"
        ) from error
    except (ValueError, TypeError) as error:
        raise UsageError(f"{url} is no place that can be opened: {one_line(error)}") from error
    return files, path


def join(folder: str, name: str) -> str:
    """Return what `name` means in a folder: itself, if it is a URL or an absolute path."""
    if "://" in name or name.startswith("/") or folder in ("", "."):
        return name
    return f"{folder.rstrip('/')}/{name}"


def parent(url: str) -> str:
    """Return the folder that a file is in."""
    folder, slash, _ = url.rpartition("/")
    return folder or slash


def shown_url(url: str) -> str:
    """Return a path or URL as text that every terminal can print in one line."""
    return url if "://" in url and url.isprintable() else shown(url)


def one_line(error: Exception) -> str:
    """Say why something cannot be read or written."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(f"{type(error).__name__}: {error}".split())
