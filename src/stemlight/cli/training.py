"""`stemlight train`, `evaluate` and `export`: what researchers do with a model."""

from __future__ import annotations

import contextlib
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
from stemlight.errors import ConfigError, InputError, OutputError, UsageError, did_you_mean

if TYPE_CHECKING:
    from stemlight.evaluation import Samples, Scores
    from stemlight.models.config import ModelConfig
    from stemlight.separation import Separator
    from stemlight.tracks import TrackFiles
    from stemlight.training.recipe import Recipe
    from stemlight.weights.cards import ModelCard

__all__ = ["evaluate", "export", "train"]

_Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeatable."),
]

_SCORE_NOTE = "SDR in dB (MDX'21 definition: whole track, both channels at once)"
_CARD_FIELDS = ("summary", "licence", "training_data", "band_limit_hz", "scores")
_NOT_STATED = "not stated"


def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A YAML file that says all about the run.")
    ],
    settings: _Settings = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")
    ] = False,
) -> None:
    """Train a model; prints the path of its last checkpoint. Needs the extra `train`."""
    with with_extra("train", "training"):
        from stemlight.training import run
        from stemlight.training.recipe import read_recipe

    content = read_recipe(recipe, settings or ())
    with contextlib.redirect_stdout(sys.stderr):  # where Lightning would draw its progress
        checkpoint = run.train(content, resume=resume, report=note)
    print_result(str(checkpoint))


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
        str, typer.Option(metavar="onnx|torch", help="What runs the network.")
    ] = "onnx",
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

    separator = load(model, engine=engine, n_threads=threads)  # type: ignore[arg-type]
    if tracks is not None:
        found = _selected(find_tracks(tracks, sources=separator.sources), only, tracks)
    else:
        assert recipe is not None
        found = _validation_tracks(recipe, settings or (), separator.sources)
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
            "metric": _SCORE_NOTE,
            **_plain(scores),
            "mixture_as_estimate": _plain(of_mixture),
        },
    )


def export(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="A checkpoint of `stemlight train`.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="The model's new folder.")
    ],
    recipe: Annotated[Path, typer.Option(metavar="RECIPE", help="What it was trained with.")],
    settings: _Settings = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model's name. [the recipe's]")
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"YAML or JSON with {', '.join(_CARD_FIELDS)}."),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model that is in FOLDER.")
    ] = False,
) -> None:
    """Write a model folder from a training checkpoint.

    It holds card, weights and ONNX graph. Needs the extra `train`.
    """
    with with_extra("train", "exporting"):
        from stemlight.models.spectrogram import build_model
        from stemlight.training.recipe import read_recipe
        from stemlight.weights.checkpoints import read_training_checkpoint, save_model
    from stemlight.models.presets import resolve_preset
    from stemlight.weights.cards import CARD_FILE

    if (output / CARD_FILE).exists() and not overwrite:
        raise OutputError(f"{output} holds a model already; add --overwrite, or choose another")
    content = read_recipe(recipe, settings or ())
    config = resolve_preset(content.preset, content.arguments)
    stated = {} if card is None else _read_card_fields(card)
    network = build_model(config)
    progress = read_training_checkpoint(checkpoint, network)
    unsealed = _card(name or content.name, content, config, progress["step"], stated)
    try:
        sealed = save_model(network, unsealed, output)
    except OSError as error:
        raise OutputError(f"cannot write to {output}: {error.strerror}") from error
    if _NOT_STATED in (sealed.licence, *(data.terms for data in sealed.training_data)):
        note("the card does not state the licence or the terms of the data; name them with --card")
    print_result(f"{output}: {sealed.name}, {sealed.n_parameters} parameters")


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
    path: Path, settings: Sequence[str], sources: Sequence[str]
) -> Sequence[TrackFiles]:
    with with_extra("train", "reading a recipe"):
        from stemlight.training.recipe import read_recipe
        from stemlight.training.run import collect_tracks
    recipe = read_recipe(path, settings)
    return collect_tracks(recipe.data, recipe.data.validation, sources)


def _scored(
    separator: Separator, tracks: Sequence[TrackFiles], interrupts: Interrupts
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


def _read_card_fields(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} cannot be read: {reason}") from error
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path} must hold a mapping of fields, not {type(content).__name__}")
    for key in content:
        if key not in _CARD_FIELDS:
            raise ConfigError(
                f"{path} has the field {key!r}{did_you_mean(str(key), _CARD_FIELDS)}; fields of a "
                f"card that cannot be derived are {', '.join(_CARD_FIELDS)}"
            )
    return dict(content)


def _card(
    name: str, recipe: Recipe, config: ModelConfig, step: int, stated: Mapping[str, Any]
) -> ModelCard:
    """Fill a card with what the recipe tells, and lay what was stated over it."""
    from stemlight.configs import from_mapping
    from stemlight.weights.cards import ModelCard

    stft = config.stft
    highest_hz = config.sample_rate_hz / 2
    if stft.kept_bins is not None:
        highest_hz = min(highest_hz, stft.kept_bins * config.sample_rate_hz / stft.n_fft)
    derived = {
        "name": name,
        "summary": f"trained with the recipe {recipe.name} for {step} steps",
        "preset": recipe.preset,
        "arguments": recipe.arguments,
        "licence": _NOT_STATED,
        "band_limit_hz": dict.fromkeys(config.sources, highest_hz),
        "training_data": [
            {"name": folder.path, "terms": _NOT_STATED} for folder in recipe.data.train
        ],
    }
    return from_mapping(ModelCard, derived | dict(stated))
