"""One song after the other: what became of each is printed at once, and the others are done."""

from __future__ import annotations

import contextlib
import io
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemlight.cli.console import complain, complain_of_bug, note, print_result, song_progress
from stemlight.cli.inputs import Job, is_pipe, plan_jobs
from stemlight.cli.interrupts import Interrupts
from stemlight.errors import InputError, OutputError, StemlightError

if TYPE_CHECKING:
    from stemlight.audio.files import ReadableFile
    from stemlight.separation.song_checks import SongCheck
    from stemlight.separation.songs import Progress, SongReport

    Outcome = tuple[SongReport, SongCheck | None]
    Run = Callable[[Path | ReadableFile, Path, Progress], Outcome]
    """Separates a song into a folder, and audits it if that was asked."""

__all__ = ["SongBatch"]

_STANDARD_INPUT = "<stdin>"


class SongBatch:
    """Separates all songs of a call."""

    def __init__(
        self,
        run: Run,
        stems: tuple[str, ...],
        interrupts: Interrupts,
        *,
        quiet: bool,
        max_duration_seconds: float | None = None,
    ) -> None:
        self._run = run
        self._stems = stems
        self._interrupts = interrupts
        self._quiet = quiet
        self._max_duration_seconds = max_duration_seconds
        self._n_printed = 0
        self.n_failed = 0
        self.songs: list[dict[str, Any]] = []

    def separate_all(self, inputs: list[str], output: Path) -> None:
        """Separate what `inputs` name into folders below `output`."""
        from stemlight.audio.wording import shown

        plan = plan_jobs(inputs, output)
        for name, reason in plan.refusals:
            self._fail(name, f"{shown(name)} {reason}")
        n_jobs = len(plan.jobs)
        for number, job in enumerate(plan.jobs, start=1):
            self._interrupts.check()
            name = _STANDARD_INPUT if job.song is None else shown(job.song)
            title = name if n_jobs == 1 else f"{name} ({number} of {n_jobs})"
            outcome = self._separate(job, output, name, title)
            if outcome is not None:
                self._tell(outcome, name, shown(outcome[0].folder))
        if self.n_failed and not self._quiet and len(self.songs) > 1:
            note(f"{self.n_failed} of {len(self.songs)} inputs failed")

    def _separate(self, job: Job, output: Path, name: str, title: str) -> Outcome | None:
        """Return the report, or None after saying what went wrong."""
        given = name if job.song is None else str(job.song)
        try:
            _refuse_link_out(job.folder, output)
            with (
                song_progress(title, quiet=self._quiet) as advance,
                _opened(job.song, self._interrupts, self._max_duration_seconds) as song,
            ):

                def go_on(n_done: int, n_total: int | None) -> None:
                    self._interrupts.check()
                    advance(n_done, n_total)

                return self._run(song, job.folder, go_on)
        except StemlightError as error:
            line = str(error)
            self._fail(given, line if name in line else f"{name}: {line}")
        except Exception as error:  # the others are still to be done
            complain_of_bug(name, error)
            self._note_failure(given, f"{type(error).__name__}: {error}")
        return None

    def _fail(self, given: str, line: str) -> None:
        complain(line)
        self._note_failure(given, line)

    def _note_failure(self, given: str, line: str) -> None:
        self.n_failed += 1
        self.songs.append({"status": "failed", "input": given, "error": line})

    def _tell(self, outcome: Outcome, name: str, folder: str) -> None:
        report, check = outcome
        plain = {"status": "skipped" if report.was_done else "done", **report.to_json()}
        if check is not None:
            plain["check"] = check.to_json()
        self.songs.append(plain)
        if not self._quiet:
            self._print(report, folder)
            if check is not None:
                print_result(f"  check: {check.line}")
            for line in (*_news(report), *report.notes):
                note(f"{folder}: {' '.join(line.split())}")
        if check is not None and check.problems:
            self.n_failed += 1
            complain(f"{name}: the check found that {'; '.join(check.problems)}")

    def _print(self, report: SongReport, folder: str) -> None:
        """Print one row at once: songs may take hours."""
        widths = [max(len(stem) + 3, 7) for stem in self._stems]
        if not self._n_printed:
            names = "  ".join(
                f"{stem} dB".rjust(width) for stem, width in zip(self._stems, widths, strict=True)
            )
            print_result(f"  duration       time  factor  {names}  folder")
        self._n_printed += 1
        levels = "  ".join(
            _level(report.stems[stem].level_db).rjust(width)
            for stem, width in zip(self._stems, widths, strict=True)
        )
        print_result(
            f"{report.duration_seconds:8.1f} s {report.elapsed_seconds:8.1f} s  "
            f"{report.real_time_factor:6.3f}  {levels}  {folder}"
        )


