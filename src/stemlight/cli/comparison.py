"""`stemlight compare`: systems side by side on the same tracks, with paired statistics."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemlight._version import __version__
from stemlight.cli.console import print_result, refuse_lost_report, write_json
from stemlight.cli.interrupts import Interrupts
from stemlight.cli.scoring import (
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
from stemlight.cli.systems import ModelOptions, open_systems
from stemlight.errors import UsageError

__all__ = ["compare"]


# Twelve parameters: a command has one for each of its options.
def compare(
    systems: Annotated[
        list[str],
        typer.Argument(
            metavar="A B ...",
            help="Models by name or folder; demucs:NAME, openunmix:NAME; mixture, hpss, "
            "oracle-irm; estimates:DIR, what another program made (DIR/TRACK/STEM.wav).",
        ),
    ],
    data: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            help="A folder of tracks: STEM mp4 files, or folders with a file a stem.",
        ),
    ],
    split: SplitOption = None,
    only: OnlyOption = None,
    metrics: MetricsOption = None,
    output: OutputOption = None,
    jobs: JobsOption = 0,
    engine: EngineOption = "onnx",
    device: DeviceOption = "auto",
    precision: PrecisionOption = "float32",
    threads: ThreadsOption = 0,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write the differences as JSON, too.")
    ] = None,
) -> None:
    """Score systems on the same tracks: which is better, by how much, and is it real?

    Differences are paired by track; the intervals hold their mean and median with 95 % (bootstrap
    over tracks). A stem that a system does not give is shown as `-`.

    --output needs the extra `evaluate`; a run that was ended goes on there.
    """
    if len(systems) < 2:
        raise UsageError(f"{systems[0]!r} alone cannot be compared; name two systems or more")
    refuse_lost_report(report)
    chosen = chosen_metrics(metrics, output)
    refuse_output(output)

    from stemlight.comparison import (
        Findings,
        Scoring,
        all_differences,
        difference_table,
        main_metrics,
        reference_stems,
        score_table,
        score_tracks,
        scored_stems,
        scored_tracks,
    )
    from stemlight.evaluation import METRICS

    options = ModelOptions(engine=engine, device=device, precision=precision, n_threads=threads)
    opened = open_systems(options, systems)
    stems = scored_stems(opened)
    found = find_data(DataOptions(root=data, split=split, only=only), stems)
    tracks = scored_tracks(found, reference_stems(stems), data)
    work = Work.choose(jobs, threads, options, len(tracks))
    scoring = Scoring(
        systems=tuple(systems),
        stems=stems,
        metrics=chosen,
        folder=output,
        n_threads=work.n_threads,
    )
    with Interrupts() as interrupts, working(options, opened, work, interrupts) as workers:
        records = score_tracks(scoring, tracks, workers)
        if output is not None:
            findings = Findings(
                scoring=scoring,
                tracks=tracks,
                records=records,
                data=f"{data}{f', split {split}' if split else ''}",
                subset=subset_of(split),
                is_comparison=True,
            )
            write(findings, workers)
    printed = chosen if metrics is not None else main_metrics(chosen)
    differences = {name: all_differences(METRICS[name], records, stems) for name in printed}
    tables = [score_table(METRICS[name], records, stems) for name in printed]
    tables += [difference_table(each) for each in differences.values() if each]
    for number, table in enumerate(tables):
        if number:
            print_result("")
        print_table(table)
    plain = [each.to_json() for found in differences.values() for each in found]
    write_json(report, {"stemlight": __version__, "differences": plain})
