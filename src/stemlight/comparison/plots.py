"""How scores are spread over tracks: a box for each system."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from stemlight.comparison.records import TrackRecord
from stemlight.evaluation import Metric, data_hash

__all__ = ["DARK", "LIGHT", "Ink", "box_figure", "png_bytes"]


@dataclass(frozen=True, kw_only=True)
class Ink:
    """The colours of a picture."""

    paper: str
    text: str
    box: str
    points: str


# Blue and orange of Okabe and Ito, for the colour-blind.
LIGHT = Ink(paper="#ffffff", text="#1a1a1a", box="#cfe3f2", points="#0072b2")
DARK = Ink(paper="#181a1b", text="#e6e6e6", box="#24455c", points="#e69f00")


def box_figure(
    metric: Metric, records: Mapping[str, Sequence[TrackRecord]], stem: str, ink: Ink = LIGHT
) -> Figure:
    """Return a figure with a box for each system that gives the stem: quartiles, range, tracks."""
    values: dict[str, list[float]] = {}
    for name, found in records.items():
        scores = [
            record.metrics.stems[stem].values[metric.name]
            for record in found
            if stem in record.metrics.stems
        ]
        if finite := [score for score in scores if np.isfinite(score)]:
            values[name] = finite
    figure = Figure(figsize=(5, 1.2 + 0.4 * max(len(values), 1)), layout="constrained")
    figure.set_facecolor(ink.paper)
    axis = figure.subplots()
    axis.set_facecolor(ink.paper)
    places = np.arange(len(values))
    axis.boxplot(
        list(values.values()),
        orientation="horizontal",
        positions=places,
        widths=0.6,
        whis=(0, 100),
        patch_artist=True,
        boxprops={"facecolor": ink.box, "edgecolor": ink.text},
        medianprops={"color": ink.text, "linewidth": 2},
        whiskerprops={"color": ink.text},
        capprops={"color": ink.text},
    )
    for place, scores in zip(places, values.values(), strict=True):
        jitter = np.linspace(-0.15, 0.15, len(scores))
        axis.plot(scores, place + jitter, "o", color=ink.points, markersize=3, alpha=0.8)
    axis.set_yticks(places, [_short(name) for name in values])
    axis.invert_yaxis()
    axis.set_xlabel(f"{metric.name} v{metric.version} [{metric.unit}]", color=ink.text)
    n_tracks = len(next(iter(records.values())))
    hashes = {r.metrics.name: r.metrics.data_hash for r in next(iter(records.values()))}
    axis.set_title(
        f"{stem}, {n_tracks} tracks, data {data_hash(hashes)[:12]}",
        color=ink.text,
        fontsize="medium",
        loc="left",
        parse_math=False,
    )
    axis.tick_params(colors=ink.text)
    axis.grid(axis="x", color=ink.text, alpha=0.2)
    for spine in axis.spines.values():
        spine.set_color(ink.text)
    for label in axis.get_yticklabels():
        label.set_parse_math(False)
    return figure


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG, without times and versions, so that the same is the same bytes."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return file.getvalue()


def _short(name: str) -> str:
    """Keep the end of a long name, which is what tells paths apart."""
    return name if len(name) <= 28 else f"…{name[-27:]}"
