"""Writes pictures that are either complete under their name or not there at all."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from PIL import Image

from stemlight.audio.pending import PendingFile
from stemlight.errors import UsageError, did_you_mean

__all__ = ["PICTURE_FORMATS", "picture_bytes", "save_picture"]

PICTURE_FORMATS = ("png", "svg", "pdf")

_DPI = 100
# Neither times nor versions, so that the same picture is the same bytes.
_METADATA = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Producer": None, "Creator": None},
}


def picture_bytes(figure: Figure, format: str) -> bytes:
    """Return a figure as a file of its format.

    Raises:
        UsageError: there is no such format.
    """
    if format not in PICTURE_FORMATS:
        raise UsageError(
            f"pictures are {', '.join(PICTURE_FORMATS)}, not {format!r}"
            f"{did_you_mean(format, PICTURE_FORMATS)}"
        )
    file = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "stemlight", "svg.fonttype": "path"}):
        figure.savefig(file, format=format, dpi=_DPI, metadata=_METADATA[format])
    return _with_palette(file) if format == "png" else file.getvalue()


def _with_palette(file: io.BytesIO) -> bytes:
    """Write a PNG again with 256 colours, which is as many as a colour map has: a third in size."""
    smaller = io.BytesIO()
    with Image.open(file) as image:
        palette = image.convert("RGB").quantize(
            256, method=Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE
        )
        palette.save(smaller, "png", optimize=True, dpi=(_DPI, _DPI))
    return smaller.getvalue()


def save_picture(figure: Figure, path: Path, *, overwrite: bool = False) -> None:
    """Write a figure; the suffix chooses its format.

    Raises:
        UsageError: there is no such format.
        OutputError: the file exists and must not be overwritten, or cannot be written.
    """
    content = picture_bytes(figure, path.suffix.lower().removeprefix("."))
    pending = PendingFile(path, overwrite=overwrite)
    try:
        pending.open().write(content)
        pending.place()
    except (OSError, ValueError) as error:
        pending.discard()
        raise pending.error(error) from error
    except BaseException:
        pending.discard()
        raise
