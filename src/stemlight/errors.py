"""The exceptions that stemlight raises on purpose; everything else is a bug.

StemlightError
├── UsageError          the call itself is wrong: an unknown stem, model, format or device
├── ConfigError         a preset, recipe or card has a wrong field
├── InputError          one input cannot be separated; other inputs go on
├── OutputError         a result cannot be written: no permission, disk full, exists already
├── CancelledError      the caller's own progress callback asked to stop
├── WeightsError        weights or card are missing, damaged or do not fit the network
│   └── DownloadError   weights could not be downloaded, or are not the ones expected
└── MissingExtraError   an optional dependency is not installed

Every message says what came, what is allowed and what to do, in one line.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = [
    "CancelledError",
    "ConfigError",
    "DownloadError",
    "InputError",
    "MissingExtraError",
    "OutputError",
    "StemlightError",
    "UsageError",
    "WeightsError",
    "did_you_mean",
]


class StemlightError(Exception):
    """Base of every error that stemlight raises on purpose."""


class UsageError(StemlightError):
    """The call itself is wrong; nothing was attempted."""


class ConfigError(StemlightError):
    """A preset, recipe or card has a wrong field or value."""


class InputError(StemlightError):
    """One input cannot be separated; other inputs of the same call go on."""


class OutputError(StemlightError):
    """A result could not be written; what was half written is removed."""


class CancelledError(StemlightError):
    """The work was ended by the caller's own progress callback; nothing of it is left."""


class WeightsError(StemlightError):
    """Weights or their card are missing, damaged, or do not fit the network."""


class DownloadError(WeightsError):
    """Weights could not be downloaded, or what came is not what was expected."""


class MissingExtraError(StemlightError):
    """An optional dependency is not installed; the message names the extra."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `" (did you mean 'x'?)"` for the closest known word, or an empty string."""
    matches = get_close_matches(word, list(known), n=1)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
