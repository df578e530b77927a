"""Walks folders of tracks; many collections are made of links to where the sound is stored."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["walk"]


def walk(
    root: Path, on_error: Callable[[OSError], object]
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder from `root` down, and the sorted names of its folders and of its files.

    Hidden ones, whose names begin with a dot, are left out. Links to folders are followed, but for
    those that lead back to where they are. What is taken out of the names of folders is not walked.
    """
    for directory, folders, files in os.walk(root, onerror=on_error, followlinks=True):
        here = Path(directory)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not _leads_back(here / name)
        )
        yield here, folders, sorted(name for name in files if not name.startswith("."))


def _leads_back(folder: Path) -> bool:
    """Tell whether a folder is a link to one that it lies in, by way of other links or not."""
    if not folder.is_symlink():
        return False
    target = os.path.realpath(folder)  # not Path.resolve, which fails for links in a circle
    return any(Path(os.path.realpath(each)).is_relative_to(target) for each in folder.parents)
