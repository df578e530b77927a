"""`stemlight models` and `stemlight info`: what models there are, and what a file or model is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemlight.cli.console import aligned, note, print_result
from stemlight.cli.inputs import SONG_SUFFIXES
from stemlight.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from stemlight.weights.cards import ModelCard

__all__ = ["info", "models"]


def models() -> None:
    """List the models inside this package, with average SDR and size."""
    from stemlight.weights.cards import GRAPH_FILE, read_card
    from stemlight.weights.catalogue import embedded_models

    rows = [("name", "SDR", "parameters", "size", "stems")]
    for folder in embedded_models().values():
        card = read_card(folder)
        sdr = f"{card.scores[0].average_db:.2f} dB" if card.scores else "unknown"
        n_parameters = f"{card.n_parameters / 1e6:.2f} M"
        size = f"{card.files[GRAPH_FILE].n_bytes / 1e6:.1f} MB" if GRAPH_FILE in card.files else "-"
        stems = ", ".join(card.model_config().sources)
        rows.append((card.name, sdr, n_parameters, size, stems))
    if len(rows) == 1:
        note("this package has no model inside; give --model a folder")
        return
    for line in aligned(rows):
        print_result(line)


def info(
    target: Annotated[
        str,
        typer.Argument(
            metavar="FILE|MODEL|PRESET",
            help="A sound file, a model's name or folder, or the name of a preset.",
        ),
    ],
) -> None:
    """Tell what a sound file, a model or a preset is."""
    from stemlight.models.presets import PRESETS
    from stemlight.weights.cards import CARD_FILE, read_card
    from stemlight.weights.catalogue import embedded_models, find_model

    path = Path(target)
    if target in embedded_models() or (path / CARD_FILE).is_file():
        _print_facts(_facts_of_card(read_card(find_model(target))))
    elif target in PRESETS:
        _print_facts(_facts_of_preset(target))
    elif path.is_file() or path.suffix.lower() in SONG_SUFFIXES:
        _print_facts(_facts_of_sound(path))
    else:
        known = [*embedded_models(), *PRESETS]
        raise UsageError(
            f"no file, model or preset {target!r}{did_you_mean(target, known)}; "
            f"names are {', '.join(known)}"
        )


def _facts_of_sound(path: Path) -> list[tuple[str, str]]:
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


def _facts_of_card(card: ModelCard) -> list[tuple[str, str]]:
    config = card.model_config()
    limits = ", ".join(f"{name} {limit:g} Hz" for name, limit in card.band_limit_hz.items())
    facts = [
        ("model", card.name),
        ("summary", card.summary),
        ("stems", ", ".join(config.sources)),
        ("sample rate", f"{config.sample_rate_hz} Hz"),
        ("band limit", limits or "none"),
        ("parameters", f"{card.n_parameters:,}".replace(",", " ")),
        ("preset", card.preset),
    ]
    if card.arguments:
        facts.append(("arguments", json.dumps(card.arguments)))
    facts.append(("licence", card.licence))
    facts += [("trained on", f"{data.name} ({data.terms})") for data in card.training_data]
    for score in card.scores:
        stems = ", ".join(f"{name} {value:.2f}" for name, value in score.stems_db.items())
        facts += [
            (score.metric, f"{score.average_db:.2f} dB ({stems})"),
            ("", f"{score.aggregation}; {score.data}"),
            ("", f"measured with: {score.command}"),
        ]
    for name, file in card.files.items():
        facts += [(name, f"{file.n_bytes} bytes"), ("", f"sha256 {file.sha256}")]
    return facts


def _facts_of_preset(name: str) -> list[tuple[str, str]]:
    from stemlight.configs import to_mapping
    from stemlight.models.presets import resolve_preset

    return [("preset", name), *_flattened(to_mapping(resolve_preset(name)))]


def _flattened(mapping: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Name nested fields as `--set` does: `network.n_blocks`."""
    facts: list[tuple[str, str]] = []
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            facts += _flattened(value, f"{prefix}{key}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
            facts.append((f"{prefix}{key}", text))
    return facts


def _print_facts(facts: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        print_result(f"{name.ljust(width)}  {value}")
