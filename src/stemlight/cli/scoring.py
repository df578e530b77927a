"""What `stemlight evaluate` and `compare` share: their options, their data, their progress."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemlight.cli.console import aligned, note, print_result, track_progress
from stemlight.cli.health import usable_threads
from stemlight.cli.interrupts import Interrupts
from stemlight.cli.spreading import Place
from stemlight.errors import InputError, UsageError, did_you_mean

if TYPE_CHECKING:
    from stemlight.cli.systems import ModelOptions
    from stemlight.comparison import Findings, System, Table, Watcher, Workers
    from stemlight.tracks import TrackFiles

__all__ = [
    "DataOption",
    "DataOptions",
    "DeviceOption",
    "EngineOption",
    "JobsOption",
    "MetricsOption",
    "OnlyOption",
    "OutputOption",
    "PrecisionOption",
    "SplitOption",
    "ThreadsOption",
    "Work",
    "chosen_metrics",
    "find_data",
    "print_table",
    "refuse_output",
    "subset_of",
    "working",
    "write",
]

_MOST_PROCESSES = 8  # a whole song with its stems and correlations takes a gigabyte

DataOption = Annotated[
    Path | None,
    typer.Option(
        metavar="PATH", help="A folder of tracks: STEM mp4 files, or folders with a file a stem."
    ),
]
SplitOption = Annotated[
    str | None,
    typer.Option(
        metavar="train|valid|test",
        help="Take this split of MUSDB18; --data is the folder that holds its train and test.",
    ),
]
OnlyOption = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Names of tracks to take, one per line.")
]
MetricsOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAMES",
        help="Metrics by name, separated by commas, or all. [sdr; with --output all]",
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Write tables, pictures and a page that plays there, and go on with what is done.",
    ),
]
JobsOption = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, help="Tracks at once, in processes of their own. [as many as cores]"
    ),
]
EngineOption = Annotated[
    str, typer.Option(metavar="onnx|openvino|torch", help="What runs the networks.")
]
DeviceOption = Annotated[
    str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where the engine runs.")
]
PrecisionOption = Annotated[
    str, typer.Option(metavar="float32|bfloat16|int8", help="What networks compute in.")
]
ThreadsOption = Annotated[
    int,
    typer.Option(
        metavar="N", min=0, help="Threads for each track. [all cores, shared among --jobs]"
    ),
]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which tracks are scored."""

    root: Path
    split: str | None
    only: Path | None


