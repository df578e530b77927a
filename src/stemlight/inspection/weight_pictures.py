"""Pictures of the weights of frequency transformations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stemlight.errors import UsageError
from stemlight.inspection.attention import mean_attention
from stemlight.inspection.drawing import (
    LINE_COLOURS,
    Picture,
    colour_bar,
    draw_matrix,
    grid,
    shrink,
    signed_limit,
)
from stemlight.inspection.frequency_maps import (
    harmonic_profile,
    latent_maps,
    plain_maps,
    target_maps,
)
from stemlight.inspection.observing import Observation
from stemlight.inspection.places import Place
from stemlight.inspection.subject import Subject

__all__ = ["harmonics_figure", "latents_figure", "targets_figure", "tdf_figure"]

_INCHES = 2.4  # of a matrix

_ALL = "all sources"
_RATIOS = 2 ** np.linspace(-2.2, 2.2, 265)
_MARKED_RATIOS = {1 / 4: "1/4", 1 / 3: "1/3", 1 / 2: "1/2", 1: "1", 2: "2", 3: "3", 4: "4"}


def tdf_figure(subject: Subject) -> Picture:
    """Draw the TDF of each block that has one for all sources, as a map between frequencies.

    Raises:
        UsageError: no block has one.
    """
    maps = plain_maps(subject)
    if not maps:
        raise UsageError(
            f"no block of {subject.name!r} has a TDF of its own; its transformation is "
            f"{subject.known_config().network.transformation!r}"
        )
    return _matrices(
        f"Weights of the TDF of {subject.name}: from frequency to frequency",
        [_Panel(name, matrix, place, name) for name, (place, matrix) in maps.items()],
    )


def latents_figure(subject: Subject) -> Picture:
    """Draw the map of each latent source in the block with the most frequencies.

    Raises:
        UsageError: the model has no latent sources.
    """
    maps = _latent_maps(subject)
    place, matrices = max(maps.values(), key=lambda found: found[0].n_positions)
    return _matrices(
        f"Weights of the latent sources in {place.name} of {subject.name}",
        [
            _Panel(f"latent source {number}", matrix, place, place.name)
            for number, matrix in enumerate(matrices, start=1)
        ],
    )


def targets_figure(subject: Subject, observation: Observation | None = None) -> Picture:
    """Draw what each target makes of the latent sources in each layer.

    Raises:
        UsageError: the model has no latent sources, or its attention listens and there is no song.
    """
    shares = mean_attention(subject, observation)
    return _matrices(
        f"Weights of the latent sources as each target mixes them, {subject.name}",
        [
            _Panel(f"{name}, {source}", matrix, place, name)
            for name, (place, matrices) in target_maps(subject, shares).items()
            for source, matrix in zip(subject.sources, matrices, strict=True)
        ],
        n_columns=len(subject.sources),
    )


def harmonics_figure(subject: Subject, observation: Observation | None = None) -> Picture:
    """Draw how strong the weights are along lines of equal ratio between output and input.

    Raises:
        UsageError: no block transforms frequencies, or its attention listens without a song.
    """
    curves: dict[str, dict[str, tuple[Place, np.ndarray]]] = {}
    for name, found in plain_maps(subject).items():
        curves[name] = {_ALL: found}
    if subject.known_config().network.has_latents:
        targets = target_maps(subject, mean_attention(subject, observation))
        for name, (place, matrices) in targets.items():
            curves[name] = {
                source: (place, matrix)
                for source, matrix in zip(subject.sources, matrices, strict=True)
            }
    if not curves:
        raise UsageError(f"no block of {subject.name!r} transforms frequencies")
    n_columns = min(3, len(curves))
    n_rows = -(-len(curves) // n_columns)
    figure, axes = grid(
        n_rows,
        n_columns,
        size=(0.6 + 3.6 * n_columns, 0.9 + 2.4 * n_rows),
        title=f"Weights along lines of equal frequency ratio, {subject.name}",
    )
    for axis, (name, lines) in zip(axes.flat, curves.items(), strict=False):
        for number, (label, (place, matrix)) in enumerate(lines.items()):
            profile = harmonic_profile(matrix, place.edges_hz, _RATIOS)
            colour = "black" if label == _ALL else LINE_COLOURS[number % len(LINE_COLOURS)]
            axis.plot(_RATIOS, profile, label=label, linewidth=1, color=colour)
        axis.set_xscale("log", base=2)
        axis.set_xticks(list(_MARKED_RATIOS), list(_MARKED_RATIOS.values()))
        axis.minorticks_off()
        axis.grid(axis="x", color="0.8", linewidth=0.6)
        axis.set_title(name, fontsize="small")
    for axis in axes.flat[len(curves) :]:
        axis.remove()
    names = {
        label: line
        for axis in axes.flat
        for line, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    figure.legend(names.values(), names.keys(), loc="outside right upper", fontsize="small")
    figure.supxlabel("frequency of the output / frequency of the input", fontsize="small")
    figure.supylabel("mean weight on the line / mean of all weights", fontsize="small")
    return figure


def _latent_maps(subject: Subject) -> Mapping[str, tuple[Place, np.ndarray]]:
    maps = latent_maps(subject)
    if not maps:
        raise UsageError(
            f"{subject.name!r} has no latent sources, its transformation is "
            f"{subject.known_config().network.transformation!r}; lasaft and lightsaft have them"
        )
    return maps


@dataclass(frozen=True)
class _Panel:
    """A matrix; all of a group have one scale."""

    name: str
    matrix: np.ndarray
    place: Place
    group: str


def _matrices(title: str, panels: Sequence[_Panel], *, n_columns: int | None = None) -> Picture:
    if n_columns is None:  # as few places as possible stay empty
        n_columns = min(len(panels), min((4, 3, 5), key=lambda n: -len(panels) % n))
    n_rows = -(-len(panels) // n_columns)
    figure, axes = grid(
        n_rows,
        n_columns,
        size=(0.6 + _INCHES * n_columns, 0.9 + 0.86 * _INCHES * n_rows),
        title=f"{title}\n(two layers multiplied; norms and activations left out)",
    )
    shrunk = [shrink(panel.matrix, panel.place.edges_hz) for panel in panels]
    limits: dict[str, float] = {}
    for panel, (matrix, _) in zip(panels, shrunk, strict=True):
        limits[panel.group] = max(limits.get(panel.group, 0), signed_limit(matrix))
    for axis, panel, (matrix, edges_hz) in zip(axes.flat, panels, shrunk, strict=False):
        image = draw_matrix(axis, matrix, edges_hz, limit=limits[panel.group])
        axis.set_title(panel.name, fontsize="small")
        axis.tick_params(labelsize="x-small")
        bar = colour_bar(image, axis, "weight (no unit)")
        bar.ax.tick_params(labelsize="x-small")
        bar.ax.yaxis.label.set_fontsize("x-small")
    for axis in axes.flat[len(panels) :]:
        axis.remove()
    figure.supxlabel("frequency of the input (kHz)", fontsize="small")
    figure.supylabel("frequency of the output (kHz)", fontsize="small")
    return figure
