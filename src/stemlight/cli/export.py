"""`stemlight export`: a model folder made of a checkpoint, of a model, or of a preset's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemlight.cli.console import note, print_result, with_extra
from stemlight.cli.settings import parse_settings
from stemlight.errors import ConfigError, InputError, OutputError, UsageError, did_you_mean

if TYPE_CHECKING:
    from stemlight.models.config import ModelConfig
    from stemlight.training.recipe import Recipe
    from stemlight.weights.cards import EnsembleCard, ModelCard

__all__ = ["export"]

_CARD_FIELDS = ("summary", "licence", "training_data", "band_limit_hz", "scores")
_NOT_STATED = "not stated"
_N_SONGS = 16  # for the ranges of a graph of 8 bits


def export(
    target: Annotated[
        str,
        typer.Argument(
            metavar="PRESET|SYSTEM|MODEL|CHECKPOINT",
            help="A preset or a system, a model's name or folder, or, with --recipe, a checkpoint "
            "of `stemlight train`.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="The model's new folder.")
    ],
    recipe: Annotated[
        Path | None, typer.Option(metavar="RECIPE", help="What a checkpoint was trained with.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change a field of the preset or of the recipe; repeatable.",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Of a preset's random weights. [0]"),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="The model's name. [the preset's, model's or recipe's]"),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help=f"YAML or JSON with {', '.join(_CARD_FIELDS)}."),
    ] = None,
    int8: Annotated[
        Path | None,
        typer.Option(
            metavar="SONG|FOLDER",
            help="Write a graph of 8 bits, too, for --precision int8; its ranges are measured on "
            "these songs, at best some that the model was trained on.",
        ),
    ] = None,
    half: Annotated[
        bool,
        typer.Option(
            "--half",
            help="Keep weights in 16 bits: files of half the size. Networks compute as ever.",
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a model that is in FOLDER.")
    ] = False,
) -> None:
    """Write a model folder: card, weights and ONNX graph.

    Of a preset or system with random weights, of a model once more, of a training checkpoint. A
    preset's name is never taken for a trained model of the same name; give that one's folder.

    Needs the extra `torch`; for checkpoints and --card, `train`.
    """
    from stemlight.models.presets import PRESETS
    from stemlight.weights.cards import CARD_FILE
    from stemlight.weights.systems import SYSTEMS

    is_untrained = recipe is None and (target in PRESETS or target in SYSTEMS)
    if not is_untrained:
        if seed is not None:
            raise UsageError("--seed belongs to a preset or a system, whose weights are random")
        if recipe is None and settings:
            raise UsageError("--set belongs to a preset, a system or a --recipe")
    elif card is not None:
        raise UsageError("--card belongs to trained weights; the card of random ones says so")
    elif half:
        raise UsageError("--half belongs to trained weights; export random ones without it")
    if (output / CARD_FILE).exists() and not overwrite:
        raise OutputError(f"{output} holds a model already; add --overwrite, or choose another")
    songs = [] if int8 is None else _songs(int8)
    if songs:
        _refuse_system(target, recipe)
    sealed: ModelCard | EnsembleCard
    try:
        if recipe is not None:
            sealed = _of_checkpoint(
                Path(target), output, recipe, settings or (), name, card, half=half
            )
        elif is_untrained:
            sealed = _of_preset(target, output, parse_settings(settings or ()), seed or 0, name)
        else:
            sealed = _of_model(target, output, name, card, half=half)
        if songs:
            sealed = _with_int8_graph(output, songs)
    except OSError as error:
        raise OutputError(f"cannot write to {output}: {error.strerror}") from error
    print_result(f"{output}: {sealed.name}, {sealed.n_parameters} parameters")


def _refuse_system(target: str, recipe: Path | None) -> None:
    from stemlight.weights.cards import CARD_FILE, EnsembleCard, read_card
    from stemlight.weights.catalogue import find_model, usable_models
    from stemlight.weights.systems import SYSTEMS

    if recipe is not None:
        return
    is_model = target in usable_models() or (Path(target) / CARD_FILE).is_file()
    card = read_card(find_model(target)) if is_model else None
    if target in SYSTEMS or isinstance(card, EnsembleCard):
        name = target if card is None else card.name
        raise UsageError(
            f"{name!r} is a system, whose members get graphs of 8 bits one by one: export each of "
            "its folders with --int8"
        )


def _songs(path: Path) -> list[Path]:
    """Return some songs, evenly spread over all that are there; each can be opened."""
    from stemlight.audio import open_audio
    from stemlight.cli.inputs import plan_jobs

    plan = plan_jobs([str(path)], Path())
    if plan.refusals:
        name, reason = plan.refusals[0]
        raise InputError(f"{name} {reason}")
    songs = [job.song for job in plan.jobs if job.song is not None]
    songs = songs[:: max(1, len(songs) // _N_SONGS)][:_N_SONGS]
    for song in songs:
        with open_audio(song):
            pass
    return songs


def _with_int8_graph(folder: Path, songs: Sequence[Path]) -> ModelCard:
    with with_extra("torch", "writing a graph of 8 bits"):
        from stemlight.weights.quantizing import add_int8_graph

    return add_int8_graph(folder, songs)


def _of_preset(
    target: str, output: Path, arguments: Mapping[str, Any], seed: int, name: str | None
) -> ModelCard | EnsembleCard:
    from stemlight.weights.catalogue import usable_models
    from stemlight.weights.systems import SYSTEMS

    with with_extra("torch", "exporting"):
        from stemlight.weights.untrained import save_untrained_model, save_untrained_system

    save = save_untrained_system if target in SYSTEMS else save_untrained_model
    sealed = save(target, output, arguments=arguments, seed=seed, name=name)
    trained = usable_models().get(target)
    elsewhere = f"; the trained model of this name is in {trained}" if trained else ""
    note(f"{output} has random weights: {target} names an untrained network{elsewhere}")
    return sealed


def _of_model(
    target: str, output: Path, name: str | None, card: Path | None, *, half: bool
) -> ModelCard | EnsembleCard:
    from stemlight.models.presets import PRESETS
    from stemlight.weights.cards import CARD_FILE
    from stemlight.weights.catalogue import find_model, usable_models
    from stemlight.weights.systems import SYSTEMS

    path, usable = Path(target), usable_models()
    is_there = target in usable or target.startswith("hf://") or (path / CARD_FILE).is_file()
    if not is_there and path.is_file():
        raise UsageError(
            f"{path} is a file: of a checkpoint of stemlight train say the --recipe, for those of "
            "others run: stemlight import"
        )
    if not is_there:
        known = [*PRESETS, *SYSTEMS, *usable]
        raise UsageError(
            f"no preset, system or model {target!r}{did_you_mean(target, known)}; there are "
            f"{', '.join(known)}, and folders with a {CARD_FILE}"
        )
    with with_extra("torch", "exporting"):
        from stemlight.weights.checkpoints import renew_model

    changes = {} if card is None else _read_card_fields(card)
    changes |= {"name": name} if name else {}
    return renew_model(find_model(target), output, changes, half=half)


def _of_checkpoint(
    checkpoint: Path,
    output: Path,
    recipe: Path,
    settings: Sequence[str],
    name: str | None,
    card: Path | None,
    *,
    half: bool,
) -> ModelCard:
    with with_extra("train", "exporting"):
        from stemlight.models.spectrogram import build_model
        from stemlight.training.recipe import read_recipe
        from stemlight.weights.checkpoints import read_training_checkpoint, save_model

    content = read_recipe(recipe, settings)
    config = content.model_config()
    stated = {} if card is None else _read_card_fields(card)
    model = build_model(config)
    progress = read_training_checkpoint(checkpoint, model)
    unsealed = _card(name or content.name, content, config, progress["step"], stated)
    sealed = save_model(model, unsealed, output, half=half)
    if _NOT_STATED in (sealed.licence, *(data.terms for data in sealed.training_data)):
        note("the card does not state the licence or the terms of the data; name them with --card")
    return sealed


def _read_card_fields(path: Path) -> dict[str, Any]:
    with with_extra("train", "--card"):
        import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
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

    derived = {
        "name": name,
        "summary": f"trained with the recipe {recipe.name} for {step} steps",
        "preset": recipe.preset,
        "arguments": recipe.model_arguments,
        "licence": _NOT_STATED,
        "band_limit_hz": dict.fromkeys(config.sources, config.band_limit_hz),
        "training_data": [
            {"name": data, "terms": _NOT_STATED}
            for data in recipe.data.reached(step).training_names()
        ],
    }
    return from_mapping(ModelCard, derived | dict(stated))
