"""Writes all that is known of a run into its folder, the same bytes for the same scores."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemlight._version import __version__
from stemlight.comparison.moments import (
    Moment,
    differing_moments,
    extreme_moments,
    moment_metric,
    players_of,
)
from stemlight.comparison.records import TrackRecord, file_name, write_file
from stemlight.comparison.report import BoxPlot, PlayedMoment, Report, report_html
from stemlight.comparison.running import ScoredTrack, Scoring
from stemlight.comparison.statistics import all_differences
from stemlight.comparison.tables import (
    Table,
    csv_text,
    difference_table,
    differences_csv,
    markdown,
    parquet_bytes,
    score_table,
    track_table,
)
from stemlight.comparison.workers import Workers
from stemlight.errors import MissingExtraError
from stemlight.evaluation import BSS_METRICS, METRICS, data_hash, museval_json

__all__ = ["Findings", "check_extra", "main_metrics", "write_findings"]

_MAIN_METRICS = ("sdr", "bss-sdr")
_MUSEVAL_FOLDER = "museval"


@dataclass(frozen=True, kw_only=True)
class Findings:
    """A run that is done: what was scored, how, and what came out."""

    scoring: Scoring
    tracks: Sequence[ScoredTrack]
    records: Mapping[str, Sequence[TrackRecord]]
    data: str
    """What the data are called."""

    subset: str = "test"
    """The folder of museval's JSON: it looks for test."""

    is_comparison: bool = False


def check_extra() -> None:
    """Refuse a run that could not be written for want of a package.

    Raises:
        MissingExtraError: matplotlib or pyarrow is not installed.
    """
    for package in ("matplotlib", "pyarrow"):
        try:
            importlib.import_module(package)
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"--output needs {error.name}, which is not installed; "
                "run: pip install 'stemlight[evaluate]'"
            ) from error


def main_metrics(metrics: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics that are shown first: SDR of both kinds, or all if there is neither."""
    return tuple(name for name in _MAIN_METRICS if name in metrics) or tuple(metrics)


def write_findings(findings: Findings, workers: Workers) -> Path:
    """Write tables, pictures, museval's JSON and the report; return the report's path.

    Raises:
        OutputError: a file cannot be written.
        StemlightError: a track cannot be separated once more for its players.
    """
    scoring = findings.scoring
    folder = scoring.folder
    assert folder is not None, "asked for without a folder"
    _write_museval(findings, folder)
    scores, differences = _score_tables(findings), _difference_tables(findings, folder)
    write_file(folder / "scores.csv", csv_text(findings.records))
    write_file(folder / "scores.parquet", parquet_bytes(findings.records))
    tables = [*scores, *differences]
    write_file(folder / "scores.md", "\n".join(markdown(table) for table in tables))
    plots = _write_plots(findings, folder)
    moments = _moments(findings)
    players = players_of(moments, findings.records, findings.tracks, workers, folder)
    durations = {
        record.metrics.name: record.metrics.duration_seconds
        for record in next(iter(findings.records.values()))
    }
    report = Report(
        title=_title(findings),
        facts=_facts(findings),
        scores=scores,
        n_shown=len(main_metrics(scoring.metrics)),
        differences=differences,
        plots=plots,
        moments=[
            PlayedMoment(moment=moment, duration_seconds=durations[moment.track], players=of_moment)
            for moment, of_moment in zip(moments, players, strict=True)
        ],
        why_no_moments=_why_no_moments(findings),
        tracks=[
            track_table(METRICS[name], findings.records, scoring.stems)
            for name in main_metrics(scoring.metrics)
        ],
        metrics=scoring.metrics,
    )
    path = folder / "report.html"
    write_file(path, report_html(report))
    return path


def _in_order(metrics: Sequence[str]) -> list[str]:
    """Return the metrics, those that are shown first in front."""
    return list(dict.fromkeys((*main_metrics(metrics), *metrics)))


def _score_tables(findings: Findings) -> list[Table]:
    return [
        score_table(METRICS[name], findings.records, findings.scoring.stems)
        for name in _in_order(findings.scoring.metrics)
    ]


def _difference_tables(findings: Findings, folder: Path) -> list[Table]:
    if not findings.is_comparison:
        return []
    found = [
        all_differences(METRICS[name], findings.records, findings.scoring.stems)
        for name in _in_order(findings.scoring.metrics)
    ]
    write_file(folder / "differences.csv", differences_csv([d for each in found for d in each]))
    return [difference_table(each) for each in found if each]


def _write_museval(findings: Findings, folder: Path) -> None:
    if not set(BSS_METRICS) <= set(findings.scoring.metrics):
        return
    for name, records in findings.records.items():
        place = folder / _MUSEVAL_FOLDER / file_name(name) / findings.subset
        for record in records:
            content = json.dumps(museval_json(record.metrics), indent=2)  # with NaN, as museval's
            write_file(place / f"{file_name(record.metrics.name)}.json", content + "\n")


def _write_plots(findings: Findings, folder: Path) -> list[BoxPlot]:
    from stemlight.comparison.plots import DARK, LIGHT, box_figure, png_bytes

    metric = METRICS[main_metrics(findings.scoring.metrics)[0]]
    plots = []
    for stem in findings.scoring.stems:
        light, dark = (
            png_bytes(box_figure(metric, findings.records, stem, ink)) for ink in (LIGHT, DARK)
        )
        write_file(folder / f"boxes-{file_name(stem)}.png", light)
        title = f"Box plot of {metric.name} of {stem} for each system"
        plots.append(BoxPlot(title=title, light=light, dark=dark))
    return plots


def _moments(findings: Findings) -> list[Moment]:
    metric = moment_metric(_in_order(findings.scoring.metrics))
    if metric is None:
        return []
    records, stems = findings.records, findings.scoring.stems
    if findings.is_comparison:
        return differing_moments(metric, records, stems)
    n_each = 2 if len(records) == 1 else 1
    return [
        moment
        for found in records.values()
        for stem in stems
        for moment in extreme_moments(metric, found, stem, n_each=n_each)
    ]


def _why_no_moments(findings: Findings) -> str:
    if moment_metric(findings.scoring.metrics) is None:
        return "No metric was measured second by second; csdr or bss-sdr is one."
    return "No second has a score."


def _title(findings: Findings) -> str:
    names = list(findings.records)
    if findings.is_comparison:
        return f"{', '.join(names[:-1])} and {names[-1]}, compared"
    return f"Scores of {', '.join(names)}"


def _facts(findings: Findings) -> list[str]:
    records = next(iter(findings.records.values()))
    seconds = sum(record.metrics.duration_seconds for record in records)
    hashes = {record.metrics.name: record.metrics.data_hash for record in records}
    return [
        f"{len(records)} tracks of {findings.data}, {seconds / 60:.1f} minutes; "
        f"data {data_hash(hashes)}; stemlight {__version__}"
    ]
