"""Model cards: what a model is, what it was trained on, how well it does, and its files' hashes.

A model is a folder: `card.json`, `model.safetensors`, and `model.onnx` for the default engine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from stemlight.configs import from_mapping, to_mapping
from stemlight.errors import ConfigError, WeightsError
from stemlight.models.config import ModelConfig
from stemlight.models.presets import resolve_preset

__all__ = [
    "CARD_FILE",
    "GRAPH_FILE",
    "INT8_GRAPH_FILE",
    "WEIGHTS_FILE",
    "Card",
    "EnsembleCard",
    "FileFacts",
    "GraphLayout",
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
INT8_GRAPH_FILE = "model.int8.onnx"
"""The same graph in eight bits; not every model has one."""

_FORMAT = 2  # 1 had graphs that took the asked sources as an input

GraphLayout = Literal["stemlight", "mdx"]
"""What the graph takes and gives: planes, and an output for each source (stemlight), or planes of
one source with bins before frames, as MDX-Net's are published (mdx)."""


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
class Card:
    """What is known of any model before it is loaded."""

    name: str
    summary: str
    licence: str
    band_limit_hz: dict[str, float]  # above it the stem is silent
    training_data: tuple[TrainingData, ...]
    scores: tuple[Score, ...] = ()
    files: dict[str, FileFacts] = field(default_factory=dict)
    n_parameters: int = 0
    format: int = _FORMAT

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the stems."""
        raise NotImplementedError

    @property
    def sample_rate_hz(self) -> int:
        """The model's sample rate."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class ModelCard(Card):
    """A model of one network."""

    preset: str
    arguments: dict[str, Any] = field(default_factory=dict)
    graph_layout: GraphLayout = "stemlight"

    def model_config(self) -> ModelConfig:
        """Resolve the preset and its arguments."""
        return resolve_preset(self.preset, self.arguments)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the stems."""
        return self.model_config().sources

    @property
    def sample_rate_hz(self) -> int:
        """The model's sample rate."""
        return self.model_config().sample_rate_hz


@dataclass(frozen=True, kw_only=True)
class EnsembleCard(Card):
    """A system of several models, which lie in folders of their own inside of its folder."""

    members: tuple[str, ...]  # names of the folders
    stems: tuple[str, ...]
    rate_hz: int = 44_100
    mixes: bool = False  # a mixer lies beside the members
    # Weight of each member for each stem; without, a stem comes from the one member that gives it.
    weights: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the stems."""
        return self.stems

    @property
    def sample_rate_hz(self) -> int:
        """The sample rate of all members."""
        return self.rate_hz


def read_card(folder: Path) -> ModelCard | EnsembleCard:
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
                "update stemlight, or fetch, import or export the model again"
            )
        if "members" in content:
            return from_mapping(EnsembleCard, content)
        return from_mapping(ModelCard, content)
    except FileNotFoundError as error:
        raise WeightsError(f"{folder} is no model: it has no {CARD_FILE}") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, ConfigError) as error:
        raise WeightsError(f"{path} is no model card: {error}") from error


def write_card(card: Card, folder: Path) -> None:
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


def verified_file(folder: Path, card: Card, name: str) -> Path:
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
