"""`stemlight data`: looks after music with ground-truth stems."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemlight._version import __version__
from stemlight.cli.console import (
    aligned,
    complain,
    note,
    print_result,
    refuse_lost_report,
    track_progress,
    with_extra,
    write_json,
)
from stemlight.cli.interrupts import Interrupts
from stemlight.cli.spreading import AddressOption, Place, RunOnOption, WorkersOption
from stemlight.cli.synthesis import synth
from stemlight.errors import InputError, UsageError

if TYPE_CHECKING:
    from stemlight.tracks import DataCheck, TrackFiles, TrackMeasures
    from stemlight.training.shards import Preparation

__all__ = ["check", "data_app", "prepare"]

_FAILED = 1

_SUM_NOTE = (
    "sum: energy of the mixture over that of what the stems lack of it; lossless files reach 40 dB",
    "and more. A lossy mixture is an encoding of its own: 20 to 35 dB are usual, and no error.",
    "In brackets: a stem is missing, so that the rest is accompaniment.",
)

_Split = Annotated[
    str | None,
    typer.Option(
        metavar="train|valid|test",
        help="Take this split of MUSDB18; PATH is the folder that holds its train and test.",
    ),
]

data_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Look after music with ground-truth stems.",
)


@data_app.callback()
def _common() -> None:
    pass


data_app.command()(synth)


@data_app.command()
def check(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            help="A folder of tracks: STEM mp4 files, folders with a file a stem, or stems.yaml.",
        ),
    ],
    sources: Annotated[
        str, typer.Option(metavar="NAMES", help="The stems that a whole track has.")
    ] = "vocals,drums,bass,other",
    split: _Split = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write all measures as JSON, too.")
    ] = None,
) -> None:
    """Read all tracks once; tell what is missing, silent, clipped, doubled or does not add up.

    Percents are the share of seconds below -60 dB. What cannot be read gets a line on standard
    error, and the exit code is 1; other findings leave it at 0.
    """
    names = _source_names(sources)
    refuse_lost_report(report)

    from stemlight.tracks import check_tracks

    refused: list[str] = []

    def refuse(error: InputError) -> None:
        complain(str(error))
        refused.append(str(error))

    tracks = _found_tracks(path, names, split, refuse)
    with Interrupts() as interrupts:
        n_begun = 0

        def begin(name: str) -> None:
            nonlocal n_begun
            interrupts.check()
            n_begun += 1
            note(f"[{n_begun}/{len(tracks)}] {_shown(name)}")

        result = check_tracks(tracks, names, on_track=begin)
        interrupts.check()
    for line in [*_table(result), "", *_SUM_NOTE, "", *_found(result), *_totals(result)]:
        print_result(line)
    unreadable = [finding for finding in result.findings if finding.kind == "unreadable"]
    for finding in unreadable:
        complain(f"{finding.track}: {finding.text}")
    write_json(report, {"stemlight": __version__, **result.to_json(), "refused": refused})
    if refused or unreadable:
        raise typer.Exit(_FAILED)


@data_app.command()
def prepare(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Folders of tracks, as of `stemlight data check`."),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FOLDER", help="Where the shards go.")
    ],
    sources: Annotated[
        str, typer.Option(metavar="NAMES", help="The stems that a whole track has.")
    ] = "vocals,drums,bass,other",
    split: _Split = None,
    sample_rate: Annotated[
        int, typer.Option(metavar="HZ", min=1000, max=384_000, help="What to resample to.")
    ] = 44_100,
    format: Annotated[
        str, typer.Option(metavar="int16|float16", help="How samples are stored.")
    ] = "int16",
    run_on: RunOnOption = None,
    workers: WorkersOption = 0,
    address: AddressOption = None,
) -> None:
    """Decode tracks once, into shards that training maps into memory.

    FOLDER then holds these tracks and no others. A second call does what is new or has changed; one
    that was ended goes on. Of tracks that lack one of the NAMES the mixture is kept, too. What
    cannot be read gets a line on standard error, and the exit code is 1. Needs the extra `train`.
    --run-on ray needs the extra `scale`, and workers that reach PATH and FOLDER as they are here.
    """
    place = Place.asked(run_on, workers, address)
    names = _source_names(sources)
    if format not in ("int16", "float16"):
        raise UsageError(f"--format must be int16 or float16, not {format!r}")
    with with_extra("train", "preparing tracks"):
        from stemlight.training.shards import ShardOptions, prepare_tracks

    n_failed = 0

    def fail(line: str) -> None:
        nonlocal n_failed
        n_failed += 1
        complain(line)

    tracks = []
    for path in paths:
        tracks += _found_tracks(path, names, split, lambda error: fail(str(error)))
    options = ShardOptions(
        sample_rate_hz=sample_rate,
        sample_format=format,  # type: ignore[arg-type]
        sources=tuple(names),
    )
    with Interrupts() as interrupts, contextlib.ExitStack() as waiting:
        with track_progress() as show, contextlib.ExitStack() as working:

            def wait() -> None:
                note(f"another process prepares {_shown(str(output))}; waiting for it")
                waiting.enter_context(interrupts.at_once())

            spread = None
            if place is not None:
                spread = working.enter_context(place.opened(interrupts, len(tracks)))

            def begin(name: str, number: int, n_tracks: int) -> None:
                waiting.close()
                interrupts.check()
                show(_shown(name), number, n_tracks)

            result = prepare_tracks(
                tracks,
                output,
                options,
                on_track=begin,
                on_failed=lambda name, error: fail(f"{_shown(name)}: {error}"),
                on_wait=wait,
                spread=spread,
            )
        interrupts.check()
    for line in _prepared(result, output, names, sample_rate):
        print_result(line)
    if n_failed:
        raise typer.Exit(_FAILED)


def _source_names(sources: str) -> list[str]:
    names = [name.strip() for name in sources.split(",")]
    if not all(names):
        raise UsageError(f"--sources needs names with commas between them, not {sources!r}")
    return names


def _found_tracks(
    path: Path, sources: list[str], split: str | None, on_refused: Callable[[InputError], None]
) -> list[TrackFiles]:
    from stemlight.tracks import find_split, find_tracks

    if split is None:
        return find_tracks(path, sources=sources, on_refused=on_refused)
    return find_split(path, split, sources=sources, on_refused=on_refused)  # type: ignore[arg-type]


def _prepared(
    result: Preparation, folder: Path, sources: list[str], sample_rate_hz: int
) -> list[str]:
    """Say what was done, and what there is now."""
    from stemlight.training.shards import open_prepared

    tracks = open_prepared(folder)
    n_seconds = sum(track.n_samples for track in tracks) / sample_rate_hz
    n_bytes = sum(path.stat().st_size for path in folder.glob("shard-*.bin"))
    partial = [track for track in tracks if not set(sources) <= set(track.stems)]
    n_own = sum(track.mixture is not None for track in partial)
    counts = {
        "decoded": len(result.decoded),
        "there before": len(result.kept),
        "dropped": len(result.dropped),
        "failed": len(result.failed),
    }
    done = ", ".join(f"{n} {what}" for what, n in counts.items() if n) or "none"
    facts = [
        ["tracks", f"{len(tracks)} ({done})"],
        ["hours", f"{n_seconds / 3600:.2f} ({n_seconds:.1f} s)"],
        [
            "whole",
            f"{len(tracks) - len(partial)}; {len(partial)} lack stems, {n_own} of them have "
            "a mixture",
        ],
        ["stored", f"{n_bytes / 1e6:.1f} MB in {_shown(str(folder))}"],
    ]
    return aligned(facts, left=(0, 1))


def _table(result: DataCheck) -> list[str]:
    known = [name for track in result.tracks for name in track.stems]
    stems = list(dict.fromkeys([*result.sources, *known]))
    rows = [["track", "seconds", "Hz", *stems, "sum"]]
    for track in result.tracks:
        rates = "+".join(map(str, track.sample_rates_hz)) or "-"
        cells = [_stem_cell(track, name) for name in stems]
        sum_cell = _sum_cell(track, result.sources)
        rows.append([_shown(track.name), f"{track.duration_seconds:.2f}", rates, *cells, sum_cell])
    return aligned(rows)


def _stem_cell(track: TrackMeasures, name: str) -> str:
    if name not in track.stems:
        return "missing"
    stem = track.stems[name]
    if stem.is_known_silent:
        return "none"
    if stem.faults:
        return "unreadable"
    return "silent" if stem.is_silent else f"{100 * stem.silent_share:.0f} %"


def _sum_cell(track: TrackMeasures, sources: tuple[str, ...]) -> str:
    if track.sum_db is None:
        return "-"
    text = "exact" if math.isinf(track.sum_db) else f"{track.sum_db:.1f} dB"
    return text if set(sources) <= set(track.stems) else f"[{text}]"


def _found(result: DataCheck) -> list[str]:
    """Tell all findings but those that are failures and go to standard error."""
    found = [finding for finding in result.findings if finding.kind != "unreadable"]
    rows = [[finding.kind, _shown(finding.track), finding.text] for finding in found]
    return [*aligned(rows, left=(0, 1, 2)), ""] if rows else []


def _shown(name: str) -> str:
    """Escape what would break a line."""
    from stemlight.audio.wording import shown

    return shown(name)


def _totals(result: DataCheck) -> list[str]:
    n_seconds = result.duration_seconds
    rates = ", ".join(f"{n} of {rate} Hz" for rate, n in result.n_tracks_of_rate.items())
    kinds = [finding.kind for finding in result.findings]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    facts = [
        ["tracks", f"{len(result.tracks)}{f' ({rates})' if rates else ''}"],
        ["hours", f"{n_seconds / 3600:.2f} ({n_seconds:.1f} s)"],
        ["findings", counts or "none"],
    ]
    return aligned(facts, left=(0, 1))
