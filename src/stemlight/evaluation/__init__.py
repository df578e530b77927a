"""Scores separation against ground truth; is handed arrays and callables, never models.

- `evaluate_tracks`, `score_track`: SDR alone, cheap, as training uses it;
- `measure_estimates`, `summarise`: every metric of the registry `METRICS`, and aggregates that name
  metric, aggregation, version and data;
- `bss_eval`: BSS Eval v4, as `museval` computes it.

docs/metrics.md tells what each metric means and hides.
"""

from stemlight.evaluation.bss import BSS_TAPS, BssFrames, bss_eval
from stemlight.evaluation.fingerprints import data_hash, track_hash
from stemlight.evaluation.measuring import (
    ReferenceTrack,
    StemMetrics,
    Summary,
    TrackMetrics,
    measure_estimates,
    summarise,
)
from stemlight.evaluation.metrics import (
    BSS_METRICS,
    FRAME_SECONDS,
    METRICS,
    Aggregation,
    Best,
    Metric,
    metric_named,
)
from stemlight.evaluation.museval_format import museval_json
from stemlight.evaluation.scores import (
    Scores,
    Separate,
    TrackScore,
    evaluate_tracks,
    score_track,
    sdr_db,
)
from stemlight.evaluation.signals import Samples, fit_length, rounded_to_16_bits

__all__ = [
    "BSS_METRICS",
    "BSS_TAPS",
    "FRAME_SECONDS",
    "METRICS",
    "Aggregation",
    "Best",
    "BssFrames",
    "Metric",
    "ReferenceTrack",
    "Samples",
    "Scores",
    "Separate",
    "StemMetrics",
    "Summary",
    "TrackMetrics",
    "TrackScore",
    "bss_eval",
    "data_hash",
    "evaluate_tracks",
    "fit_length",
    "measure_estimates",
    "metric_named",
    "museval_json",
    "rounded_to_16_bits",
    "score_track",
    "sdr_db",
    "summarise",
    "track_hash",
]