@dataclass(frozen=True, kw_only=True)
class Work:
    """How much is done at once."""

    n_processes: int
    n_threads: int
    place: Place | None = None
    """None: processes of its own."""

    @classmethod
    def choose(cls, jobs: int, threads: int, options: ModelOptions, n_tracks: int) -> Work:
        """Choose what was not asked for: on processors one process a core, elsewhere one."""
        n_cores = usable_threads()
        is_on_cpu = options.device == "cpu" or (
            options.device == "auto" and options.engine != "torch"
        )
        most = min(n_cores, _MOST_PROCESSES) if is_on_cpu else 1
        n_processes = max(1, min(jobs or most, n_tracks))
        return cls(n_processes=n_processes, n_threads=threads or max(1, n_cores // n_processes))

    @classmethod
    def elsewhere(cls, place: Place, jobs: int, threads: int, n_tracks: int) -> Work:
        """Work on an engine; where this is the machine, its cores are shared among the workers.

        Raises:
            UsageError: `jobs` is given.
        """
        if jobs:
            raise UsageError("--jobs is of processes here; give --workers beside --run-on")
        n_cores = usable_threads() if place.address is None else 1
        n_threads = threads or max(1, n_cores // place.count(n_tracks))
        return cls(n_processes=place.count(n_tracks), n_threads=n_threads, place=place)


def chosen_metrics(names: str | None, output: Path | None) -> tuple[str, ...]:
    """Return the metrics to measure.

    Raises:
        UsageError: There is no such metric.
    """
    from stemlight.evaluation import METRICS, metric_named

    if names == "all" or (names is None and output is not None):
        return tuple(METRICS)
    if names is None:
        return ("sdr",)
    chosen = dict.fromkeys(name.strip() for name in names.split(",") if name.strip())
    if not chosen:
        raise UsageError(f"--metrics names no metric; choose from {', '.join(METRICS)}")
    return tuple(metric_named(name).name for name in chosen)


def refuse_output(output: Path | None) -> None:
    """Refuse a folder that could not be written after all the work.

    Raises:
        UsageError: it is a file.
        MissingExtraError: what is written there needs a package that is not installed.
    """
    if output is None:
        return
    if output.exists() and not output.is_dir():
        raise UsageError(f"--output {output} is a file; name a folder")
    from stemlight.comparison import check_extra

    check_extra()


def find_data(options: DataOptions, stems: Sequence[str]) -> list[TrackFiles]:
    """Find the tracks that have one of the stems.

    Raises:
        InputError: There are none, or `only` names one that is not there.
        UsageError: There is no such split.
    """
    from stemlight.comparison import reference_stems
    from stemlight.tracks import find_split, find_tracks

    def find(sources: Sequence[str]) -> list[TrackFiles]:
        if options.split is None:
            return find_tracks(options.root, sources=sources)
        return find_split(options.root, options.split, sources=sources)  # type: ignore[arg-type]

    found = [track for track in find(reference_stems(stems)) if set(track.sources) & set(stems)]
    return _selected(found or find(stems), options)


def subset_of(split: str | None) -> str:
    """Return the half of MUSDB18 that a split belongs to, as museval's files lie."""
    return "train" if split in ("train", "valid") else "test"


@contextlib.contextmanager
def working(
    options: ModelOptions, systems: Sequence[System], work: Work, interrupts: Interrupts
) -> Iterator[Workers]:
    """Give workers that show their progress."""
    from stemlight.cli.systems import open_system
    from stemlight.comparison import Workers

    with track_progress(is_done=True) as tell, contextlib.ExitStack() as opened:
        watcher: Watcher = _Watch(interrupts, tell)
        spread = None
        if work.place is not None:
            spread = opened.enter_context(
                work.place.opened(
                    interrupts,
                    work.n_processes,
                    n_threads=work.n_threads,
                    has_gpu=options.device == "cuda",
                )
            )
        yield Workers(
            open_system=partial(open_system, replace(options, n_threads=work.n_threads)),
            opened=tuple(systems),
            n_processes=work.n_processes,
            n_threads=work.n_threads,
            spread=spread,
            watcher=watcher,
        )


def write(findings: Findings, workers: Workers) -> None:
    """Write all files, and say where they are."""
    from stemlight.comparison import write_findings

    note("writing the report")
    note(f"report: {write_findings(findings, workers)}")


def print_table(table: Table) -> None:
    """Print a table and what belongs beside its numbers."""
    texts = [
        column
        for column, name in enumerate(table.head)
        if name in ("track", "system", "metric", "first", "second", "stem", "verdict")
    ]
    for line in aligned([table.head, *table.rows], left=texts):
        print_result(line)
    print_result("")
    print_result(table.label)


class _Watch:
    def __init__(self, interrupts: Interrupts, tell: Callable[[str, int, int], None]) -> None:
        self._interrupts = interrupts
        self._tell = tell

    def check(self) -> None:
        self._interrupts.check()

    def finished(self, name: str, n_done: int, n_all: int) -> None:
        self._tell(name, n_done, n_all)


def _selected(tracks: list[TrackFiles], options: DataOptions) -> list[TrackFiles]:
    if options.only is None:
        return tracks
    try:
        lines = options.only.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise InputError(f"cannot read {options.only}: {reason}") from error
    names = {line.strip() for line in lines if line.strip()}
    if not names:
        raise InputError(f"{options.only} names no track; write one name per line")
    known = [track.name for track in tracks]
    for name in sorted(names - set(known)):
        raise InputError(
            f"{options.root} has no track {name!r} of {options.only}{did_you_mean(name, known)}"
        )
    return [track for track in tracks if track.name in names]
