"""`stemlight evaluate`: separates whole tracks, and scores the stems against the true ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemlight._version import __version__
from stemlight.cli.console import aligned, print_result, refuse_lost_report, with_extra, write_json
from stemlight.cli.interrupts import Interrupts
from stemlight.cli.scoring import (
    DataOption,
    DataOptions,
    DeviceOption,
    EngineOption,
    JobsOption,
    MetricsOption,
    OnlyOption,
    OutputOption,
    PrecisionOption,
    SplitOption,
    ThreadsOption,
    Work,
    chosen_metrics,
    find_data,
    print_table,
    refuse_output,
    subset_of,
    working,
    write,
)
from stemlight.cli.spreading import AddressOption, Place, RunOnOption, WorkersOption
from stemlight.cli.systems import ESTIMATES, ModelOptions, open_systems
from stemlight.errors import UsageError

if TYPE_CHECKING:
    from stemlight.comparison import ScoredTrack, System, Table, TrackRecord
    from stemlight.evaluation import Metric, Summary

__all__ = ["evaluate"]

_MIXTURE = "mixture"

Records = Mapping[str, "Sequence[TrackRecord]"]


# Twenty parameters: a command has one for each of its options.
def evaluate(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Models by name or folder; demucs:NAME, openunmix:NAME, mixture, hpss, "
            "oracle-irm. [stemlight]",
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="The same; repeatable.")
    ] = None,
    estimates: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR",
            help="Score what another program made: DIR/TRACK/STEM.wav; repeatable.",
        ),
    ] = None,
    data: DataOption = None,
    split: SplitOption = None,
    only: OnlyOption = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="RECIPE", help="Take this recipe's validation tracks.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeatable."
        ),
    ] = None,
    metrics: MetricsOption = None,
    output: OutputOption = None,
    jobs: JobsOption = 0,
    engine: EngineOption = "onnx",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    threads: ThreadsOption = 0,
    run_on: RunOnOption = None,
    workers: WorkersOption = 0,
    address: AddressOption = None,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write all scores as JSON, too.")
    ] = None,
) -> None:
    """Separate whole tracks and score the stems against the true ones.

    Give --data, or --recipe, which needs the extra `train`. --output needs the extra `evaluate`; a
    run that was ended goes on there, and tracks that are done are not separated again. --run-on ray
    needs the extra `scale`; workers read the tracks by the paths that they have here.

    docs/metrics.md says what each metric means.
    """
    source = _Source(data=data, split=split, only=only, recipe=recipe, settings=settings or [])
    place = Place.asked(run_on, workers, address)
    if place is not None and recipe is not None:
        raise UsageError("--run-on belongs to --data; tracks of a recipe may be in memory here")
    source.check()
    refuse_lost_report(report)
    chosen = chosen_metrics(metrics, output)
    refuse_output(output)

    from stemlight.comparison import Findings, Scoring, score_tracks, scored_stems

    names = [*(models or ()), *(model or ()), *(f"{ESTIMATES}{each}" for each in estimates or ())]
    options = ModelOptions(engine=engine, device=device, precision=precision, n_threads=threads)
    systems = open_systems(options, names or ["stemlight"])
    stems = scored_stems(systems)
    tracks = source.tracks(systems, stems)
    is_one = len(systems) == 1
    if is_one and chosen == ("sdr",) and systems[0].name != _MIXTURE:
        systems += open_systems(options, [_MIXTURE])
    if place is None:
        work = Work.choose(jobs, threads, options, len(tracks))
    else:
        work = Work.elsewhere(place, jobs, threads, len(tracks))
    if recipe is not None:  # whose tracks may be in memory, and do not travel
        work = Work(n_processes=1, n_threads=work.n_threads if threads else 0)
    scoring = Scoring(
        systems=tuple(system.name for system in systems),
        stems=stems,
        metrics=chosen,
        folder=output,
        n_threads=work.n_threads,
    )
    with Interrupts() as interrupts, working(options, systems, work, interrupts) as hands:
        records = score_tracks(scoring, tracks, hands)
        if output is not None:
            where = source.name
            findings = Findings(
                scoring=scoring,
                tracks=tracks,
                records=records,
                data=where,
                subset=subset_of(split),
            )
            write(findings, hands)
    _print(records, stems, chosen, is_one=is_one, is_chosen=metrics is not None)
    if report is not None:
        facts = {"engine": engine, "device": device, "precision": precision}
        write_json(report, {"stemlight": __version__, **facts, **_plain(records, chosen, is_one)})


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where tracks come from."""

    data: Path | None
    split: str | None
    only: Path | None
    recipe: Path | None
    settings: list[str]

    @property
    def name(self) -> str:
        """What a report calls the tracks."""
        return f"{self.data or self.recipe}{f', split {self.split}' if self.split else ''}"

    def check(self) -> None:
        """Refuse what does not go together."""
        if (self.data is None) == (self.recipe is None):
            raise UsageError("give either --data PATH or --recipe RECIPE")
        if self.recipe is not None and (self.only is not None or self.split is not None):
            option = "--only" if self.only is not None else "--split"
            raise UsageError(f"{option} belongs to --data; a recipe names its tracks itself")
        if self.settings and self.recipe is None:
            raise UsageError("--set belongs to --recipe")

    def tracks(self, systems: Sequence[System], stems: tuple[str, ...]) -> list[ScoredTrack]:
        """Find the tracks, without reading them."""
        from stemlight.comparison import reference_stems, scored_tracks

        if self.data is None:
            return self._of_recipe(systems)
        options = DataOptions(root=self.data, split=self.split, only=self.only)
        return scored_tracks(find_data(options, stems), reference_stems(stems), self.data)

    def _of_recipe(self, systems: Sequence[System]) -> list[ScoredTrack]:
        from stemlight.comparison import ModelSystem, ScoredTrack

        assert self.recipe is not None, "checked before"
        with with_extra("train", "reading a recipe"):
            from stemlight.training.data import find_recipe_tracks, mixed_sources
            from stemlight.training.recipe import read_recipe
        if len(systems) > 1 or not isinstance(systems[0], ModelSystem):
            raise UsageError("--recipe takes one model; give --data to score several systems")
        separator = systems[0]
        content = read_recipe(self.recipe, self.settings)
        data, mixed = content.data, mixed_sources(content, separator.sources)
        rate_hz = separator.sample_rate_hz
        return [
            ScoredTrack(track=track, references=separator.sources, sample_rate_hz=rate_hz)
            for track in find_recipe_tracks(data, data.validation, mixed, sample_rate_hz=rate_hz)
        ]


