"""`stemlight train` and `evaluate`: what researchers do with a model."""

from __future__ import annotations

import contextlib
import logging
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemlight._version import __version__
from stemlight.cli.console import (
    aligned,
    note,
    print_result,
    refuse_lost_report,
    with_extra,
    write_json,
)
from stemlight.cli.interrupts import Interrupts
from stemlight.errors import InputError, UsageError, did_you_mean

if TYPE_CHECKING:
    from stemlight.evaluation import Samples, Scores
    from stemlight.separation import Separator
    from stemlight.tracks import TrackFiles
    from stemlight.training.data import FoundTrack

__all__ = ["evaluate", "train"]

_Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeatable."),
]

_SCORE_NOTE = "SDR in dB (MDX'21 definition: whole track, both channels at once)"


def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A YAML file that says all about the run.")
    ],
    settings: _Settings = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")
    ] = False,
    devices: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes on this machine, one for each GPU."),
    ] = None,
    nodes: Annotated[int | None, typer.Option(metavar="N", min=1, help="Machines.")] = None,
    strategy: Annotated[
        str | None,
        typer.Option(metavar="ddp|fsdp", help="Whole networks, or one spread over processes."),
    ] = None,
) -> None:
    """Train a model; prints the path of its last checkpoint. Needs the extra `train`.

    The recipe of a mixer over trained separators makes a model folder, whose path is printed.

    --devices, --nodes and --strategy stand for --set hardware.devices=N and so on.
    """
    with with_extra("train", "training"):
        from stemlight.training import run
        from stemlight.training.recipe import read_recipe
        from stemlight.training.recipe_files import SEPARATORS, read_fields

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it advertises
    hardware = {"devices": devices, "nodes": nodes, "strategy": strategy}
    chosen = [f"hardware.{key}={value}" for key, value in hardware.items() if value is not None]
    fields = read_fields(recipe, [*(settings or ()), *chosen])
    if SEPARATORS in fields:
        _train_mixer(fields, resume=resume)
        return
    content = read_recipe(recipe, [*(settings or ()), *chosen])
    with contextlib.redirect_stdout(sys.stderr):  # where Lightning would draw its progress
        checkpoint = run.train(content, resume=resume, report=note)
    if run.is_first_process():
        print_result(str(checkpoint))


def _train_mixer(fields: Mapping[str, Any], *, resume: bool) -> None:
    if resume:
        raise UsageError("a mixer is trained in one go; leave --resume out")
    from stemlight.training.mixer_recipe import mixer_recipe, train_mixer_recipe

    print_result(str(train_mixer_recipe(mixer_recipe(fields), report=note)))


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="[MODEL]", help="A model's name, or its folder.")
    ] = "stemlight",
    tracks: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="A folder of tracks: STEM mp4 files, or folders with a file a stem."
        ),
    ] = None,
    only: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Names of tracks to take, one per line.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="RECIPE", help="Take this recipe's validation tracks.")
    ] = None,
    settings: _Settings = None,
    engine: Annotated[
        str, typer.Option(metavar="onnx|openvino|torch", help="What runs the network.")
    ] = "onnx",
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda|mps", help="Where the engine runs.")
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(metavar="float32|bfloat16|int8", help="What the network computes in."),
    ] = "float32",
    threads: Annotated[
        int, typer.Option(metavar="N", min=0, help="Threads of the network; 0 takes all cores.")
    ] = 0,
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Write all scores as JSON, too.")
    ] = None,
) -> None:
    """Separate whole tracks and score the stems against the true ones.

    Give --tracks, or --recipe, which needs the extra `train`.
    """
    if (tracks is None) == (recipe is None):
        raise UsageError("give either --tracks DIR or --recipe RECIPE")
    if only is not None and recipe is not None:
        raise UsageError("--only belongs to --tracks; a recipe names its tracks itself")
    if settings and recipe is None:
        raise UsageError("--set belongs to --recipe")
    refuse_lost_report(report)

    from stemlight.api import load
    from stemlight.tracks import find_tracks

    separator = load(
        model,
        engine=engine,  # type: ignore[arg-type]
        device=device,
        precision=precision,  # type: ignore[arg-type]
        n_threads=threads,
    )
    found: Sequence[TrackFiles | FoundTrack]
    if tracks is not None:
        found = _selected(find_tracks(tracks, sources=separator.sources), only, tracks)
    else:
        assert recipe is not None
        found = _validation_tracks(recipe, settings or (), separator)
    with Interrupts() as interrupts:
        scores, of_mixture = _scored(separator, found, interrupts)
    for line in _score_table(scores, of_mixture, separator.sources):
        print_result(line)
    write_json(
        report,
        {
            "stemlight": __version__,
            "model": model,
            "engine": engine,
            "device": device,
            "precision": precision,
            "metric": _SCORE_NOTE,
            **_plain(scores),
            "mixture_as_estimate": _plain(of_mixture),
        },
    )


