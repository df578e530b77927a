"""Pictures of what conditions a network: modulations, gates, and the space of control vectors."""

from __future__ import annotations

import numpy as np

from stemlight.errors import UsageError
from stemlight.inspection.conditions import (
    control_vectors,
    distances,
    modulations,
    principal_plane,
)
from stemlight.inspection.drawing import (
    AMOUNTS,
    LINE_COLOURS,
    SIGNED,
    Picture,
    colour_bar,
    draw_levels,
    draw_table,
    grid,
    label_outside,
    mark_hz,
    signed_limit,
)
from stemlight.inspection.levels import levels_db, power_of
from stemlight.inspection.observing import Observation
from stemlight.inspection.places import places_of
from stemlight.inspection.subject import Subject

__all__ = ["embedding_figure", "gates_figure", "interpolation_figure", "modulation_figure"]


def modulation_figure(subject: Subject) -> Picture:
    """Draw gamma and beta of each modulated block for each source.

    Raises:
        UsageError: nothing is modulated.
    """
    found = modulations(subject)
    kind = subject.known_config().network.modulation
    gammas = next(iter(found.values()))[0]
    title = f"{_KINDS[kind]} of {subject.name}"
    return _film(subject, found, title) if gammas.ndim == 2 else _pocm(subject, found, title)


_KINDS = {
    "film": "Scales (gamma) and offsets (beta) of the FiLM",
    "film-simple": "Scales (gamma) and offsets (beta) of the simple FiLM",
    "pocm": "Generated 1×1 convolutions (gamma) of the PoCM",
    "gpocm": "Generated 1×1 convolutions (gamma) behind the gates of the GPoCM",
}


def _film(subject: Subject, found: dict[str, tuple[np.ndarray, np.ndarray]], title: str) -> Picture:
    n_rows = len(found)
    height = 1.2 + n_rows * (0.8 + 0.2 * len(subject.sources))
    figure, axes = grid(n_rows, 2, size=(11, height), title=title)
    for row, (name, pair) in zip(axes, found.items(), strict=True):
        for axis, values, word in zip(row, pair, ("gamma", "beta"), strict=True):
            limit = signed_limit(values)
            image = axis.imshow(
                values, aspect="auto", interpolation="nearest", cmap=SIGNED, vmin=-limit, vmax=limit
            )
            axis.set_yticks(range(len(subject.sources)), subject.sources)
            axis.set_title(f"{name}: {word}", fontsize="small")
            colour_bar(image, axis, f"{word} (no unit)")
    for axis in axes[-1]:
        axis.set_xlabel("feature")
    return figure


def _pocm(subject: Subject, found: dict[str, tuple[np.ndarray, np.ndarray]], title: str) -> Picture:
    n_rows, n_columns = len(found), len(subject.sources)
    figure, axes = grid(
        n_rows, n_columns, size=(1.2 + 2.4 * n_columns, 1 + 2.45 * n_rows), title=title
    )
    for row, (name, (gamma, _)) in zip(axes, found.items(), strict=True):
        limit = signed_limit(gamma)
        for axis, source, matrix in zip(row, subject.sources, gamma, strict=True):
            image = axis.imshow(
                matrix.T,
                origin="lower",
                interpolation="nearest",
                cmap=SIGNED,
                vmin=-limit,
                vmax=limit,
            )
            axis.set_title(f"{name}, {source}", fontsize="small")
            axis.tick_params(labelsize="x-small")
        colour_bar(image, row, "gamma (no unit)")
    figure.supxlabel("feature that is read", fontsize="small")
    figure.supylabel("feature that is written or gated", fontsize="small")
    return figure


