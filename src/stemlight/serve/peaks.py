"""The outline of a sound: lowest and highest sample of each stretch, few enough to send at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from stemlight.shapes import Float32

__all__ = ["PeakMaker", "peak_numbers", "read_peaks", "write_peaks"]

_MOST_POINTS = 20_000
_SAMPLES_PER_POINT = 256  # of the shortest songs; doubled until there are not too many
_FULL_SCALE = 127


class PeakMaker:
    """Collects the peaks of all channels together, block by block."""

    def __init__(self) -> None:
        self._samples_per_point = _SAMPLES_PER_POINT
        self._waiting: np.ndarray = np.empty((2, 0), np.float32)
        self._points: list[np.ndarray] = []
        self._n_points = 0
        self.n_samples = 0

    def push(self, block: Float32[np.ndarray, "channels samples"]) -> None:
        """Take the next samples."""
        self.n_samples += block.shape[1]
        both = np.stack([block.min(axis=0), block.max(axis=0)])
        both = np.concatenate([self._waiting, both], axis=1)
        n_whole = both.shape[1] // self._samples_per_point
        self._append(both[:, : n_whole * self._samples_per_point])
        self._waiting = both[:, n_whole * self._samples_per_point :]
        # A song of any length needs no more; only the last point may be joined with nothing.
        if self._n_points > 2 * _MOST_POINTS and self._n_points % 2 == 0:
            self._halve()

    def finish(self, sample_rate_hz: int) -> tuple[dict[str, Any], np.ndarray]:
        """Return the facts of `GET .../peaks`, and its data, bytes of (points, low and high)."""
        self._append(self._waiting)
        self._waiting = self._waiting[:, :0]
        while self._n_points > _MOST_POINTS:
            self._halve()
        points = self._joined()
        scaled = np.clip(np.round(points * _FULL_SCALE), -_FULL_SCALE, _FULL_SCALE).astype(np.int8)
        facts = {
            "version": 1,
            "channels": 1,
            "sample_rate_hz": sample_rate_hz,
            "samples_per_point": self._samples_per_point,
            "length": self._n_points,
            "n_samples": self.n_samples,
        }
        return facts, np.ascontiguousarray(scaled.T)

    def _append(self, both: np.ndarray) -> None:
        n_samples = both.shape[1]
        if n_samples:
            starts = np.arange(0, n_samples, self._samples_per_point)
            low = np.minimum.reduceat(both[0], starts)
            self._points.append(np.stack([low, np.maximum.reduceat(both[1], starts)]))
            self._n_points += len(starts)

    def _halve(self) -> None:
        """Join each two points; an odd one at the end is joined with nothing."""
        points = self._joined()
        starts = np.arange(0, points.shape[1], 2)
        low = np.minimum.reduceat(points[0], starts)
        halved = np.stack([low, np.maximum.reduceat(points[1], starts)])
        self._samples_per_point *= 2
        self._points, self._n_points = [halved], halved.shape[1]

    def _joined(self) -> np.ndarray:
        return np.concatenate([np.empty((2, 0), np.float32), *self._points], axis=1)


def write_peaks(path: Path, facts: dict[str, Any], points: np.ndarray) -> None:
    """Write facts as a line of JSON, and the data behind it."""
    path.write_bytes(json.dumps(facts).encode() + b"\n" + points.tobytes())


def read_peaks(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return what `write_peaks` wrote."""
    head, _, data = path.read_bytes().partition(b"\n")
    return json.loads(head), data


def peak_numbers(data: bytes) -> list[int]:
    """Return the data as numbers, -127 to 127: low, high, low, high ..."""
    numbers: list[int] = np.frombuffer(data, np.int8).tolist()
    return numbers
