"""`stemlight data`: looks after music with ground-truth stems."""

from __future__ import annotations

import math
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
    write_json,
)
from stemlight.cli.interrupts import Interrupts
from stemlight.errors import InputError, UsageError

if TYPE_CHECKING:
    from stemlight.tracks import DataCheck, TrackMeasures

__all__ = ["check", "data_app"]

_FAILED = 1

_SUM_NOTE = (
    "sum: energy of the mixture over that of what the stems lack of it; lossless files reach 40 dB",
    "and more. A lossy mixture is an encoding of its own: 20 to 35 dB are usual, and no error.",
    "In brackets: a stem is missing, so that the rest is accompaniment.",
)

data_app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Look after music with ground-truth stems.",
)


@data_app.callback()
def _common() -> None:
    pass


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
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write all measures as JSON, too.")
    ] = None,
) -> None:
    """Read all tracks once; tell what is missing, silent, clipped, doubled or does not add up.

    Percents are the share of seconds below -60 dB. What cannot be read gets a line on standard
    error, and the exit code is 1; other findings leave it at 0.
    """
    names = [name.strip() for name in sources.split(",")]
    if not all(names):
        raise UsageError(f"--sources needs names with commas between them, not {sources!r}")
    refuse_lost_report(report)

    from stemlight.tracks import check_tracks, find_tracks

    refused: list[str] = []

    def refuse(error: InputError) -> None:
        complain(str(error))
        refused.append(str(error))

    tracks = find_tracks(path, sources=names, on_refused=refuse)
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
