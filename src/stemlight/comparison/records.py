"""What was measured of one track by one system, stored so that nothing is measured twice.

A record belongs to a key: a hash over the data, what makes the estimates, the stems, and the
metrics with their versions. A record with another key is not there. Files come into being in one
step, and the same work makes the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemlight._version import __version__
from stemlight.audio.pending import PendingFile
from stemlight.evaluation import (
    METRICS,
    ReferenceTrack,
    StemMetrics,
    TrackMetrics,
)
from stemlight.shapes import Float

__all__ = [
    "TrackRecord",
    "file_name",
    "level_frames_dbfs",
    "read_record",
    "record_key",
    "write_file",
    "write_record",
]

_FORMAT = 1
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_SILENT_DBFS = -200.0


@dataclass(frozen=True, kw_only=True)
class TrackRecord:
    """A track's metrics by one system, and how loud each reference is second by second."""

    system: str
    metrics: TrackMetrics
    levels_dbfs: Mapping[str, Float[np.ndarray, " frames"]]


def record_key(
    identity: str, data_hash: str, stems: Sequence[str], metrics: Sequence[str], **more: Any
) -> str:
    """Return a hash over all that decides what a record says."""
    versions = {name: METRICS[name].version for name in metrics}
    facts = {
        "format": _FORMAT,
        "stemlight": __version__,
        "system": identity,
        "data": data_hash,
        "stems": list(stems),
        "metrics": versions,
        **more,
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def level_frames_dbfs(
    track: ReferenceTrack, stems: Sequence[str], frame_samples: int
) -> dict[str, Float[np.ndarray, " frames"]]:
    """Return the RMS level of each frame of each stem, with frames as metrics have them."""
    found = {}
    for name in stems:
        signal = track.references[name]
        n_samples = min(frame_samples, signal.shape[1])
        n_frames = signal.shape[1] // n_samples
        frames = signal[:, : n_frames * n_samples].reshape(len(signal), n_frames, n_samples)
        power = np.mean(np.square(frames, dtype=np.float64), axis=(0, 2))
        found[name] = 10 * np.log10(np.maximum(power, 10 ** (_SILENT_DBFS / 10)))
    return found


def file_name(name: str) -> str:
    """Return a name that every file system takes, and that no other name shares."""
    plain = re.sub(r"[^\w .,&'()+=@-]", "_", name).strip(" .")[:80]
    if plain and plain == name:
        return plain
    return f"{plain}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def write_file(path: Path, content: str | bytes) -> None:
    """Write a file that is complete under its name or not there at all.

    Raises:
        OutputError: it cannot be written.
    """
    pending = PendingFile(path, overwrite=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pending.open().write(content.encode() if isinstance(content, str) else content)
        pending.place()
    except (OSError, ValueError) as error:
        pending.discard()
        raise pending.error(error) from error
    except BaseException:
        pending.discard()
        raise


def write_record(path: Path, key: str, record: TrackRecord) -> None:
    """Store a record under its key.

    Raises:
        OutputError: it cannot be written.
    """
    metrics = record.metrics
    content = {
        "format": _FORMAT,
        "key": key,
        "system": record.system,
        "track": metrics.name,
        "duration_seconds": metrics.duration_seconds,
        "data_hash": metrics.data_hash,
        "stems": {
            name: {
                "values": {key: _plain(value) for key, value in stem.values.items()},
                "frames": {key: _plain(frames) for key, frames in stem.frames.items()},
                "reference_dbfs": _plain(record.levels_dbfs[name]),
            }
            for name, stem in metrics.stems.items()
        },
    }
    write_file(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def read_record(path: Path, key: str) -> TrackRecord | None:
    """Return the record that was stored under the key, or None."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["key"] != key:
            return None
        stems = content["stems"]
        metrics = TrackMetrics(
            name=content["track"],
            duration_seconds=content["duration_seconds"],
            data_hash=content["data_hash"],
            stems={
                name: StemMetrics(
                    values={key: _number(value) for key, value in stem["values"].items()},
                    frames={key: _numbers(values) for key, values in stem["frames"].items()},
                )
                for name, stem in stems.items()
            },
        )
        levels_dbfs = {name: _numbers(stem["reference_dbfs"]) for name, stem in stems.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # not there, or not what was written there: measured anew
    return TrackRecord(system=content["system"], metrics=metrics, levels_dbfs=levels_dbfs)


def _plain(value: float | np.ndarray) -> Any:
    if isinstance(value, np.ndarray):
        return [_plain(float(each)) for each in value]
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _number(value: Any) -> float:
    return _NOT_FINITE[value] if isinstance(value, str) else float(value)


def _numbers(values: Sequence[Any]) -> Float[np.ndarray, " frames"]:
    return np.array([_number(value) for value in values], np.float64)
