"""Scores systems on tracks, compares them, and tells it in tables, pictures and a page that plays.

A system is anything with a name that makes stems: see `System`. Models are wrapped by whoever loads
them; docs/evaluation.md says what all this is for.
"""

from stemlight.comparison.baselines import HarmonicPercussive, IdealRatioMask
from stemlight.comparison.moments import Moment, differing_moments, extreme_moments
from stemlight.comparison.records import TrackRecord
from stemlight.comparison.running import (
    PAPER_STEMS,
    ReadableTrack,
    ScoredTrack,
    Scoring,
    reference_stems,
    score_tracks,
    scored_stems,
    scored_tracks,
)
from stemlight.comparison.statistics import (
    AVERAGE,
    PairedDifference,
    all_differences,
    bootstrap_interval,
    compare_pair,
)
from stemlight.comparison.systems import (
    EstimatesFolder,
    MixtureAsEstimate,
    ModelSystem,
    System,
)
from stemlight.comparison.tables import (
    Table,
    difference_table,
    formatted,
    markdown,
    score_table,
    track_table,
)
from stemlight.comparison.workers import OpenSystem, OpenSystems, Spread, Watcher, Workers
from stemlight.comparison.writing import Findings, check_extra, main_metrics, write_findings

__all__ = [
    "AVERAGE",
    "PAPER_STEMS",
    "EstimatesFolder",
    "Findings",
    "HarmonicPercussive",
    "IdealRatioMask",
    "MixtureAsEstimate",
    "ModelSystem",
    "Moment",
    "OpenSystem",
    "OpenSystems",
    "PairedDifference",
    "ReadableTrack",
    "ScoredTrack",
    "Scoring",
    "Spread",
    "System",
    "Table",
    "TrackRecord",
    "Watcher",
    "Workers",
    "all_differences",
    "bootstrap_interval",
    "check_extra",
    "compare_pair",
    "difference_table",
    "differing_moments",
    "extreme_moments",
    "formatted",
    "main_metrics",
    "markdown",
    "reference_stems",
    "score_table",
    "score_tracks",
    "scored_stems",
    "scored_tracks",
    "track_table",
    "write_findings",
]
