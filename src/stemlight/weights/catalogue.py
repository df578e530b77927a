"""Finds models by name: those inside the package, and any folder with a card."""

from __future__ import annotations

from pathlib import Path

from stemlight.errors import UsageError, did_you_mean
from stemlight.weights.cards import CARD_FILE

__all__ = ["DEFAULT_MODEL", "embedded_models", "find_model"]

DEFAULT_MODEL = "stemlight"

_EMBEDDED = Path(__file__).resolve().parent.parent / "pretrained"


def embedded_models() -> dict[str, Path]:
    """Return the folders of the models inside the package, by name."""
    return {path.parent.name: path.parent for path in sorted(_EMBEDDED.glob(f"*/{CARD_FILE}"))}


def find_model(model: str | Path) -> Path:
    """Return the folder of a model, given its name or its folder.

    Raises:
        UsageError: there is no such model.
    """
    embedded = embedded_models()
    if str(model) in embedded:
        return embedded[str(model)]
    folder = Path(model)
    if (folder / CARD_FILE).is_file():
        return folder
    raise UsageError(
        f"no model {str(model)!r}{did_you_mean(str(model), embedded)}; models are "
        f"{', '.join(embedded)}, or a folder with a {CARD_FILE}"
    )