def _print(
    records: Records, stems: Sequence[str], metrics: Sequence[str], *, is_one: bool, is_chosen: bool
) -> None:
    from stemlight.comparison import main_metrics, score_table
    from stemlight.evaluation import METRICS

    printed = metrics if is_chosen else main_metrics(metrics)
    if not is_one:
        for number, name in enumerate(printed):
            if number:
                print_result("")
            print_table(score_table(METRICS[name], records, stems))
        return
    for line in _track_lines(METRICS[printed[0]], records, stems):
        print_result(line)
    if len(printed) > 1:
        print_result("")
        print_table(_metric_table(printed, next(iter(records.values())), stems))


def _track_lines(metric: Metric, records: Records, stems: Sequence[str]) -> list[str]:
    """Return one model's table: a row for each track, their mean, and what that is to be above."""
    from stemlight.comparison import formatted

    found, *others = records.values()
    summary = _summary(found, metric.name)

    def row(title: str, values: Mapping[str, float], average: str) -> list[str]:
        return [
            title,
            *(formatted(metric, values.get(stem, math.nan)) for stem in stems),
            average,
        ]

    rows = [["track", *stems, "average"]]
    for record in found:
        values = {s: each.values[metric.name] for s, each in record.metrics.stems.items()}
        rows.append(row(record.metrics.name, values, ""))
    mean = f"{summary.over_tracks} over tracks"
    rows.append(row(mean, summary.stems, formatted(metric, summary.average)))
    for baseline in others:
        below = _summary(baseline, metric.name)
        rows.append(row("(mixture as estimate)", below.stems, formatted(metric, below.average)))
    if metric.name == "sdr":
        silent = {stem: 0.0 for stem, value in summary.stems.items() if not math.isnan(value)}
        rows.append(row("(silence)", silent, formatted(metric, 0.0)))
    lines = aligned(rows)
    lines.insert(1 + len(found), "-" * max(map(len, lines)))
    return [*lines, "", f"{summary.label}: {metric.description}"]


def _metric_table(
    metrics: Sequence[str], found: Sequence[TrackRecord], stems: Sequence[str]
) -> Table:
    """Return a row for each metric of one model."""
    from stemlight.comparison import AVERAGE, Table, formatted

    rows, data = [], ""
    for name in metrics:
        summary = _summary(found, name)
        title, _, data = summary.label.rpartition(", ")
        values = [formatted(summary.metric, summary.stems.get(s, math.nan)) for s in stems]
        rows.append((title, *values, formatted(summary.metric, summary.average)))
    return Table(label=data, head=("metric", *stems, AVERAGE), rows=tuple(rows))


def _summary(found: Sequence[TrackRecord], metric: str) -> Summary:
    from stemlight.evaluation import summarise

    return summarise([record.metrics for record in found], metric)


def _plain(records: Records, metrics: Sequence[str], is_one: bool) -> dict[str, Any]:
    """Return all scores; of one model its SDR comes first, as short as it can be said."""
    plain: dict[str, Any] = {}
    if is_one and "sdr" in metrics:
        (name, found), *others = records.items()
        plain = {"model": name, "metric": _summary(found, "sdr").label, **_plain_sdr(found)}
        for _, baseline in others:
            plain["mixture_as_estimate"] = _plain_sdr(baseline)
    plain["systems"] = {
        name: {metric: _plain_summary(_summary(found, metric)) for metric in metrics}
        for name, found in records.items()
    }
    return plain


def _plain_summary(summary: Summary) -> dict[str, Any]:
    return {
        "title": summary.metric.titled(summary.over_frames, summary.over_tracks, summary.n_tracks),
        "data_hash": summary.data_hash,
        "stems": _finite(summary.stems),
        "average": summary.average if math.isfinite(summary.average) else None,
    }


def _plain_sdr(found: Sequence[TrackRecord]) -> dict[str, Any]:
    summary = _summary(found, "sdr")
    return {
        "average_sdr_db": summary.average if math.isfinite(summary.average) else None,
        "mean_sdr_db": _finite(summary.stems),
        "tracks": {
            record.metrics.name: _finite(
                {stem: each.values["sdr"] for stem, each in record.metrics.stems.items()}
            )
            for record in found
        },
    }


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
