"""Paired statistics: which of two systems is better, by how much, and is it real.

Tracks differ far more than systems do, so scores are subtracted track by track, and the
differences alone are looked at. Their mean gets an interval by the percentile bootstrap: tracks are
drawn again and again, with replacement, and the middle 95 % of the means are kept. The draws are
those of one seed, so the same scores give the same interval.

Source: Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from stemlight.comparison.records import TrackRecord
from stemlight.evaluation import Metric, data_hash
from stemlight.shapes import Float

__all__ = [
    "AVERAGE",
    "CONFIDENCE",
    "LEAST_TRACKS",
    "N_RESAMPLES",
    "SEED",
    "PairedDifference",
    "advantage",
    "all_differences",
    "bootstrap_interval",
    "compare_pair",
]

AVERAGE = "AVG"
"""In place of a stem: the mean over all stems that both systems give, track by track."""

CONFIDENCE = 0.95
N_RESAMPLES = 10_000
SEED = 0

LEAST_TRACKS = 6
"""With fewer, all differences have one sign by chance in more than 3 % of all cases: no verdict."""

_AT_ONCE = 1000  # resamples


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """By how much the first system is better than the second, in the metric's unit.

    Positive numbers speak for the first, also of metrics whose best is the lowest or zero.
    """

    metric: Metric
    first: str
    second: str
    stem: str
    differences: Mapping[str, float]
    """By track; tracks in which one has no finite value are left out."""

    mean: float
    median: float
    mean_interval: tuple[float, float]
    median_interval: tuple[float, float]
    data_hash: str

    @property
    def n_tracks(self) -> int:
        """How many tracks have a difference."""
        return len(self.differences)

    @property
    def n_better(self) -> int:
        """In how many of them the first system is better."""
        return sum(value > 0 for value in self.differences.values())

    @property
    def is_real(self) -> bool:
        """Whether the interval of the mean excludes zero, of enough tracks to say so."""
        low, high = self.mean_interval
        return self.n_tracks >= LEAST_TRACKS and (low > 0 or high < 0)

    @property
    def verdict(self) -> str:
        """Which system is better, in words."""
        if not self.differences:
            return "nothing to compare"
        if self.n_tracks < LEAST_TRACKS:
            return f"too few tracks ({self.n_tracks}, not {LEAST_TRACKS})"
        if not self.is_real:
            return "no difference shown"
        return f"{self.first if self.mean > 0 else self.second} is better"

    @property
    def label(self) -> str:
        """What belongs beside the numbers: metric, version, unit, statistics, data."""
        metric = self.metric.titled(self.metric.over_frames, self.metric.over_tracks)
        metric = metric.rpartition(", ")[0]
        return (
            f"{metric}, differences paired by track, mean and median over tracks, "
            f"{CONFIDENCE:.0%} intervals by bootstrap ({N_RESAMPLES} resamples, seed {SEED}), "
            f"data {self.data_hash[:12]}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return all of it as plain values; null for what is not there."""
        return {
            "metric": self.metric.name,
            "version": self.metric.version,
            "unit": self.metric.unit,
            "first": self.first,
            "second": self.second,
            "stem": self.stem,
            "differences": dict(self.differences),
            "first_ahead": self.n_better,
            "mean": _or_none(self.mean),
            "mean_interval": [_or_none(end) for end in self.mean_interval],
            "median": _or_none(self.median),
            "median_interval": [_or_none(end) for end in self.median_interval],
            "is_real": self.is_real,
            "data_hash": self.data_hash,
        }


def advantage(metric: Metric, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return by how much `first` is better than `second` by the metric, value by value."""
    if metric.best == "zero":
        return np.abs(second) - np.abs(first)
    return first - second if metric.best == "highest" else second - first


def compare_pair(
    metric: Metric,
    first: Sequence[TrackRecord],
    second: Sequence[TrackRecord],
    stems: Sequence[str],
) -> list[PairedDifference]:
    """Compare the records of two systems, stem by stem and, of several stems, on average.

    Stems that one of them does not give are left out.
    """
    pairs = list(zip(first, second, strict=True))
    by_stem: dict[str, dict[str, float]] = {}
    for stem in stems:
        if any(stem in one.metrics.stems and stem in two.metrics.stems for one, two in pairs):
            by_stem[stem] = {
                one.metrics.name: _advantage_of(metric, one, two, stem) for one, two in pairs
            }
    if len(by_stem) > 1:
        by_stem[AVERAGE] = {
            one.metrics.name: _mean([found[one.metrics.name] for found in by_stem.values()])
            for one, _ in pairs
        }
    hashes = data_hash({one.metrics.name: one.metrics.data_hash for one, _ in pairs})
    return [
        _difference(metric, (first[0].system, second[0].system), stem, found, hashes)
        for stem, found in by_stem.items()
    ]


def all_differences(
    metric: Metric, records: Mapping[str, Sequence[TrackRecord]], stems: Sequence[str]
) -> list[PairedDifference]:
    """Compare every system with every later one."""
    return [
        difference
        for first, second in combinations(records, 2)
        for difference in compare_pair(metric, records[first], records[second], stems)
    ]


def bootstrap_interval(
    values: Float[np.ndarray, " tracks"],
    statistic: Callable[..., np.ndarray],
    *,
    seed: int = SEED,
) -> tuple[float, float]:
    """Return the interval of `np.mean` or `np.median` by the percentile bootstrap; NaN if empty."""
    if not len(values):
        return math.nan, math.nan
    random = np.random.default_rng(seed)
    found = []
    for n_done in range(0, N_RESAMPLES, _AT_ONCE):
        shape = (min(_AT_ONCE, N_RESAMPLES - n_done), len(values))
        found.append(statistic(values[random.integers(len(values), size=shape)], axis=1))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    return float(low), float(high)


def _advantage_of(metric: Metric, one: TrackRecord, two: TrackRecord, stem: str) -> float:
    stems = one.metrics.stems, two.metrics.stems
    if stem not in stems[0] or stem not in stems[1]:
        return math.nan
    first, second = (np.array(each[stem].values[metric.name]) for each in stems)
    with np.errstate(invalid="ignore"):
        return float(advantage(metric, first, second))


def _mean(values: Sequence[float]) -> float:
    present = [value for value in values if math.isfinite(value)]
    return math.fsum(present) / len(present) if present else math.nan


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _difference(
    metric: Metric, names: tuple[str, str], stem: str, found: Mapping[str, float], hashes: str
) -> PairedDifference:
    present = {track: value for track, value in found.items() if math.isfinite(value)}
    values = np.array(list(present.values()))
    return PairedDifference(
        metric=metric,
        first=names[0],
        second=names[1],
        stem=stem,
        differences=present,
        mean=float(np.mean(values)) if len(values) else math.nan,
        median=float(np.median(values)) if len(values) else math.nan,
        mean_interval=bootstrap_interval(values, np.mean),
        median_interval=bootstrap_interval(values, np.median),
        data_hash=hashes,
    )
