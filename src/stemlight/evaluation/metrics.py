"""The registry of metrics: what each is called, measures, and how it is aggregated.

A number without its metric, aggregation, version and data means little: `Metric.title` and
`Summary.label` say them. The version changes whenever the definition does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from stemlight.errors import UsageError, did_you_mean
from stemlight.evaluation.loudness import loudness_difference_lu
from stemlight.evaluation.ratios import chunk_sdr_db, si_sdr_db
from stemlight.evaluation.scores import sdr_db
from stemlight.evaluation.signals import Samples
from stemlight.evaluation.silence import leakage_dbfs, relative_leakage_db
from stemlight.evaluation.spectra import log_spectral_distance_db, spectral_convergence
from stemlight.evaluation.transients import steady_sdr_db, transient_sdr_db
from stemlight.shapes import Float

__all__ = [
    "BSS_METRICS",
    "FRAME_SECONDS",
    "METRICS",
    "Aggregation",
    "Best",
    "Metric",
    "StemSignals",
    "metric_named",
]

FRAME_SECONDS = 1.0
"""Length and hop of the frames of all metrics that have frames."""

Best = Literal["highest", "lowest", "zero"]
"""Which value of a metric is the best."""

Aggregation = Literal["mean", "median", "mean of absolutes"]


@dataclass(frozen=True, kw_only=True)
class StemSignals:
    """A stem of a track: what is wanted, what was found, and where both come from."""

    reference: Samples
    estimate: Samples
    mixture: Samples | None
    sample_rate_hz: int

    @property
    def frame_samples(self) -> int:
        """Samples of a frame of a second."""
        return round(FRAME_SECONDS * self.sample_rate_hz)


Measure = Callable[[StemSignals], float | Float[np.ndarray, " frames"]]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One metric; `measure` is None where all stems are measured at once, as BSS Eval does."""

    name: str
    description: str
    unit: str
    best: Best
    measure: Measure | None
    over_frames: Aggregation | None = None  # None: one value for a whole track
    over_tracks: Aggregation = "mean"
    needs_mixture: bool = False
    version: int = 1

    @property
    def title(self) -> str:
        """Name, version, unit and the aggregation that belongs to the metric."""
        return self.titled(self.over_frames, self.over_tracks)

    def titled(
        self, over_frames: Aggregation | None, over_tracks: Aggregation, n_tracks: int | None = None
    ) -> str:
        """Name, version, unit and an aggregation, of a number of tracks if it is known."""
        frames = f"{over_frames} over {FRAME_SECONDS:g} s frames, " if over_frames else ""
        tracks = "tracks" if n_tracks is None else f"{n_tracks} tracks"
        return f"{self.name} v{self.version} [{self.unit}], {frames}{over_tracks} over {tracks}"


def _sdr_db(stem: StemSignals) -> float:
    return sdr_db(stem.reference, stem.estimate) if np.any(stem.reference) else float("nan")


def _relative_leakage_db(stem: StemSignals) -> float:
    assert stem.mixture is not None, "the metric says that it needs the mixture"
    return relative_leakage_db(stem.reference, stem.estimate, stem.mixture, stem.sample_rate_hz)


def _bss(name: str, description: str) -> Metric:
    return Metric(
        name=f"bss-{name}",
        description=f"BSS Eval v4: {description}; references rounded to 16 bits",
        unit="dB",
        best="highest",
        measure=None,
        over_frames="median",
        over_tracks="median",
    )


_METRICS = (
    Metric(
        name="sdr",
        description="energy of the reference over that of the error, whole track (uSDR, MDX'21)",
        unit="dB",
        best="highest",
        measure=_sdr_db,
    ),
    Metric(
        name="si-sdr",
        description="SDR after the gain on the reference that is best for it, whole track",
        unit="dB",
        best="highest",
        measure=lambda stem: si_sdr_db(stem.reference, stem.estimate),
    ),
    Metric(
        name="csdr",
        description="energy of the reference over that of the error, second by second",
        unit="dB",
        best="highest",
        measure=lambda stem: chunk_sdr_db(stem.reference, stem.estimate, stem.frame_samples),
        over_frames="median",
        over_tracks="median",
    ),
    _bss("sdr", "the source over all that differs"),
    _bss("isr", "the source over its own wrong level, place and colour"),
    _bss("sir", "the filtered source over what is left of other sources"),
    _bss("sar", "all sources, filtered, over what no source explains"),
    Metric(
        name="spectral-convergence",
        description="error of magnitudes over magnitudes, mean over three resolutions",
        unit="ratio",
        best="lowest",
        measure=lambda stem: spectral_convergence(stem.reference, stem.estimate),
    ),
    Metric(
        name="log-spectral-distance",
        description="mean difference of levels of bins, mean over three resolutions",
        unit="dB",
        best="lowest",
        measure=lambda stem: log_spectral_distance_db(stem.reference, stem.estimate),
    ),
    Metric(
        name="loudness-difference",
        description="integrated loudness of the estimate minus the reference's (BS.1770)",
        unit="LU",
        best="zero",
        measure=lambda stem: loudness_difference_lu(
            stem.reference, stem.estimate, stem.sample_rate_hz
        ),
        over_tracks="mean of absolutes",
    ),
    Metric(
        name="leakage",
        description="RMS level of the estimate in the reference's silent seconds",
        unit="dBFS",
        best="lowest",
        measure=lambda stem: leakage_dbfs(stem.reference, stem.estimate, stem.sample_rate_hz),
    ),
    Metric(
        name="relative-leakage",
        description="estimate over mixture in the reference's silent seconds",
        unit="dB",
        best="lowest",
        measure=_relative_leakage_db,
        needs_mixture=True,
    ),
    Metric(
        name="transient-sdr",
        description="SDR within 20 ms of the reference's onsets",
        unit="dB",
        best="highest",
        measure=lambda stem: transient_sdr_db(stem.reference, stem.estimate, stem.sample_rate_hz),
    ),
    Metric(
        name="steady-sdr",
        description="SDR farther than 20 ms from the reference's onsets",
        unit="dB",
        best="highest",
        measure=lambda stem: steady_sdr_db(stem.reference, stem.estimate, stem.sample_rate_hz),
    ),
)

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _METRICS}
BSS_METRICS = tuple(metric.name for metric in _METRICS if metric.measure is None)


def metric_named(name: str) -> Metric:
    """Return a metric of the registry.

    Raises:
        UsageError: There is none of this name.
    """
    if name not in METRICS:
        raise UsageError(
            f"there is no metric {name!r}{did_you_mean(name, METRICS)}; "
            f"choose from {', '.join(METRICS)}"
        )
    return METRICS[name]
