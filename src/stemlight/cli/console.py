"""What all commands print with: results on standard output, all else on standard error."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import sys
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemlight.errors import MissingExtraError, OutputError, UsageError

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

__all__ = [
    "aligned",
    "complain",
    "complain_of_bug",
    "download_progress",
    "note",
    "print_result",
    "refuse_lost_report",
    "song_progress",
    "track_progress",
    "with_extra",
    "write_json",
]


def print_result(line: str) -> None:
    """Print one line of a result at once.

    Raises:
        OutputError: standard output takes no more, for example because it is on a full disk.
    """
    try:
        print(line, flush=True)
    except OSError as error:
        if error.errno == errno.EPIPE:  # `| head` has seen enough
            raise
        # The line is still in Python's buffer and would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise OutputError(f"cannot write to standard output: {error.strerror}") from error


def note(line: str) -> None:
    """Print one line of news on standard error."""
    print(line, file=sys.stderr, flush=True)


def complain(line: str) -> None:
    """Print one line about a failure on standard error."""
    note(f"error: {' '.join(line.split())}")


def complain_of_bug(subject: str, error: Exception) -> None:
    """Print one line about an exception that nobody expected; STEMLIGHT_DEBUG=1 shows all of it."""
    is_debugging = os.environ.get("STEMLIGHT_DEBUG", "0") not in ("", "0")
    hint = "report it" if is_debugging else "STEMLIGHT_DEBUG=1 shows where, please report it"
    complain(f"{subject}: {type(error).__name__}: {error} (this is a bug in stemlight: {hint})")
    if is_debugging:
        note("".join(traceback.format_exception(error)).rstrip())


def aligned(rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,)) -> list[str]:
    """Lay rows of equal length out as columns: those of `left` to the left, others to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


@contextlib.contextmanager
def song_progress(name: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Show how far a song is: a bar that goes away on a terminal, elsewhere one line."""
    if quiet or not sys.stderr.isatty():
        if not quiet:
            note(f"separating {name}")
        yield lambda n_done, n_total: None
        return
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    with _bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    ) as progress:
        task = progress.add_task(name, total=None)

        def advance(n_done: int, n_total: int | None) -> None:
            # Estimated lengths may be too short.
            total = None if n_total is None else max(n_done, n_total)
            progress.update(task, completed=n_done, total=total)

        yield advance


@contextlib.contextmanager
def track_progress(*, is_done: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """Show which track is begun, or done, as which of how many: a bar, or a line for each."""
    if not sys.stderr.isatty():
        yield lambda name, number, n_tracks: note(f"[{number}/{n_tracks}] {name}")
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    with _bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    ) as progress:
        task = progress.add_task("", total=None)

        def tell(name: str, number: int, n_tracks: int) -> None:
            n_done = number if is_done else number - 1
            progress.update(task, description=name, completed=n_done, total=n_tracks)

        yield tell


def _bars(*columns: ProgressColumn) -> Progress:
    """Make bars that go away, and leave standard output to results."""
    from rich.console import Console
    from rich.progress import Progress

    return Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


@contextlib.contextmanager
def download_progress() -> Iterator[Callable[[str, int, int | None], None]]:
    """Show how far each file is: a bar that goes away on a terminal, elsewhere one line."""
    if not sys.stderr.isatty():
        told: set[str] = set()

        def tell(name: str, n_done: int, n_total: int | None) -> None:
            if name not in told:
                told.add(name)
                note(f"downloading {name}{f' ({n_total / 1e6:.1f} MB)' if n_total else ''}")

        yield tell
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    with _bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    ) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(name: str, n_done: int, n_total: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=n_total)
            progress.update(tasks[name], completed=n_done, total=n_total)

        yield advance


@contextlib.contextmanager
def with_extra(extra: str, purpose: str) -> Iterator[None]:
    """Name the extra to install where an import in the block finds a package missing.

    Raises:
        MissingExtraError: see above.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "stemlight":
            raise
        raise MissingExtraError(
            f"{purpose} needs {error.name}, which is not installed; "
            f"run: pip install 'stemlight[{extra}]'"
        ) from error


def refuse_lost_report(path: Path | None) -> None:
    """Refuse a report that could not be written after all the work.

    Raises:
        UsageError: its folder does not exist, or it is a folder itself.
    """
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"--report {path} is a folder; name a file")
    if not path.parent.is_dir():
        raise UsageError(f"--report {path}: there is no folder {path.parent}; make it first")


def write_json(path: Path | None, content: Mapping[str, Any]) -> None:
    """Write a report in one step, if a path was given.

    Raises:
        OutputError: it cannot be written.
    """
    if path is None:
        return
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    part = path.with_name(f".{path.name[:48]}.{secrets.token_hex(4)}.part")
    try:
        if path.exists() and not path.is_file():  # a device or pipe is written to, not replaced
            path.write_text(text, encoding="utf-8")
            return
        try:
            part.write_text(text, encoding="utf-8")
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
