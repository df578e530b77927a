"""Names a model by what it computes: the same text as long as its stems are the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from stemlight.configs import to_mapping
from stemlight.separation.foreign import is_foreign
from stemlight.weights.cards import EnsembleCard, read_card
from stemlight.weights.catalogue import DEFAULT_MODEL, find_model

__all__ = ["model_fingerprint"]

# What cards tell people changes no sample.
_WORDS = ("name", "summary", "licence", "band_limit_hz", "training_data", "scores", "n_parameters")


def model_fingerprint(
    model: str | Path = DEFAULT_MODEL,
    *,
    engine: str = "onnx",
    device: str = "auto",
    precision: str = "float32",
    offline: bool = False,
) -> str:
    """Return a hash over the files and arguments of a model, and over what runs it.

    The arguments are those of `stemlight.load`. Of a model of another project its address and the
    version of its package are all that is known.

    Raises:
        UsageError: there is no such model.
        WeightsError: its card cannot be read.
    """
    name = str(model)
    facts = _foreign(name) if is_foreign(name) else _facts(find_model(model, offline=offline))
    how = {"engine": engine, "device": device, "precision": precision}
    text = json.dumps({"model": facts, **how}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _facts(folder: Path) -> dict[str, Any]:
    card = read_card(folder)
    facts = {key: value for key, value in to_mapping(card).items() if key not in _WORDS}
    if isinstance(card, EnsembleCard):
        facts["members"] = {
            name: _foreign(name) if is_foreign(name) else _facts(folder / name)
            for name in card.members
        }
    return facts


def _foreign(address: str) -> dict[str, Any]:
    version = None
    with contextlib.suppress(metadata.PackageNotFoundError):
        version = metadata.version(address.partition(":")[0])
    return {"address": address, "version": version}
