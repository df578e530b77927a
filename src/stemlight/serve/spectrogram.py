"""A picture of a sound's frequencies over time, as PNG: rows are octaves, colours are levels."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from stemlight.audio import open_audio
from stemlight.shapes import Float32

__all__ = ["frequency_range_hz", "spectrogram_png"]

_WINDOW_SAMPLES = 4096
_MOST_COLUMNS, _ROWS = 1600, 256
_LOW_HZ, _HIGH_HZ = 30.0, 20_000.0
_FLOOR_DB = -90.0  # against a sine of full scale; black


def frequency_range_hz(sample_rate_hz: int) -> tuple[float, float]:
    """Return the frequencies of the picture's lower and upper edge."""
    return _LOW_HZ, min(_HIGH_HZ, sample_rate_hz / 2)


def spectrogram_png(path: Path, *, n_samples: int) -> bytes:
    """Draw a sound of about `n_samples`: a column for each equal part of it, at most 1600."""
    samples_per_column = max(_WINDOW_SAMPLES // 4, -(-max(1, n_samples) // _MOST_COLUMNS))
    with open_audio(path) as reader:
        rows = _Rows(reader.info.sample_rate_hz)
        columns = []
        waiting = np.zeros(_WINDOW_SAMPLES // 2, np.float32)  # windows lie around their column
        skip = 0
        for block in reader.blocks():
            waiting = np.concatenate([waiting, block.mean(axis=0, dtype=np.float32)])
            while len(waiting) - skip >= _WINDOW_SAMPLES:
                columns.append(rows.of(waiting[skip : skip + _WINDOW_SAMPLES]))
                skip += samples_per_column
            waiting, skip = waiting[skip:], max(0, skip - len(waiting))
        if not columns:
            columns.append(rows.of(np.resize(waiting, _WINDOW_SAMPLES)))
    levels = np.stack(columns[: 2 * _MOST_COLUMNS], axis=1)[::-1]
    shades = np.clip((levels - _FLOOR_DB) / -_FLOOR_DB * 255, 0, 255).astype(np.uint8)
    return _png(shades)


class _Rows:
    """Turns a window into levels at frequencies of equal ratio."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._window = np.hanning(_WINDOW_SAMPLES).astype(np.float32)
        low_hz, high_hz = frequency_range_hz(sample_rate_hz)
        edges_hz = np.geomspace(low_hz, high_hz, _ROWS + 1)
        bins = edges_hz * _WINDOW_SAMPLES / sample_rate_hz
        self._first = np.clip(np.floor(bins[:-1]).astype(int), 0, _WINDOW_SAMPLES // 2 - 1)

    def of(self, samples: Float32[np.ndarray, " samples"]) -> Float32[np.ndarray, " rows"]:
        """Return the highest level of each row's bins in dB, the lowest row first."""
        magnitudes = np.abs(np.fft.rfft(samples * self._window)) / (self._window.sum() / 2)
        highest = np.maximum.reduceat(magnitudes, self._first)
        return np.asarray(20 * np.log10(highest + 1e-9), np.float32)


def _palette() -> bytes:
    """Return 256 colours from black over violet and orange to white, growing lighter throughout."""
    places = np.linspace(0, 1, 256)
    red = np.interp(places, [0, 0.35, 0.7, 1], [0, 110, 250, 255])
    green = np.interp(places, [0, 0.35, 0.7, 1], [0, 20, 140, 255])
    blue = np.interp(places, [0, 0.35, 0.7, 1], [10, 110, 50, 230])
    return np.stack([red, green, blue], axis=1).astype(np.uint8).tobytes()


def _png(shades: np.ndarray) -> bytes:
    height, width = shades.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), shades], axis=1)  # no line filter
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in (
            (b"IHDR", header),
            (b"PLTE", _palette()),
            (b"IDAT", zlib.compress(lines.tobytes(), 6)),
            (b"IEND", b""),
        )
    )
