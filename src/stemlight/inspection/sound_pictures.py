"""Pictures of what a model makes of a song, and of where it is wrong."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from stemlight.errors import UsageError
from stemlight.inspection.drawing import Picture, colour_bar, draw_levels, grid, label_outside
from stemlight.inspection.levels import error_profile, levels_db, power_of
from stemlight.inspection.observing import Observation
from stemlight.inspection.subject import Subject
from stemlight.shapes import Float32

__all__ = ["errors_figure", "spectrograms_figure"]

References = Mapping[str, Float32[np.ndarray, "channels samples"]]

_LEVEL_LABEL = "level (dB below the mixture's loudest)"


def spectrograms_figure(
    subject: Subject, observation: Observation, references: References | None = None
) -> Picture:
    """Draw mixture and estimates and, where the truth is known, reference and error of each.

    All have one scale.

    Raises:
        UsageError: references of another length, or of none of the sources.
    """
    references = dict(references or {})
    _check_references(observation, references)
    estimates = observation.estimates
    panels: list[tuple[str, np.ndarray]]
    total = np.sum(list(estimates.values()), axis=0)
    if references:
        panels = [
            ("mixture", observation.mixture),
            ("sum of the estimates", total),
            ("mixture − sum of the estimates", observation.mixture - total),
        ]
        for source, reference in references.items():
            panels += [
                (f"{source}: reference", reference),
                (f"{source}: estimate", estimates[source]),
                (f"{source}: error", reference - estimates[source]),
            ]
        n_columns = 3
    else:
        panels = [("mixture", observation.mixture)]
        panels += [(f"{source}: estimate", samples) for source, samples in estimates.items()]
        n_columns = min(len(panels), 3)
    n_rows = -(-len(panels) // n_columns)
    figure, axes = grid(
        n_rows,
        n_columns,
        size=(1.4 + 3.6 * n_columns, 0.9 + 2.0 * n_rows),
        title=f"Spectrograms of a song and of what {subject.name} makes of it",
    )
    rate_hz = observation.sample_rate_hz
    loudest = float(power_of(observation.mixture).max())
    for axis, (name, samples) in zip(axes.flat, panels, strict=False):
        image = draw_levels(
            axis,
            levels_db(samples, loudest_power=loudest),
            duration_seconds=samples.shape[1] / rate_hz,
            top_hz=rate_hz / 2,
        )
        axis.set_title(name, fontsize="small")
        axis.set_xlabel("time (s)")
    label_outside(axes)
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    used = [axis for axis in axes.flat if axis.figure is not None]
    colour_bar(image, np.array(used, dtype=object), _LEVEL_LABEL)
    return figure


def errors_figure(subject: Subject, observation: Observation, references: References) -> Picture:
    """Draw in which frequency bands and in which seconds each estimate is wrong.

    Where the error is as loud as the reference, silence would be as good an estimate.

    Raises:
        UsageError: there are no references, or they do not fit.
    """
    if not references:
        raise UsageError("errors are drawn against references; give the true stems")
    _check_references(observation, references)
    n_rows = len(references)
    figure, axes = grid(
        n_rows,
        2,
        size=(11, 0.9 + 2.2 * n_rows),
        title=f"Where the estimates of {subject.name} are wrong",
    )
    for (left, right), (source, reference) in zip(axes, references.items(), strict=True):
        profile = error_profile(
            reference, observation.estimates[source], observation.sample_rate_hz
        )
        edges = np.maximum(profile.band_edges_hz, profile.band_edges_hz[1] / 2)
        n_seconds = len(profile.reference_of_seconds_db)
        seconds = np.minimum(
            np.arange(n_seconds + 1), reference.shape[1] / observation.sample_rate_hz
        )
        for axis, places, true_db, error_db in (
            (left, edges, profile.reference_of_bands_db, profile.error_of_bands_db),
            (right, seconds, profile.reference_of_seconds_db, profile.error_of_seconds_db),
        ):
            axis.stairs(true_db, places, color="black", label="reference", baseline=None)
            axis.stairs(error_db, places, color="#d55e00", label="error", baseline=None)
            axis.grid(color="0.9")
            axis.set_axisbelow(True)
            top = max(true_db.max(), error_db.max()) + 5
            axis.set_ylim(max(min(true_db.min(), error_db.min()) - 5, top - 70), top)
            axis.set_ylabel("level (dB re full scale)")
        left.set_xscale("log")
        left.set_xticks([50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 20e3])
        left.set_xticklabels(["0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10", "20"])
        left.minorticks_off()
        left.set_xlim(edges[0], edges[-1])
        left.set_title(f"{source}: by half octaves", fontsize="small")
        right.set_xlim(0, seconds[-1])
        right.set_title(f"{source}: by seconds", fontsize="small")
    axes[0, 0].legend(fontsize="x-small")
    axes[-1, 0].set_xlabel("frequency (kHz)")
    axes[-1, 1].set_xlabel("time (s)")
    return figure


def _check_references(observation: Observation, references: References) -> None:
    for source, reference in references.items():
        if source not in observation.estimates:
            known = ", ".join(observation.estimates)
            raise UsageError(f"there is a reference of {source!r}, but the model gives {known}")
        if reference.shape != observation.mixture.shape:
            raise UsageError(
                f"the reference of {source!r} has the shape {reference.shape}, the mixture "
                f"{observation.mixture.shape}; give references of the same song"
            )
