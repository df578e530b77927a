"""Walks folders of tracks; many collections are made of links to where the sound is stored."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["walk"]


def walk(
    root: Path, on_error: Callable[[OSError], object]
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder from `root` down, and the sorted names of its folders and of its files.

    Hidden ones, whose names begin with a dot, are left out; so is what is taken out of the names of
    folders. Links to folders are followed, after all else, but for those to a folder that holds
    `root`. However many ways lead to a folder, it is there once.
    """
    top = Path(os.path.realpath(root))  # not Path.resolve, which fails for links in a circle
    seen: set[str] = set()
    waiting = deque([root])
    while waiting:
        for directory, folders, files in os.walk(waiting.popleft(), onerror=on_error):
            here, place = Path(directory), os.path.realpath(directory)
            if place in seen:
                folders.clear()
                continue
            seen.add(place)
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            yield here, folders, sorted(name for name in files if not name.startswith("."))
            links = (here / name for name in folders if (here / name).is_symlink())
            waiting.extend(link for link in links if not top.is_relative_to(os.path.realpath(link)))
