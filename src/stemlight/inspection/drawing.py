"""What all pictures are drawn with: figures without pyplot, colours, axes in Hz and seconds."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from stemlight.inspection.levels import RANGE_DB
from stemlight.shapes import Float

__all__ = [
    "AMOUNTS",
    "LEVELS",
    "LINE_COLOURS",
    "SIGNED",
    "Picture",
    "by_octaves",
    "colour_bar",
    "draw_levels",
    "draw_matrix",
    "draw_table",
    "grid",
    "label_outside",
    "mark_hz",
    "shrink",
    "signed_limit",
]

# All three are perceptually uniform and told apart by the colour-blind.
AMOUNTS, LEVELS, SIGNED = "viridis", "magma", "berlin"

LINE_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Of Okabe and Ito, for the colour-blind."""

_ROUND_HZ = (0, 20e3, 10e3, 5e3, 15e3, 2e3, 1e3, 500, 4e3, 3e3, 200, 100, 50)
_LOWEST_HZ, _N_ROWS = 40.0, 200  # of spectrograms
_MOST_FRAMES, _MOST_POSITIONS = 400, 256  # more are drawn in groups
_LEAST_GAP = 0.11  # of the axis, between two marks


class Picture(Figure):
    """A figure that belongs to nobody but its caller, and that notebooks show."""

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=100)
        return file.getvalue()


def grid(
    n_rows: int,
    n_columns: int,
    *,
    size: tuple[float, float],
    title: str,
    width_ratios: Sequence[float] | None = None,
    share: bool = False,
) -> tuple[Picture, np.ndarray]:
    """Return a figure of `size` inches and its axes `(n_rows, n_columns)`."""
    figure = Picture(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize="medium")
    axes = figure.subplots(
        n_rows, n_columns, squeeze=False, width_ratios=width_ratios, sharex=share, sharey=share
    )
    return figure, axes


def colour_bar(image: object, axes: object, label: str) -> Colorbar:
    """Draw the scale of an image beside one or several axes."""
    first = axes if isinstance(axes, Axes) else np.ravel(np.asarray(axes, dtype=object))[0]
    figure = first.get_figure()
    assert isinstance(figure, Figure)
    return figure.colorbar(image, ax=axes, label=label)  # type: ignore[arg-type]


def draw_levels(
    axis: Axes,
    levels_db: Float[np.ndarray, "frames bins"],
    *,
    duration_seconds: float,
    top_hz: float,
) -> AxesImage:
    """Draw a spectrogram from -`RANGE_DB` to 0 dB, up to half of the sample rate.

    Octaves are drawn of equal size.
    """
    group = -(-len(levels_db) // _MOST_FRAMES)
    levels_db = np.maximum.reduceat(levels_db, np.arange(0, len(levels_db), group))
    rows, edges_hz = by_octaves(levels_db, top_hz=top_hz)
    image = axis.imshow(
        rows.T,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        cmap=LEVELS,
        vmin=-RANGE_DB,
        vmax=0,
        extent=(0, duration_seconds, -0.5, len(rows.T) - 0.5),
    )
    mark_hz(axis, "y", edges_hz)
    axis.set_ylabel("frequency (kHz)")
    return image


def by_octaves(
    values: Float[np.ndarray, "frames bins"], *, top_hz: float
) -> tuple[Float[np.ndarray, "frames rows"], Float[np.ndarray, " edges"]]:
    """Return values on rows of equal ratio, and the frequencies between these.

    Bins reach from 0 to `top_hz`. A row has the largest value of its bins, or that of the nearest.
    """
    n_bins = values.shape[1]
    edges_hz = np.geomspace(_LOWEST_HZ, top_hz, _N_ROWS + 1)
    first = np.minimum(np.round(edges_hz[:-1] / top_hz * (n_bins - 1)).astype(int), n_bins - 1)
    # Where a row has no bin of its own, two rows begin with the same: `reduceat` gives it to both.
    return np.maximum.reduceat(values, first, axis=1), edges_hz


def label_outside(axes: np.ndarray) -> None:
    """Leave names and numbers of the vertical axes to the first column."""
    for axis in axes[:, 1:].flat:
        axis.set_ylabel("")
        axis.tick_params(labelleft=False)


def draw_matrix(
    axis: Axes,
    matrix: Float[np.ndarray, "out in"],
    edges_hz: Float[np.ndarray, " edges"],
    *,
    limit: float,
) -> AxesImage:
    """Draw signed weights from frequency to frequency; `limit` is the end of both colours.

    Positions are drawn of equal size, whatever the width of their bands.
    """
    image = axis.imshow(
        matrix, origin="lower", interpolation="nearest", cmap=SIGNED, vmin=-limit, vmax=limit
    )
    mark_hz(axis, "x", edges_hz)
    mark_hz(axis, "y", edges_hz)
    return image


def shrink(
    matrix: Float[np.ndarray, "out in"], edges_hz: Float[np.ndarray, " edges"]
) -> tuple[Float[np.ndarray, "fewer_out fewer_in"], Float[np.ndarray, " fewer_edges"]]:
    """Return a matrix with no more positions than a picture shows.

    The largest weight of a group of neighbours stands for it, so that thin lines stay.
    """
    group = -(-matrix.shape[1] // _MOST_POSITIONS)
    smaller = _largest(_largest(matrix, group).T, group).T
    return smaller, np.append(edges_hz[:-1:group], edges_hz[-1])


def _largest(
    values: Float[np.ndarray, "rows columns"], group: int
) -> Float[np.ndarray, "rows groups"]:
    """Return, for each group of columns, the value furthest from zero; the last may be smaller."""
    padded = np.pad(values, ((0, 0), (0, -values.shape[1] % group)))
    grouped = padded.reshape(len(values), -1, group)
    places = np.abs(grouped).argmax(axis=-1)[..., None]
    return np.take_along_axis(grouped, places, axis=-1)[..., 0]


def signed_limit(values: np.ndarray) -> float:
    """Return a limit that a two-hundredth of all sizes exceed, so that a few do not hide the rest.

    It is above zero, also where all values are zero.
    """
    return max(float(np.quantile(np.abs(values), 0.995)), 1e-12)


def mark_hz(axis: Axes, which: str, edges_hz: Float[np.ndarray, " edges"]) -> None:
    """Mark round frequencies on an axis of positions, which may be bands of any width."""
    n_positions = len(edges_hz) - 1
    places: dict[float, float] = {}
    for hz in _ROUND_HZ:
        if not edges_hz[0] <= hz <= edges_hz[-1]:
            continue
        place = float(np.interp(hz, edges_hz, np.arange(n_positions + 1))) - 0.5
        if all(abs(place - other) >= _LEAST_GAP * n_positions for other in places.values()):
            places[hz] = place
    labels = [f"{hz / 1000:g}" for hz in places]
    if which == "x":
        axis.set_xticks(list(places.values()), labels)
    else:
        axis.set_yticks(list(places.values()), labels)


def draw_table(
    axis: Axes,
    values: Float[np.ndarray, "rows columns"],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    limits: tuple[float, float],
    cmap: str = AMOUNTS,
) -> AxesImage:
    """Draw numbers as colours, written out where there is room for them."""
    image = axis.imshow(
        values, aspect="auto", interpolation="nearest", cmap=cmap, vmin=limits[0], vmax=limits[1]
    )
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    if len(columns) > 16:
        return image
    middle = sum(limits) / 2
    for (row, column), value in np.ndenumerate(values):
        axis.text(
            column,
            row,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize="x-small",
            color="black" if value > middle else "white",
        )
    return image