def _selected(tracks: Sequence[TrackFiles], only: Path | None, root: Path) -> Sequence[TrackFiles]:
    if only is None:
        return tracks
    try:
        lines = only.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise InputError(f"cannot read {only}: {reason}") from error
    names = {line.strip() for line in lines if line.strip()}
    if not names:
        raise InputError(f"{only} names no track; write one name per line")
    known = [track.name for track in tracks]
    for name in sorted(names - set(known)):
        raise InputError(f"{root} has no track {name!r} of {only}{did_you_mean(name, known)}")
    return [track for track in tracks if track.name in names]


def _validation_tracks(
    path: Path, settings: Sequence[str], separator: Separator
) -> Sequence[FoundTrack]:
    with with_extra("train", "reading a recipe"):
        from stemlight.training.data import find_recipe_tracks, mixed_sources
        from stemlight.training.recipe import read_recipe
    content = read_recipe(path, settings)
    data, mixed = content.data, mixed_sources(content, separator.sources)
    rate_hz = separator.sample_rate_hz
    return find_recipe_tracks(data, data.validation, mixed, sample_rate_hz=rate_hz)


def _scored(
    separator: Separator, tracks: Sequence[TrackFiles | FoundTrack], interrupts: Interrupts
) -> tuple[Scores, Scores]:
    """Return the scores of the model, and those of the mixture as estimate of every stem."""
    from stemlight.evaluation import Scores, evaluate_tracks, score_track

    of_mixture = []

    def read() -> Iterator[tuple[str, Samples, Mapping[str, Samples]]]:
        for number, track in enumerate(tracks, start=1):
            note(f"[{number}/{len(tracks)}] {track.name}")
            mixture, references = track.read(separator.sources, separator.sample_rate_hz)
            interrupts.check()
            estimates = dict.fromkeys(references, mixture)
            of_mixture.append(score_track(track.name, references, estimates))
            yield track.name, mixture, references

    run: Callable[[Samples], Mapping[str, Samples]] = separator
    return evaluate_tracks(run, read()), Scores(tracks=of_mixture)


def _score_table(scores: Scores, of_mixture: Scores, sources: Sequence[str]) -> list[str]:
    def row(name: str, stems_db: Mapping[str, float], average_db: float | None) -> list[str]:
        values = [f"{stems_db[stem]:.2f}" if stem in stems_db else "-" for stem in sources]
        return [name, *values, "" if average_db is None else f"{average_db:.2f}"]

    rows = [["track", *sources, "average"]]
    rows += [row(track.name, track.sdr_db, None) for track in scores.tracks]
    rows += [
        row("mean over tracks", scores.mean_sdr_db, scores.average_sdr_db),
        row("(mixture as estimate)", of_mixture.mean_sdr_db, of_mixture.average_sdr_db),
        row("(silence)", dict.fromkeys(scores.mean_sdr_db, 0.0), 0.0),
    ]
    lines = aligned(rows)
    lines.insert(1 + len(scores.tracks), "-" * max(map(len, lines)))
    return [*lines, "", _SCORE_NOTE]


def _plain(scores: Scores) -> dict[str, Any]:
    average_db = scores.average_sdr_db
    return {
        "average_sdr_db": None if math.isnan(average_db) else average_db,
        "mean_sdr_db": scores.mean_sdr_db,
        "tracks": {track.name: dict(track.sdr_db) for track in scores.tracks},
    }
