"""Tables of scores: as the papers print them, and as programs read them."""

from __future__ import annotations

import csv
import importlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stemlight._version import __version__
from stemlight.comparison.records import TrackRecord
from stemlight.comparison.statistics import AVERAGE, PairedDifference
from stemlight.errors import MissingExtraError
from stemlight.evaluation import METRICS, Metric, Summary, summarise

__all__ = [
    "Table",
    "csv_text",
    "difference_table",
    "differences_csv",
    "formatted",
    "markdown",
    "parquet_bytes",
    "score_table",
    "track_table",
]

MISSING = "-"

_COLUMNS = (
    "system",
    "track",
    "stem",
    "metric",
    "version",
    "unit",
    "aggregation",
    "value",
    "data_hash",
    "stemlight",
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as text, and what belongs beside them: metric, version, aggregation, data."""

    label: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def formatted(metric: Metric, value: float, *, signed: bool = False) -> str:
    """Return a number with as many digits as its unit deserves."""
    if math.isnan(value):
        return MISSING
    digits = 3 if metric.unit == "ratio" else 2
    return f"{value:{'+' if signed else ''}.{digits}f}"


def score_table(
    metric: Metric, records: Mapping[str, Sequence[TrackRecord]], stems: Sequence[str]
) -> Table:
    """Return the papers' table: a row for each system, a column for each stem, and their mean.

    A system that lacks a stem has no mean: it would be one of other things.
    """
    summaries = {
        name: summarise([record.metrics for record in found], metric.name)
        for name, found in records.items()
    }
    rows = [
        (
            name,
            *(formatted(metric, summary.stems.get(stem, math.nan)) for stem in stems),
            formatted(metric, _average(summary, stems)),
        )
        for name, summary in summaries.items()
    ]
    label = next(iter(summaries.values())).label
    return Table(label=label, head=("system", *stems, AVERAGE), rows=tuple(rows))


def track_table(
    metric: Metric, records: Mapping[str, Sequence[TrackRecord]], stems: Sequence[str]
) -> Table:
    """Return the scores of every track by every system."""
    shown = summarise([record.metrics for record in next(iter(records.values()))], metric.name)
    rows = [
        (
            record.metrics.name,
            name,
            *(
                formatted(metric, record.metrics.stems[stem].values[metric.name])
                if stem in record.metrics.stems
                else MISSING
                for stem in stems
            ),
        )
        for track in zip(*records.values(), strict=True)
        for name, record in zip(records, track, strict=True)
    ]
    how = f"{metric.over_frames} over 1 s frames, " if metric.over_frames else ""
    label = (
        f"{metric.name} v{metric.version} [{metric.unit}], {how}each track, "
        f"data {shown.data_hash[:12]}"
    )
    return Table(label=label, head=("track", "system", *stems), rows=tuple(rows))


def difference_table(differences: Sequence[PairedDifference]) -> Table:
    """Return paired differences of one metric: mean, median, their intervals, and a verdict."""
    return Table(
        label=differences[0].label,
        head=(
            "first",
            "second",
            "stem",
            "verdict",
            "mean",
            "95 % of mean",
            "median",
            "95 % of median",
            "first ahead in",
        ),
        rows=tuple(
            (
                each.first,
                each.second,
                each.stem,
                each.verdict,
                formatted(each.metric, each.mean, signed=True),
                _interval(each.metric, each.mean_interval),
                formatted(each.metric, each.median, signed=True),
                _interval(each.metric, each.median_interval),
                f"{each.n_better} of {each.n_tracks}",
            )
            for each in differences
        ),
    )


def markdown(table: Table) -> str:
    """Return a table in Markdown under its label; what is text stands left, numbers right."""
    is_text = [
        any(row[i] and not _is_number(row[i]) for row in table.rows) or i == 0
        for i in range(len(table.head))
    ]
    lines = [table.head, tuple("---" if text else "---:" for text in is_text), *table.rows]
    cells = [[_escaped(cell) for cell in line] for line in lines]
    body = "\n".join(f"| {' | '.join(line)} |" for line in cells)
    return f"{_escaped(table.label)}\n\n{body}\n"


def csv_text(records: Mapping[str, Sequence[TrackRecord]]) -> str:
    """Return one line for each system, track, stem and metric; a missing value is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for row in _long_rows(records):
        value = row["value"]
        row["value"] = "" if math.isnan(value) else repr(value)
        writer.writerow(row.values())
    return file.getvalue()


def parquet_bytes(records: Mapping[str, Sequence[TrackRecord]]) -> bytes:
    """Return the same rows as a Parquet file, in which a value that is not there is null.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        arrow = importlib.import_module("pyarrow")
        parquet = importlib.import_module("pyarrow.parquet")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"writing Parquet needs {error.name}, which is not installed; "
            "run: pip install 'stemlight[evaluate]'"
        ) from error
    rows = list(_long_rows(records))
    columns: dict[str, list[Any]] = {name: [row[name] for row in rows] for name in _COLUMNS}
    columns["value"] = [None if math.isnan(value) else value for value in columns["value"]]
    types = {"version": arrow.int32(), "value": arrow.float64()}
    schema = arrow.schema([(name, types.get(name, arrow.string())) for name in _COLUMNS])
    file = io.BytesIO()
    parquet.write_table(arrow.table(columns, schema=schema), file)
    return file.getvalue()


def differences_csv(differences: Sequence[PairedDifference]) -> str:
    """Return one line for each pair, stem and metric, with all digits."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        (
            *("metric", "version", "unit", "first", "second", "stem", "tracks", "first_ahead"),
            *("mean", "mean_low", "mean_high", "median", "median_low", "median_high"),
            *("is_real", "data_hash"),
        )
    )
    for each in differences:
        numbers = (each.mean, *each.mean_interval, each.median, *each.median_interval)
        writer.writerow(
            (
                *(each.metric.name, each.metric.version, each.metric.unit),
                *(each.first, each.second, each.stem, each.n_tracks, each.n_better),
                *("" if math.isnan(number) else repr(number) for number in numbers),
                *(each.is_real, each.data_hash),
            )
        )
    return file.getvalue()


def _long_rows(records: Mapping[str, Sequence[TrackRecord]]) -> Iterator[dict[str, Any]]:
    for system, found in records.items():
        for record in found:
            for stem, metrics in record.metrics.stems.items():
                for name, value in metrics.values.items():
                    metric = METRICS[name]
                    how = metric.over_frames
                    yield {
                        "system": system,
                        "track": record.metrics.name,
                        "stem": stem,
                        "metric": name,
                        "version": metric.version,
                        "unit": metric.unit,
                        "aggregation": f"{how} over 1 s frames" if how else "whole track",
                        "value": value,
                        "data_hash": record.metrics.data_hash,
                        "stemlight": __version__,
                    }


def _average(summary: Summary, stems: Sequence[str]) -> float:
    values = [summary.stems.get(stem, math.nan) for stem in stems]
    return summary.average if not any(map(math.isnan, values)) else math.nan


def _interval(metric: Metric, interval: tuple[float, float]) -> str:
    low, high = (formatted(metric, each, signed=True) for each in interval)
    return MISSING if MISSING in (low, high) else f"[{low}, {high}]"


def _is_number(cell: str) -> bool:
    return cell == MISSING or cell.lstrip("+-[").replace(".", "", 1)[:1].isdigit()


def _escaped(cell: str) -> str:
    """Keep names from ending a cell or becoming markup."""
    for letter in "\\|<>*_`[]":
        if letter in "[]" and _is_number(cell):
            continue
        cell = cell.replace(letter, f"\\{letter}")
    return " ".join(cell.split())