def gates_figure(subject: Subject, observation: Observation) -> Picture:
    """Draw how far the gates of the GPoCM are open for each source, by feature and by frequency.

    Raises:
        UsageError: the model has no gates.
    """
    if not observation.gates:
        raise UsageError(
            f"{subject.name!r} has no gates, its modulation is "
            f"{subject.known_config().network.modulation!r}; gpocm has them"
        )
    edges = {place.name: place.edges_hz for place in places_of(subject)}
    n_rows = len(observation.gates)
    figure, axes = grid(
        n_rows,
        2,
        size=(12, 1 + 1.9 * n_rows),
        title=f"Gates of the GPoCM of {subject.name}, mean over the song",
        width_ratios=(3, 2),
    )
    for (left, right), (name, gates) in zip(axes, observation.gates.items(), strict=True):
        image = left.imshow(
            gates.by_feature, aspect="auto", interpolation="nearest", cmap=AMOUNTS, vmin=0, vmax=1
        )
        left.set_yticks(range(len(subject.sources)), subject.sources)
        left.set_title(f"{name}: by feature", fontsize="small")
        for number, (source, opened) in enumerate(
            zip(subject.sources, gates.by_position, strict=True)
        ):
            colour = LINE_COLOURS[number % len(LINE_COLOURS)]
            right.plot(opened, label=source, linewidth=1, color=colour)
        right.set_xlim(-0.5, gates.by_position.shape[1] - 0.5)
        mark_hz(right, "x", edges[name])
        right.set(ylabel="gate (0 to 1)", ylim=(0, 1))
        right.set_title(f"{name}: by frequency", fontsize="small")
    axes[0, 1].legend(fontsize="x-small", ncols=len(subject.sources), loc="upper right")
    axes[-1, 0].set_xlabel("feature")
    axes[-1, 1].set_xlabel("frequency (kHz)")
    colour_bar(image, axes[:, 0], "gate (0 shut, 1 open)")
    return figure


def embedding_figure(subject: Subject) -> Picture:
    """Draw how far the control vectors of the sources lie apart, and the plane that shows most.

    Raises:
        UsageError: the network is not conditioned.
    """
    vectors = control_vectors(subject)
    apart = distances(vectors)
    figure, axes = grid(
        1,
        2,
        size=(11, 4.6),
        title=f"Control vectors of {subject.name}, {vectors.shape[1]} numbers for each source",
    )
    left, right = axes[0]
    image = draw_table(
        left,
        apart,
        rows=subject.sources,
        columns=subject.sources,
        limits=(0, max(float(apart.max()), 1e-12)),
    )
    left.set_title("distance of two sources", fontsize="small")
    colour_bar(image, left, "Euclidean distance (no unit)")
    places, shares = principal_plane(vectors)
    for number, (source, (x, y)) in enumerate(zip(subject.sources, places, strict=True)):
        right.plot(x, y, "o", color=LINE_COLOURS[number % len(LINE_COLOURS)])
        right.annotate(source, (x, y), xytext=(7, 5), textcoords="offset points")
    right.set_xlabel(f"first principal axis ({shares[0]:.0%} of the variance)")
    right.set_ylabel(f"second principal axis ({shares[1]:.0%})")
    right.set_title("the plane that shows most", fontsize="small")
    right.margins(0.2)
    right.set_aspect("equal", adjustable="datalim")
    right.grid(color="0.9")
    return figure


def interpolation_figure(
    subject: Subject, steps: dict[str, np.ndarray], mixture: np.ndarray
) -> Picture:
    """Draw the spectrogram of each step from one source to another, as `interpolate` gives them."""
    rate_hz = subject.sample_rate_hz
    loudest = float(power_of(mixture).max())
    figure, axes = grid(
        1,
        len(steps),
        size=(1.4 + 2.9 * len(steps), 4.0),
        title=f"From {next(iter(steps))} to {list(steps)[-1]}: estimates of {subject.name} for "
        "control vectors between the two",
    )
    for axis, (name, samples) in zip(axes[0], steps.items(), strict=True):
        image = draw_levels(
            axis,
            levels_db(samples, loudest_power=loudest),
            duration_seconds=samples.shape[1] / rate_hz,
            top_hz=rate_hz / 2,
        )
        axis.set_title(name, fontsize="small")
        axis.set_xlabel("time (s)")
    label_outside(axes)
    colour_bar(image, axes, "level (dB below the mixture's loudest)")
    return figure
