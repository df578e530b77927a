"""BSS Eval scores in the JSON of `museval`, so that its tools and published scores read alike."""

from __future__ import annotations

import math
from typing import Any

from stemlight._version import __version__
from stemlight.errors import UsageError
from stemlight.evaluation.measuring import TrackMetrics
from stemlight.evaluation.metrics import BSS_METRICS, FRAME_SECONDS

__all__ = ["museval_json"]


def museval_json(track: TrackMetrics) -> dict[str, Any]:
    """Return the BSS Eval frames of a track as `museval` writes them to JSON.

    As there, values have five decimals, and infinite ones are NaN.

    Raises:
        UsageError: Not all four ratios were measured.
    """
    targets = []
    for name, stem in track.stems.items():
        missing = [metric for metric in BSS_METRICS if metric not in stem.frames]
        if missing:
            raise UsageError(f"{', '.join(missing)} of {track.name!r} were not measured")
        ratios = {
            metric.removeprefix("bss-").upper(): stem.frames[metric] for metric in BSS_METRICS
        }
        n_frames = len(stem.frames[BSS_METRICS[0]])
        targets.append(
            {
                "name": name,
                "frames": [
                    {
                        "time": index * FRAME_SECONDS,
                        "duration": FRAME_SECONDS,
                        "metrics": {
                            key: round(float(values[index]), 5)
                            if math.isfinite(values[index])
                            else math.nan
                            for key, values in ratios.items()
                        },
                    }
                    for index in range(n_frames)
                ],
            }
        )
    return {"targets": targets, "museval_version": f"stemlight {__version__}"}
