"""`stemlight separate`: songs in, folders of stems out."""

from __future__ import annotations

import contextlib
import io
import math
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemlight._version import __version__
from stemlight.cli.console import (
    complain,
    complain_of_bug,
    note,
    print_result,
    refuse_lost_report,
    song_progress,
    write_json,
)
from stemlight.cli.inputs import Job, plan_jobs
from stemlight.cli.interrupts import Interrupts
from stemlight.errors import InputError, StemlightError, UsageError

if TYPE_CHECKING:
    from stemlight.audio.files import ReadableFile
    from stemlight.separation.songs import Progress, SongReport

__all__ = ["separate"]

ACCOMPANIMENT = "accompaniment"
"""What is left of the mixture without the asked stems; may be asked like a stem."""


def separate(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT",
            help="Sound files, folders (walked, their tree mirrored), or - for standard input.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", help="Stems go to DIR/<track name>/<stem>.<format>."
        ),
    ] = Path("separated"),
    model: Annotated[
        str, typer.Option(metavar="NAME|PATH", help="A model's name, folder or file.")
    ] = "stemlight",
    stems: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="Which stems, for example vocals,drums; accompaniment is all else. [all]",
        ),
    ] = None,
    karaoke: Annotated[
        str | None,
        typer.Option(metavar="STEM", help="Two stems: STEM, and all else as no_STEM."),
    ] = None,
    format: Annotated[str, typer.Option(metavar="wav|flac|mp3|ogg", help="File format.")] = "wav",
    bit_depth: Annotated[
        str | None,
        typer.Option(
            metavar="16|24|float",
            help="Of wav and flac. float (wav only) never clips. [24]",
        ),
    ] = None,
    engine: Annotated[
        str, typer.Option(metavar="onnx|torch", help="What runs the network.")
    ] = "onnx",
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where the torch engine runs.")
    ] = "auto",
    threads: Annotated[
        int, typer.Option(metavar="N", min=0, help="Threads of the network; 0 takes all cores.")
    ] = 0,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use no network, not even for hf:// models.")
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace stems that exist; without it such songs fail."),
    ] = False,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write all results as JSON, too.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")] = False,
) -> None:
    """Separate songs into stems.

    Every stem has its song's length, sample rate and channels. A song gets all of its stems or
    none. Songs of the same name become "name", "name (2)" ... in the order they are given.

    Exit codes: 0 all done; 1 some inputs failed (each is named with its reason on standard error,
    the rest is done); 2 wrong usage.
    """
    refuse_lost_report(report)
    sources, complement = _asked_stems(stems, karaoke)

    with Interrupts() as interrupts:
        from stemlight.api import load
        from stemlight.separation.songs import SongOptions, separate_file

        options = SongOptions(format=format, bit_depth=bit_depth, overwrite=overwrite)
        separator = load(
            model,
            engine=engine,  # type: ignore[arg-type]
            device=device,
            n_threads=threads,
            offline=offline,
        )
        if sources is None and len(separator.sources) == 1:
            complement = ACCOMPANIMENT  # one stem alone is half of an answer
        options = replace(options, sources=sources, complement=complement)
        # Wrong names of stems are wrong usage, found before any work.
        stream = separator.stream(channels=2, sources=sources, complement=complement)

        def run(song: Path | ReadableFile, folder: Path, on_progress: Progress) -> SongReport:
            return separate_file(separator, song, folder, options=options, on_progress=on_progress)

        batch = _Batch(run, stream.stems, interrupts, quiet=quiet)
        try:
            batch.separate_all(inputs, output)
        finally:  # what is done is reported after Ctrl-C, too
            write_json(
                report,
                {"stemlight": __version__, "model": model, "engine": engine, "songs": batch.songs},
            )
    if batch.n_failed:
        raise typer.Exit(1)


def _asked_stems(stems: str | None, karaoke: str | None) -> tuple[list[str] | None, str | None]:
    """Return the sources to separate and the name of what is left of the mixture."""
    if karaoke is not None:
        if stems is not None:
            raise UsageError("--stems and --karaoke exclude each other; leave one of them out")
        return [karaoke], f"no_{karaoke}"
    if stems is None:
        return None, None
    names = [name.strip() for name in stems.split(",")]
    if ACCOMPANIMENT not in names:
        return names, None
    return [name for name in names if name != ACCOMPANIMENT], ACCOMPANIMENT


class _Batch:
    """Separates one song after the other, prints what became of it, and goes on."""

    def __init__(
        self,
        run: Callable[[Path | ReadableFile, Path, Progress], SongReport],
        stems: tuple[str, ...],
        interrupts: Interrupts,
        *,
        quiet: bool,
    ) -> None:
        self._run = run
        self._stems = stems
        self._interrupts = interrupts
        self._quiet = quiet
        self._n_printed = 0
        self.n_failed = 0
        self.songs: list[dict[str, Any]] = []

    def separate_all(self, inputs: list[str], output: Path) -> None:
        from stemlight.audio.wording import shown

        plan = plan_jobs(inputs, output)
        for name, reason in plan.refusals:
            self._fail(name, f"{shown(name)} {reason}")
        n_jobs = len(plan.jobs)
        for number, job in enumerate(plan.jobs, start=1):
            self._interrupts.check()
            name = "<stdin>" if job.song is None else shown(job.song)
            title = name if n_jobs == 1 else f"{name} ({number} of {n_jobs})"
            report = self._separate(job, name, title)
            if report is not None:
                self.songs.append({"status": "done", **report.to_json()})
                if not self._quiet:
                    self._print(report, shown(report.folder))
        if self.n_failed and not self._quiet and len(self.songs) > 1:
            note(f"{self.n_failed} of {len(self.songs)} inputs failed")

    def _separate(self, job: Job, name: str, title: str) -> SongReport | None:
        """Return the report, or None after saying what went wrong."""
        given = name if job.song is None else str(job.song)
        try:
            with (
                song_progress(title, quiet=self._quiet) as advance,
                _opened(job.song, self._interrupts) as song,
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
        for name, stem in report.stems.items():
            if stem.n_clipped:
                note(
                    f"{folder}: {stem.n_clipped} samples of {name} are beyond full scale and were "
                    "clipped; --bit-depth float keeps them"
                )


def _level(level_db: float) -> str:
    return f"{level_db:.1f}" if math.isfinite(level_db) else "silent"


@contextlib.contextmanager
def _opened(song: Path | None, interrupts: Interrupts) -> Iterator[Path | ReadableFile]:
    if song is not None:
        yield song
    elif sys.stdin is None or sys.stdin.isatty():
        raise InputError("<stdin> is closed or a terminal; pipe a sound file into it")
    elif sys.stdin.buffer.seekable():
        yield sys.stdin.buffer
    else:
        with _Spooled(tempfile.TemporaryFile(buffering=0)) as file:
            with interrupts.at_once():  # a pipe may take for ever
                shutil.copyfileobj(sys.stdin.buffer, file)
            yield file


class _Spooled(io.BufferedRandom):
    """What came through the standard input, under its name."""

    name = "<stdin>"
