"""Finds models by name: inside the package, in the cache, on Hugging Face, or any folder."""

from __future__ import annotations

from pathlib import Path

from stemlight.errors import UsageError, did_you_mean
from stemlight.weights.cards import CARD_FILE
from stemlight.weights.hub import cached_models
from stemlight.weights.remote_models import REMOTE_MODELS

__all__ = ["DEFAULT_MODEL", "embedded_models", "find_model", "usable_models"]

DEFAULT_MODEL = "stemlight"

_EMBEDDED = Path(__file__).resolve().parent.parent / "pretrained"


def embedded_models() -> dict[str, Path]:
    """Return the folders of the models inside the package, by name."""
    return {path.parent.name: path.parent for path in sorted(_EMBEDDED.glob(f"*/{CARD_FILE}"))}


def usable_models() -> dict[str, Path]:
    """Return the folders of the models that are here: inside the package, or fetched."""
    embedded = embedded_models()
    return embedded | {name: path for name, path in cached_models().items() if name not in embedded}


def find_model(model: str | Path, *, offline: bool = False) -> Path:
    """Return the folder of a model: its name, folder, file, or `hf://owner/repo[@revision]`.

    Only a model on Hugging Face is ever downloaded by this, and not if `offline`. A checkpoint or a
    graph of others is imported once, into the cache.

    Raises:
        UsageError: there is no such model, or it has to be fetched first.
        WeightsError: the model on Hugging Face cannot be had.
        MissingExtraError: huggingface_hub is not installed, and the model is there.
    """
    name = str(model)
    if name.startswith("hf://"):
        from stemlight.weights.huggingface import fetch_repository

        return fetch_repository(name, offline=offline)
    usable = usable_models()
    if name in usable:
        return usable[name]
    folder = Path(model)
    if (folder / CARD_FILE).is_file():
        return folder
    if folder.is_file():
        from stemlight.weights.importing import imported, is_importable

        if is_importable(folder):
            return imported(folder)
    if name in REMOTE_MODELS:
        raise UsageError(f"model {name!r} is not here; run: stemlight models fetch {name}")
    raise UsageError(
        f"no model {name!r}{did_you_mean(name, [*usable, *REMOTE_MODELS])}; models are "
        f"{', '.join(usable)}, a .ckpt, .pt or .onnx file, or a folder with a {CARD_FILE}; "
        "stemlight models lists all"
    )
