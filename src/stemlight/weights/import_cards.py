"""What is said of a model that is imported: by whoever imports it, by its file's name, its card."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemlight.configs import to_mapping
from stemlight.errors import UsageError
from stemlight.models.config import ModelConfig
from stemlight.models.presets import PRESETS
from stemlight.weights.cards import ModelCard, TrainingData
from stemlight.weights.remote_models import REMOTE_MODELS, RemoteModel

__all__ = [
    "ImportOptions",
    "closest_preset",
    "completed_options",
    "model_options",
    "source_in_name",
    "unsealed_card",
]

_NOT_STATED = "not stated"
_WORDS = {
    "vocals": ("vocals", "vocal", "voc"),
    "drums": ("drums", "drum"),
    "bass": ("bass",),
    "other": ("other",),
    "instrumental": ("instrumental", "instrumentals", "instr", "inst"),
}
# Of these, some networks give the voice and some what is left: no name tells.
_AMBIGUOUS = ("kara", "karaoke")


@dataclass(frozen=True, kw_only=True)
class ImportOptions:
    """What files do not tell, or what is to be written into the card.

    `preset` and `arguments` say which network a checkpoint belongs to where it is not recognised;
    `n_fft` and `hop_samples` belong to graphs and checkpoints that do not hold them; `source` is
    what a network of one source estimates; `output_gain` is multiplied to all estimates.
    """

    name: str | None = None
    source: str | None = None
    preset: str | None = None
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    n_fft: int | None = None
    hop_samples: int | None = None
    output_gain: float = 1.0
    summary: str | None = None
    licence: str | None = None
    training_data: tuple[TrainingData, ...] = ()

    def of_one_file(self) -> dict[str, Any]:
        """Return those that can hold for one file alone, by the names of the command line."""
        options = {
            "--source": self.source,
            "--preset": self.preset,
            "--set": self.arguments or None,
            "--n-fft": self.n_fft,
            "--hop": self.hop_samples,
            "--gain": None if self.output_gain == 1 else self.output_gain,
        }
        return {name: value for name, value in options.items() if value is not None}


def model_options(model: RemoteModel) -> ImportOptions:
    """Return what is known of a published model."""
    return ImportOptions(
        name=model.name,
        preset=model.preset if model.preset in PRESETS else None,
        summary=model.summary,
        licence=model.licence,
        training_data=model.training_data,
    )


def completed_options(options: ImportOptions, path: Path) -> ImportOptions:
    """Fill in what is known of a published file, whatever it is called, but nothing that is given.

    Raises:
        OSError: the file cannot be read.
    """
    n_bytes = path.stat().st_size
    for model in REMOTE_MODELS.values():
        for file in model.files:
            if file.n_bytes in (None, n_bytes) and file.checksum.fits(path):
                known = model_options(model)
                source = source_in_name(Path(file.name).stem) if len(model.files) > 1 else None
                return dataclasses.replace(
                    options,
                    source=options.source or source,
                    preset=options.preset or (None if options.arguments else known.preset),
                    summary=options.summary or (None if source else known.summary),
                    licence=options.licence or known.licence,
                    training_data=options.training_data or known.training_data,
                )
    return options


def source_in_name(name: str) -> str | None:
    """Guess by the words in a file's name which source a network estimates."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    if any(word in _AMBIGUOUS for word in words):
        return None
    found = {source for source, known in _WORDS.items() if any(word in known for word in words)}
    return found.pop() if len(found) == 1 else None


def unsealed_card(config: ModelConfig, path: Path, options: ImportOptions) -> ModelCard:
    """Return the card of a model that a file was made into, without its files yet."""
    if options.source is not None and len(config.sources) > 1:
        raise UsageError(
            f"--source {options.source}: {path.name} estimates {', '.join(config.sources)}; "
            "leave --source out"
        )
    preset, arguments = closest_preset(config)
    return ModelCard(
        name=options.name or path.stem,
        summary=options.summary or f"Imported from {path.name}.",
        preset=preset,
        arguments=arguments,
        licence=options.licence or _NOT_STATED,
        band_limit_hz=dict.fromkeys(config.sources, round(config.band_limit_hz, 1)),
        training_data=options.training_data,
    )


def closest_preset(config: ModelConfig) -> tuple[str, dict[str, Any]]:
    """Return the preset that differs least from a config, and the fields in which it differs."""
    wanted = to_mapping(config)
    changes = {name: _changes(to_mapping(preset), wanted) for name, preset in PRESETS.items()}
    name = min(changes, key=lambda preset: len(str(changes[preset])) if changes[preset] else 0)
    return name, changes[name]


def _changes(base: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the nested fields of `wanted` that differ from `base`."""
    changed: dict[str, Any] = {}
    for key, value in wanted.items():
        if isinstance(value, Mapping):
            inner = _changes(base[key], value)
            if inner:
                changed[key] = inner
        elif value != base[key]:
            changed[key] = list(value) if isinstance(value, tuple) else value
    return changed