def _news(report: SongReport) -> Iterator[str]:
    """Yield a line for everything about a song that nobody expects."""
    if report.was_done:
        yield "done before"
    if report.gain_db:
        yield (
            f"a stem is beyond full scale, so all were lowered by {-report.gain_db:.2f} dB; "
            "--bit-depth float keeps the level, --on-clip clip saturates instead"
        )
    for name, stem in report.stems.items():
        if stem.n_clipped:
            yield (
                f"{stem.n_clipped} samples of {name} are beyond full scale and were clipped; "
                "--bit-depth float keeps them"
            )
    if report.n_inexact:
        yield (
            f"of {report.n_inexact} samples no float stems have the exact sum, it is the nearest; "
            "--bit-depth 24 has it always"
        )


def _level(level_db: float) -> str:
    return f"{level_db:.1f}" if math.isfinite(level_db) else "silent"


def _refuse_link_out(folder: Path, output: Path) -> None:
    """Refuse a folder for stems that a link, there already, takes out of the output folder.

    The output folder may be a link itself: it was named by whoever asks.
    """
    from stemlight.audio.wording import shown

    real = Path(os.path.realpath(folder))
    if not real.is_relative_to(os.path.realpath(output)):
        raise OutputError(
            f"{shown(folder)} is a link, or below one, that leads out of {shown(output)} to "
            f"{shown(real)}; remove the link, or choose another --output"
        )


@contextlib.contextmanager
def _opened(
    song: Path | None, interrupts: Interrupts, max_duration_seconds: float | None
) -> Iterator[Path | ReadableFile]:
    """Give what can be read more than once: pipes are copied to a temporary file."""
    if song is not None and not is_pipe(song):
        yield song
        return
    if song is not None:
        name = str(song)
    elif sys.stdin is None or sys.stdin.isatty():
        raise InputError("<stdin> is closed or a terminal; pipe a sound file into it")
    elif sys.stdin.buffer.seekable():
        yield sys.stdin.buffer
        return
    else:
        name = _STANDARD_INPUT
    from stemlight.audio.limits import copy_pipe
    from stemlight.audio.wording import reason, shown

    with _Spooled(tempfile.TemporaryFile(buffering=0), name) as file:
        try:
            with interrupts.at_once(), _pipe(song) as pipe:  # which may take for ever
                copy_pipe(pipe, file, shown(name), most_seconds=max_duration_seconds)
        except OSError as error:
            raise InputError(f"cannot read {shown(name)}: {reason(error)}") from error
        yield file


def _pipe(song: Path | None) -> contextlib.AbstractContextManager[ReadableFile]:
    """Open a pipe that has a name, which waits until somebody writes to it."""
    return contextlib.nullcontext(sys.stdin.buffer) if song is None else song.open("rb")


class _Spooled(io.BufferedRandom):
    """What came through a pipe, under its name."""

    def __init__(self, file: io.RawIOBase, name: str) -> None:
        super().__init__(file)
        self._name = name

    @property
    def name(self) -> str:
        """The pipe's."""
        return self._name
