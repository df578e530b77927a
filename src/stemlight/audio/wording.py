"""How files and failures of the operating system are named in messages of one line."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["reason", "shown"]


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as text that every terminal can print in one line.

    Names with line breaks or with bytes that are no text (lone surrogates) come quoted and escaped.
    """
    name = str(Path(path))
    return name if name.isprintable() else repr(name)


def reason(error: OSError | ValueError) -> str:
    """Return why the operating system, or Python before it, refused: `No space left on device`."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
