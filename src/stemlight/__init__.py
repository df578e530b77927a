"""stemlight separates music into its sources: vocals, drums, bass and the rest.

>>> stems = stemlight.separate("song.mp3")  # doctest: +SKIP
>>> stems["vocals"].save("vocals.wav")  # doctest: +SKIP

Importing this package imports nothing heavy; names are looked up when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from stemlight._version import __version__

if TYPE_CHECKING:
    from stemlight.api import list_models, load, model_card, separate
    from stemlight.audio import Audio, Stems, read_audio
    from stemlight.errors import (
        ConfigError,
        DownloadError,
        InputError,
        MissingExtraError,
        OutputError,
        StemlightError,
        UsageError,
        WeightsError,
    )
    from stemlight.separation import Ensemble, SeparationStream, Separator, blend
    from stemlight.weights.cards import ModelCard

__all__ = [
    "Audio",
    "ConfigError",
    "DownloadError",
    "Ensemble",
    "InputError",
    "MissingExtraError",
    "ModelCard",
    "OutputError",
    "SeparationStream",
    "Separator",
    "StemlightError",
    "Stems",
    "UsageError",
    "WeightsError",
    "__version__",
    "blend",
    "list_models",
    "load",
    "model_card",
    "read_audio",
    "separate",
]

_HOME = {
    "Audio": "audio",
    "Ensemble": "separation",
    "ModelCard": "weights.cards",
    "SeparationStream": "separation",
    "Separator": "separation",
    "Stems": "audio",
    "blend": "separation",
    "list_models": "api",
    "load": "api",
    "model_card": "api",
    "read_audio": "audio",
    "separate": "api",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'stemlight' has no attribute {name!r}")
    module = importlib.import_module(f"stemlight.{_HOME.get(name, 'errors')}")
    return getattr(module, name)


def __dir__() -> list[str]:
    return list(__all__)
