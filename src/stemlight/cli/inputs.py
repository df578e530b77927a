"""Which songs the arguments of `stemlight separate` mean, and where the stems of each go.

A file is taken whatever its suffix. A folder is walked: files with the suffixes of sound and video,
sorted, without hidden ones and without folders behind links; its tree below it is mirrored.
`-` is standard input, and its track is called `stdin`.

A track is called like its file without the suffix. Where that folder is taken by an earlier input
of the same call, ` (2)`, ` (3)` ... follows the name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["SONG_SUFFIXES", "Job", "Plan", "is_pipe", "plan_jobs"]

_STANDARD_INPUT = "-"

_SOUND = (
    "aac ac3 aif aifc aiff alac amr ape au caf dts eac3 flac m4a m4b mka mp2 mp3 mpc oga ogg opus "
    "rf64 snd spx tak tta w64 wav wave wma wv"
)
_VIDEO = "3gp avi flv m4v mkv mov mp4 mpeg mpg mts ogv ts vob webm wmv"
SONG_SUFFIXES = frozenset(f".{word}" for word in f"{_SOUND} {_VIDEO}".split())
"""What is taken for a song when a folder is walked, in small letters."""

_LONGEST_NAME_BYTES = 255  # on all common file systems


@dataclass(frozen=True)
class Job:
    """A song, `None` for standard input, and the folder for its stems."""

    song: Path | None
    folder: Path


@dataclass(frozen=True)
class Plan:
    """All songs to separate, and a line for each input that holds none."""

    jobs: list[Job] = field(default_factory=list)
    refusals: list[tuple[str, str]] = field(default_factory=list)


def plan_jobs(inputs: Sequence[str], output: Path) -> Plan:
    """Find the songs; what exists is looked at, but no file is opened."""
    plan = Plan()
    taken: dict[Path, Path | None] = {}
    for name in inputs:
        root = Path(name)
        if not name:  # an unset variable of a shell script, not the current folder
            plan.refusals.append(("''", "is no name of a file or folder"))
        elif name == _STANDARD_INPUT:
            _add(plan, taken, None, output / "stdin")
        elif root.is_dir():
            _add_folder(plan, taken, root, output)
        else:
            _add(plan, taken, root, output / _track_name(root))
    return plan


def _add_folder(plan: Plan, taken: dict[Path, Path | None], root: Path, output: Path) -> None:
    n_refused = len(plan.refusals)
    songs = list(_songs_below(root, output, plan))
    for song in songs:
        _add(plan, taken, song, output / song.parent.relative_to(root) / _track_name(song))
    if not songs and len(plan.refusals) == n_refused:
        reason = "holds no sound files (.wav, .flac, .mp3, .ogg, .m4a, .mp4 ...)"
        plan.refusals.append((str(root), reason))


def _add(plan: Plan, taken: dict[Path, Path | None], song: Path | None, folder: Path) -> None:
    origin = None if song is None else song.absolute()
    free, number = _fitting(folder, ""), 1
    while free in taken:
        if taken[free] == origin:
            return  # the same file once more
        number += 1
        free = _fitting(folder, f" ({number})")
    taken[free] = origin
    plan.jobs.append(Job(song, free))


def _songs_below(root: Path, output: Path, plan: Plan) -> Iterator[Path]:
    """Yield the songs below `root`, but nothing of what this or an earlier call has written."""

    def refuse(error: OSError) -> None:
        plan.refusals.append((str(error.filename), f"cannot be read: {error.strerror}"))

    for directory, folders, files in os.walk(root, onerror=refuse):
        here = Path(directory)
        songs = [
            here / name
            for name in sorted(files)
            if not name.startswith(".") and Path(name).suffix.lower() in SONG_SUFFIXES
        ]
        for special in filter(_is_special, songs):
            # Reading a pipe that nobody writes to would never end.
            plan.refusals.append((str(special), "is a pipe or device; name it by itself"))
        songs = [song for song in songs if not _is_special(song)]
        results = {output / here.relative_to(root) / _track_name(song) for song in songs}
        # Not Path.resolve, which fails for links in a circle.
        written = {os.path.realpath(path) for path in (output, *results)}
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(here / name) not in written
        )
        yield from songs


def is_pipe(path: Path) -> bool:
    """Tell whether a path is a named pipe; opening one waits until somebody writes to it."""
    return stat.S_ISFIFO(_mode(path))


def _is_special(path: Path) -> bool:
    """Tell whether a path is neither a file nor what an ordinary error will be about."""
    mode = _mode(path)
    return mode != 0 and not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _mode(path: Path) -> int:
    """Return what kind of thing a path is; 0 where that cannot be known."""
    try:
        return path.stat().st_mode
    except (OSError, ValueError):  # ValueError: a zero byte in the name
        return 0


def _track_name(song: Path) -> str:
    """Return the file's name without its suffix, if that is one of sound or video."""
    if song.name.lower().endswith(".stem.mp4"):
        name = song.name[: -len(".stem.mp4")]
    else:
        name = song.stem if song.suffix.lower() in SONG_SUFFIXES else song.name
    return song.name if name in ("", ".", "..") else name


def _fitting(folder: Path, suffix: str) -> Path:
    """Append `suffix` to the name of `folder`, shortening it to what file systems allow."""
    name, room = os.fsencode(folder.name), _LONGEST_NAME_BYTES - len(suffix)
    if len(name) > room:
        return folder.with_name(name[:room].decode("utf-8", "ignore") + suffix)
    return folder.with_name(folder.name + suffix)
