"""A picture of how far a network sees."""

from __future__ import annotations

from typing import Any

import numpy as np

from stemlight.inspection.drawing import LEVELS, Picture, by_octaves, colour_bar, grid, mark_hz
from stemlight.inspection.places import bin_hz
from stemlight.inspection.receptive_field import (
    FieldSpan,
    MeasuredField,
    computed_field,
    measured_field,
    span_of_share,
)
from stemlight.inspection.subject import Subject
from stemlight.models.config import ModelConfig
from stemlight.shapes import Float32

__all__ = ["receptive_field_figure"]

_FIELD_RANGE_DB = 60
_SHARE = 0.95
_ALLOWED: dict[str, Any] = {"color": "#d55e00", "linestyle": "--", "linewidth": 1}


def receptive_field_figure(
    subject: Subject,
    *,
    source: str | None = None,
    hz: float = 1000.0,
    mixture: Float32[np.ndarray, "2 samples"] | None = None,
) -> Picture:
    """Draw on what of the mixture one bin of one frame of an estimate depends, and how much.

    The influence is measured on a window of the mixture, or of noise if there is none.

    Raises:
        WeightsError: the weights are in a graph alone.
        UsageError: the model is a system of several, or has no such source.
    """
    config = subject.known_config()
    source = source or subject.sources[0]
    measured = measured_field(subject, source=source, hz=hz, mixture=mixture)
    n_frames = len(measured.influence)
    allowed = computed_field(config, n_frames, measured.frame, measured.bin)
    hop_seconds = config.stft.hop_samples / config.sample_rate_hz
    seconds = (np.arange(n_frames) - measured.frame) * hop_seconds
    top_hz = config.sample_rate_hz / 2
    rows, edges_hz = by_octaves(_up_to(measured.influence, config), top_hz=top_hz)
    heard = "noise" if mixture is None else "the song"
    figure, axes = grid(
        2,
        2,
        size=(11, 7.6),
        title=f"Receptive field of {subject.name}: what its {source} at "
        f"{measured.bin * bin_hz(config) / 1000:.2f} kHz depends on, measured on {heard}\n"
        + _field_facts(config, measured, allowed.frames),
        width_ratios=(3, 1),
    )
    (image_axis, right), (below, corner) = axes
    corner.remove()
    image = image_axis.imshow(
        _relative_db(rows).T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=LEVELS,
        vmin=-_FIELD_RANGE_DB,
        vmax=0,
        extent=(
            seconds[0] - hop_seconds / 2,
            seconds[-1] + hop_seconds / 2,
            -0.5,
            rows.shape[1] - 0.5,
        ),
    )
    mark_hz(image_axis, "y", edges_hz)
    image_axis.set_ylabel("frequency (kHz)")
    colour_bar(image, image_axis, "influence (dB below its largest)")
    below.plot(seconds, _relative_db(np.linalg.norm(measured.influence, axis=1)), color="black")
    below.set(xlabel="time from the estimated frame (s)", ylabel="influence (dB)")
    below.set_xlim(image_axis.get_xlim())
    right.plot(_relative_db(rows.max(axis=0)), np.arange(rows.shape[1]), color="black")
    mark_hz(right, "y", edges_hz)
    right.set(xlabel="influence (dB)", ylim=image_axis.get_ylim())
    allowed_rows = _row_of(np.array(allowed.bins) * bin_hz(config), edges_hz)
    for number in (0, 1):
        label = "what the wiring allows" if number == 0 else None
        below.axvline(seconds[allowed.frames[number]], label=label, **_ALLOWED)
        right.axhline(allowed_rows[number], **_ALLOWED)
    limit = _row_of(np.array([config.band_limit_hz]), edges_hz)[0]
    image_axis.axhline(limit, color="white", linestyle=":", linewidth=1)
    for axis in (below, right):
        axis.grid(color="0.9")
    below.legend(fontsize="x-small", loc="upper right")
    return figure


def _field_facts(config: ModelConfig, measured: MeasuredField, allowed: tuple[int, int]) -> str:
    energy = np.square(measured.influence)
    if not energy.any():
        return "nothing of it: no place has any influence"
    first, last = span_of_share(energy.sum(axis=1), _SHARE)
    low, high = (bin * bin_hz(config) / 1000 for bin in span_of_share(energy.sum(axis=0), _SHARE))
    heard_seconds = FieldSpan(frames=(first, last), bins=(0, 0)).seconds(config)
    n_frames, own = len(measured.influence), measured.frame
    hop_seconds = config.stft.hop_samples / config.sample_rate_hz
    if allowed == (0, n_frames - 1):
        wiring = f"the whole window of {n_frames} frames"
    elif allowed == (own, own):
        wiring = "its own frame alone"
    else:
        before, after = (own - allowed[0]) * hop_seconds, (allowed[1] - own) * hop_seconds
        wiring = f"frames from {before:.2f} s before to {after:.2f} s after"
    return (
        f"{_SHARE:.0%} of the squared influence: {heard_seconds:.2f} s, {low:.2f} to "
        f"{high:.2f} kHz. The wiring allows {wiring}. Band limit: "
        f"{config.band_limit_hz / 1000:.2f} kHz"
    )


def _up_to(influence: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Append the bins that the network does not see."""
    n_bins = config.stft.n_fft // 2 + 1
    return np.pad(influence, ((0, 0), (0, n_bins - influence.shape[1])))


def _row_of(hz: np.ndarray, edges_hz: np.ndarray) -> np.ndarray:
    return np.interp(hz, edges_hz, np.arange(len(edges_hz))) - 0.5


def _relative_db(values: np.ndarray) -> np.ndarray:
    relative = values / max(values.max(), 1e-300)
    return 20 * np.log10(np.maximum(relative, 10 ** (-_FIELD_RANGE_DB / 20)))
