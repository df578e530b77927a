"""`stemlight info`: what a file, a model or a preset is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemlight.cli.console import print_result
from stemlight.cli.facts import Facts, facts_of_configs, grouped
from stemlight.cli.inputs import SONG_SUFFIXES
from stemlight.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from stemlight.models.config import ModelConfig
    from stemlight.weights.cards import Card, Score, TrainingData
    from stemlight.weights.remote_models import RemoteModel
    from stemlight.weights.systems import SystemConfig

__all__ = ["info"]


def info(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE|MODEL|PRESET",
            help="A sound file; a model's name, folder or file; a preset; a system.",
        ),
    ],
) -> None:
    """Tell what a sound file, a model or a preset is."""
    from stemlight.models.presets import PRESETS
    from stemlight.weights.cards import CARD_FILE, read_card
    from stemlight.weights.catalogue import find_model, usable_models
    from stemlight.weights.importing import is_importable
    from stemlight.weights.remote_models import REMOTE_MODELS
    from stemlight.weights.systems import SYSTEMS

    path = Path(target)
    is_address = target.startswith("hf://")
    is_folder, is_file = (path / CARD_FILE).is_file(), path.is_file() and is_importable(path)
    if is_address or target in usable_models() or is_folder or is_file:
        folder = find_model(target)
        _print_facts(_facts_of_card(read_card(folder), folder))
    elif target in REMOTE_MODELS:
        remote = REMOTE_MODELS[target]
        # Some are named as their preset.
        fields = _facts_of_preset(target)[1:] if remote.preset == target in PRESETS else []
        _print_facts(_facts_of_remote(remote) + fields)
    elif target in PRESETS:
        _print_facts(_facts_of_preset(target))
    elif target in SYSTEMS:
        _print_facts(_facts_of_system(target, SYSTEMS[target]))
    elif path.is_file() or path.suffix.lower() in SONG_SUFFIXES:
        _print_facts(_facts_of_sound(path))
    else:
        known = [*usable_models(), *REMOTE_MODELS, *PRESETS, *SYSTEMS]
        raise UsageError(
            f"no file, model or preset {target!r}{did_you_mean(target, known)}; "
            f"names are {', '.join(known)}"
        )


def _facts_of_sound(path: Path) -> Facts:
    from stemlight.audio import probe

    found = probe(path)
    duration = "unknown"
    if found.duration_seconds is not None:
        about = "" if found.n_samples is not None else "about "
        duration = f"{about}{found.duration_seconds:.2f} s"
    facts = [
        ("file", found.path),
        ("format", f"{found.format} ({found.codec})"),
        ("duration", duration),
        ("sample rate", f"{found.sample_rate_hz} Hz"),
        ("channels", str(found.n_channels)),
    ]
    if found.n_samples is not None:
        facts.append(("samples", str(found.n_samples)))
    if found.n_streams > 1:
        facts.append(("audio streams", f"{found.n_streams} (the first is separated)"))
    return facts


def _facts_of_card(card: Card, folder: Path) -> Facts:
    from stemlight.weights.cards import EnsembleCard, ModelCard

    facts = [
        ("model", card.name),
        ("summary", card.summary),
        ("stems", ", ".join(card.sources)),
        ("sample rate", f"{card.sample_rate_hz} Hz"),
        *facts_of_configs(_configs_of(card, folder)),
    ]
    if isinstance(card, ModelCard):
        facts.append(("preset", card.preset))
        if card.arguments:
            facts.append(("arguments", json.dumps(card.arguments)))
    elif isinstance(card, EnsembleCard):
        facts.append(("members", ", ".join(card.members) + (", mixer" if card.mixes else "")))
    facts.append(("licence", card.licence))
    facts += _facts_of_training(card.training_data, card.scores)
    for name, file in card.files.items():
        facts += [(name, f"{file.n_bytes} bytes"), ("", f"sha256 {file.sha256}")]
    return facts


def _configs_of(card: Card, folder: Path) -> list[ModelConfig]:
    """Return the networks of a model; those of other projects are not known here."""
    from stemlight.weights.cards import CARD_FILE, EnsembleCard, ModelCard, read_card

    if isinstance(card, ModelCard):
        return [card.model_config()]
    assert isinstance(card, EnsembleCard)
    places = [folder / name for name in card.members if (folder / name / CARD_FILE).is_file()]
    return [config for place in places for config in _configs_of(read_card(place), place)]


def _facts_of_remote(model: RemoteModel) -> Facts:
    n_parameters = "unknown" if model.n_parameters is None else grouped(model.n_parameters)
    facts = [
        ("model", f"{model.name}, not here; run: stemlight models fetch {model.name}"),
        ("summary", model.summary),
        ("architecture", model.architecture),
        ("stems", ", ".join(model.sources)),
        ("parameters", n_parameters),
        ("preset", model.preset),
        ("licence", model.licence),
        *_facts_of_training(model.training_data, model.scores),
    ]
    for file in model.files:
        size = "unknown size" if file.n_bytes is None else f"{file.n_bytes} bytes"
        place = f", in {file.url}" if file.archive_member else f", {file.url}"
        facts += [
            (file.name, f"{size}{place}"),
            ("", f"{file.checksum.kind} {file.checksum.digest}"),
        ]
    return facts


def _facts_of_training(training_data: Iterable[TrainingData], scores: Iterable[Score]) -> Facts:
    facts = [("trained on", f"{data.name} ({data.terms})") for data in training_data]
    for score in scores:
        stems = ", ".join(f"{name} {value:.2f}" for name, value in score.stems_db.items())
        facts += [
            (score.metric, f"{score.average_db:.2f} dB ({stems})"),
            ("", f"{score.aggregation}; {score.data}"),
            ("", f"measured with: {score.command}"),
        ]
    return facts


def _facts_of_preset(name: str) -> Facts:
    from stemlight.configs import to_mapping
    from stemlight.models.presets import resolve_preset

    config = resolve_preset(name)
    return [
        ("preset", name),
        ("stems", ", ".join(config.sources)),
        *facts_of_configs([config]),
        *_flattened(to_mapping(config)),
    ]


def _facts_of_system(name: str, system: SystemConfig) -> Facts:
    from stemlight.models.presets import resolve_preset

    configs = [resolve_preset(preset) for preset in system.members.values()]
    combined = ["mixer over all"] if system.mixer else []
    if system.blend is not None:
        shares = ", ".join(f"{source} {share:g}" for source, share in system.blend.shares.items())
        combined.append(f"blended with {system.blend.partner}, own share: {shares}")
    return [
        ("system", name),
        ("summary", system.summary),
        ("stems", ", ".join(system.members)),
        ("members", ", ".join(system.members.values())),
        ("combined", "; ".join(combined) or "side by side"),
        *facts_of_configs(configs),
    ]


def _flattened(mapping: Mapping[str, Any], prefix: str = "") -> Facts:
    """Name nested fields as `--set` does: `network.n_blocks`."""
    facts: Facts = []
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            facts += _flattened(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
            facts.append((f"{prefix}{key}", text))
    return facts


def _print_facts(facts: Facts) -> None:
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        print_result(f"{name.ljust(width)}  {value}")
