"""Model cards: what a model is, what it was trained on, how well it does, and its files' hashes.

A model is a folder: `card.json`, `model.safetensors`, and `model.onnx` for the default engine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemlight.configs import from_mapping, to_mapping
from stemlight.errors import ConfigError, WeightsError
from stemlight.models.config import ModelConfig
from stemlight.models.presets import resolve_preset

__all__ = [
    "CARD_FILE",
    "GRAPH_FILE",
    "WEIGHTS_FILE",
    "FileFacts",
    "ModelCard",
    "Score",
    "TrainingData",
    "file_facts",
    "read_card",
    "verified_file",
    "write_card",
]

CARD_FILE = "card.json"
WEIGHTS_FILE = "model.safetensors"
GRAPH_FILE = "model.onnx"

_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class FileFacts:
    """Size and full hash of a file of the model."""

    sha256: str
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """A body of music that the model learned from, and the terms it was used under."""

    name: str
    terms: str


@dataclass(frozen=True, kw_only=True)
class Score:
    """A measured result and all it takes to measure it again."""

    metric: str
    aggregation: str
    data: str
    command: str
    average_db: float
    stems_db: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Everything there is to know about a model before it is loaded."""

    name: str
    summary: str
    preset: str
    licence: str
    band_limit_hz: dict[str, float]  # above it the stem is silent
    training_data: tuple[TrainingData, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    scores: tuple[Score, ...] = ()
    files: dict[str, FileFacts] = field(default_factory=dict)
    n_parameters: int = 0
    format: int = _FORMAT

    def model_config(self) -> ModelConfig:
        """Resolve the preset and its arguments."""
        return resolve_preset(self.preset, self.arguments)


def read_card(folder: Path) -> ModelCard:
    """Read `card.json` of a model folder.

    Raises:
        WeightsError: there is no card, or it is none that this version understands.
    """
    path = folder / CARD_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        found = content.get("format") if isinstance(content, Mapping) else None
        if found != _FORMAT:
            raise WeightsError(
                f"{path} has the format {found!r}, this version of stemlight reads {_FORMAT}; "
                "update stemlight or export the model again"
            )
        return from_mapping(ModelCard, content)
    except FileNotFoundError as error:
        raise WeightsError(f"{folder} is no model: it has no {CARD_FILE}") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, ConfigError) as error:
        raise WeightsError(f"{path} is no model card: {error}") from error


def write_card(card: ModelCard, folder: Path) -> None:
    """Write `card.json` in one step."""
    partial = folder / f".{CARD_FILE}.part"
    text = json.dumps(to_mapping(card), indent=2, ensure_ascii=False)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(folder / CARD_FILE)


def file_facts(path: Path) -> FileFacts:
    """Measure and hash a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileFacts(sha256=digest, n_bytes=path.stat().st_size)


def verified_file(folder: Path, card: ModelCard, name: str) -> Path:
    """Return the path of a file of the model after checking it against the card.

    Raises:
        WeightsError: the file is not listed, is missing, or is not the one that the card names.
    """
    path = folder / name
    if name not in card.files:
        raise WeightsError(
            f"the model {card.name!r} has no {name}; it has {', '.join(card.files) or 'no files'}"
        )
    if not path.is_file():
        raise WeightsError(f"{path} is missing; install or export the model {card.name!r} again")
    expected, found = card.files[name], file_facts(path)
    if found != expected:
        raise WeightsError(
            f"{path} is damaged: its sha256 is {found.sha256[:12]}... ({found.n_bytes} bytes), the "
            f"card says {expected.sha256[:12]}... ({expected.n_bytes} bytes); get the model again"
        )
    return path
