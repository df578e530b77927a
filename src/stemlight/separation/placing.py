"""Files that get their place together, or not at all.

They are made in a hidden folder, `.stemlight-<host>-<random>.part`, beside the one they are for, or
in it where it exists already. A failure removes the hidden folder and all folders made for it. Of a
process that was killed the hidden folder stays; the next song for the same place removes it. A
lock, which the operating system frees when a process ends, tells whether one is still at work.
Other computers' locks are not seen on all network file systems, so their hidden folders are left
alone until nothing was written there for a day.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import secrets
import shutil
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from stemlight.audio.wording import reason, shown
from stemlight.errors import OutputError

__all__ = ["hidden_folder_for", "placed_together", "remove_left_overs"]

_HIDDEN_NAME = re.compile(r"\.stemlight-(?P<host>[0-9a-f]{6})-[0-9a-f]{8}\.part")
_FOREIGN_SECONDS = 24 * 3600


@contextlib.contextmanager
def placed_together(
    folder: Path, files: Sequence[str], *, replaceable: Collection[str] = ()
) -> Iterator[Path]:
    """Give a hidden folder whose `files` get their place in `folder` if the block ends well.

    They get it in this order; those of `replaceable` may be there already.

    Raises:
        OutputError: `folder` cannot be written to, or holds one of the other `files`.
    """
    made: list[Path] = []
    try:
        _make_missing(folder.parent, made)
        _check_targets(folder, files, replaceable)
        with hidden_folder_for(folder) as part:
            yield part
            _check_targets(folder, files, replaceable)  # again: much time has passed
            _place(part, folder, files)
    except BaseException as error:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir()  # unless another song's stems came into it meanwhile
        if isinstance(error, OSError):
            raise OutputError(f"cannot write to {shown(folder)}: {reason(error)}") from error
        raise


def remove_left_overs(folder: Path) -> None:
    """Remove the hidden folders that killed processes left beside and in `folder`."""
    for place in (folder.parent, folder):
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            found = [(entry.name, _HIDDEN_NAME.fullmatch(entry.name)) for entry in entries]
            for name, matched in found:
                if matched and (matched["host"] == _this_host() or _is_old(place / name)):
                    _remove_unless_held(place / name)


def _this_host() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:6]


def _is_old(part: Path) -> bool:
    newest = max(path.stat().st_mtime for path in (part, *part.iterdir()))
    return time.time() - newest > _FOREIGN_SECONDS


def _remove_unless_held(part: Path) -> None:
    with contextlib.suppress(OSError):  # another process removes it, or is working in it
        descriptor = _hold(part)
        if descriptor is not None:
            try:
                shutil.rmtree(part, ignore_errors=True)
            finally:
                os.close(descriptor)


def _hold(folder: Path) -> int | None:
    """Lock a folder; None where there are no such locks: then nothing is ever taken for left over.

    Raises:
        BlockingIOError: another process, or thread, has it.
        FileNotFoundError: it is gone.
    """
    if sys.platform == "win32":  # which cannot open folders
        return None
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(folder.lstat(), os.fstat(descriptor)):
            raise FileNotFoundError(f"{folder} was replaced")
    except (BlockingIOError, FileNotFoundError):
        os.close(descriptor)
        raise
    except OSError:  # some network file systems have no locks
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def hidden_folder_for(folder: Path) -> Iterator[Path]:
    """Make a hidden folder on the file system of `folder`, and remove what is left of it."""
    is_inside = folder.is_dir()
    descriptor: int | None = None
    while True:
        name = f".stemlight-{_this_host()}-{secrets.token_hex(4)}.part"
        part = folder / name if is_inside else folder.with_name(name)
        try:
            part.mkdir()  # in the block: an interrupt may come at any moment
            try:
                descriptor = _hold(part)
            except (BlockingIOError, FileNotFoundError):
                continue  # taken for left over, in the moment before it was locked
            yield part
        except OutputError as error:  # people know the folder that they asked for, not this one
            there = (f"{os.sep}{name}", "") if is_inside else (name, folder.name)
            raise OutputError(str(error).replace(*there)) from error
        finally:
            shutil.rmtree(part, ignore_errors=True)
            if descriptor is not None:
                os.close(descriptor)
        return


def _check_targets(folder: Path, files: Sequence[str], replaceable: Collection[str]) -> None:
    """Refuse what would fail after the work: a name in use, not allowed, or too long."""
    try:
        folder.lstat()
    except FileNotFoundError:
        return
    if not folder.is_dir():
        raise OutputError(f"{shown(folder)} exists and is no folder; choose another folder")
    there = [file for file in files if (folder / file).exists()]
    in_the_way = [file for file in there if file not in replaceable]
    if in_the_way:
        raise OutputError(
            f"{shown(folder)} holds {', '.join(in_the_way)} already; allow to overwrite "
            "(--overwrite), or choose another folder"
        )
    for file in there:
        if not (folder / file).is_file():
            raise OutputError(f"{shown(folder / file)} exists and is no file; rename it")


def _make_missing(folder: Path, made: list[Path]) -> None:
    """Make `folder` and its parents, and note which ones were not there."""
    if folder.is_dir():
        return
    _make_missing(folder.parent, made)
    made.append(folder)  # before it is made: an interrupt may come at any moment
    with contextlib.suppress(FileExistsError):  # another process may be working beside this one
        folder.mkdir()


def _place(part: Path, folder: Path, files: Sequence[str]) -> None:
    """Move all files into `folder`; after a failure everything is where it was."""
    if not folder.exists():
        part.rename(folder)
        return
    moved: list[tuple[Path, Path]] = []
    try:
        for file in files:
            if (folder / file).exists():
                moved.append((folder / file, part / f".old-{file}"))
                _keep(*moved[-1])
            (part / file).replace(folder / file)
            moved.append((part / file, folder / file))
    except BaseException:
        for before, after in reversed(moved):
            with contextlib.suppress(FileNotFoundError):  # of what failed itself
                after.replace(before)
        raise


def _keep(file: Path, kept: Path) -> None:
    """Give a file a second name, so that at no moment it is neither there nor replaced."""
    try:
        os.link(file, kept)
    except OSError:  # some file systems have no links; there it is missing for a moment
        file.replace(kept)
