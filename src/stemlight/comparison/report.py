"""One HTML file that tells and plays it all, and needs nothing else.

Tables, pictures and sound are inside; the page allows itself no script and no address. All text
that came from outside is escaped.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass

from stemlight.comparison.moments import Moment
from stemlight.comparison.statistics import LEAST_TRACKS
from stemlight.comparison.tables import Table, formatted
from stemlight.evaluation import FRAME_SECONDS, METRICS

__all__ = ["BoxPlot", "PlayedMoment", "Report", "report_html"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --faint: #5a5a5a;
  --line: #c8ccd0; --tint: #f1f4f6; --accent: #00558c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #181a1b; --faint: #a8adb2;
  --line: #44494d; --tint: #23272a; --accent: #8cc8f0; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
main { max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0.5rem 0; }
h2 { font-size: 1.25rem; margin: 2.5rem 0 0.5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 0.25rem; }
p { margin: 0.5rem 0; }
.label, figcaption { color: var(--faint); font-size: 0.85rem; }
.wide { overflow-x: auto; }
figure { margin: 0.75rem 0 1.25rem; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums;
  overflow-wrap: normal; }
th, td { padding: 0.25rem 0.6rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th.text, td.text { text-align: left; }
th { font-weight: 600; }
thead th { border-bottom: 2px solid var(--line); }
tbody tr:nth-child(even) { background: var(--tint); }
details { margin: 0.5rem 0; }
summary { cursor: pointer; color: var(--accent); }
a { color: var(--accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
img { max-width: 100%; height: auto; display: block; }
.plots { display: flex; flex-wrap: wrap; gap: 0.5rem 1rem; }
.players { display: grid; gap: 0.5rem 1rem; margin: 0.5rem 0;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 14rem), 1fr)); }
.players figure { margin: 0 !important; min-width: 0; display: grid; align-content: end; }
.players br { display: none; }
.players svg { width: 100%; }
.players audio { width: 100%; }
@media (max-width: 30rem) { th, td { padding: 0.25rem 0.3rem; } table { font-size: 0.82rem; }
  th.text, td.text { white-space: normal; } }
dt { font-weight: 600; }
dd { margin: 0 0 0.5rem 1rem; }
"""

# No script, and nothing from elsewhere.
_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True, kw_only=True)
class PlayedMoment:
    """A moment and its players, as HTML."""

    moment: Moment
    duration_seconds: float
    players: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class BoxPlot:
    """A picture on light and on dark paper, as PNG."""

    title: str
    light: bytes
    dark: bytes


@dataclass(frozen=True, kw_only=True)
class Report:
    """All that the page shows."""

    title: str
    facts: Sequence[str]
    scores: Sequence[Table]
    """The first few are shown, the rest on demand."""

    n_shown: int
    differences: Sequence[Table]
    plots: Sequence[BoxPlot]
    moments: Sequence[PlayedMoment]
    why_no_moments: str
    tracks: Sequence[Table]
    metrics: Sequence[str]


def report_html(report: Report) -> str:
    """Return the page."""
    title = html.escape(report.title)
    parts = [
        f"<h1>{title}</h1>",
        *(f"<p>{html.escape(fact)}</p>" for fact in report.facts),
        "<h2>Scores</h2>",
        *(_table(table) for table in report.scores[: report.n_shown]),
        *(_hidden("All other metrics", report.scores[report.n_shown :])),
        *_differences(report),
        "<h2>Spread over tracks</h2>",
        "<p>Boxes are quartiles with the median, whiskers reach to the lowest and the highest "
        "track, and each dot is a track.</p>",
        '<div class="plots">',
        *(_picture(plot) for plot in report.plots),
        "</div>",
        *_moments(report),
        "<h2>Every track</h2>",
        *(_hidden("Scores of every track", report.tracks)),
        "<h2>Metrics</h2>",
        _metrics(report.metrics),
    ]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _table(table: Table) -> str:
    kinds = [_kind(column, table) for column in range(len(table.head))]
    head = "".join(
        f'<th scope="col"{kind}>{html.escape(cell)}</th>'
        for cell, kind in zip(table.head, kinds, strict=True)
    )
    rows = "\n".join(
        "<tr>"
        + "".join(
            f'<th scope="row"{kind}>{html.escape(cell)}</th>'
            if column == 0
            else f"<td{kind}>{html.escape(cell)}</td>"
            for column, (cell, kind) in enumerate(zip(row, kinds, strict=True))
        )
        + "</tr>"
        for row in table.rows
    )
    label = html.escape(table.label)
    # A table that is wider than the screen is scrolled, with the keyboard, too.
    return (
        f'<figure>\n<div class="wide" tabindex="0" role="region" aria-label="{label}">\n<table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>\n"
        f"<figcaption>{label}</figcaption>\n</figure>"
    )


def _kind(column: int, table: Table) -> str:
    name = table.head[column]
    is_text = column == 0 or name in ("system", "second", "stem", "verdict")
    return ' class="text"' if is_text else ""


def _hidden(title: str, tables: Sequence[Table]) -> list[str]:
    if not tables:
        return []
    inside = "\n".join(_table(table) for table in tables)
    return [f"<details>\n<summary>{html.escape(title)}</summary>\n{inside}\n</details>"]


def _differences(report: Report) -> list[str]:
    if not report.differences:
        return []
    return [
        "<h2>Which is better</h2>",
        "<p>Scores of two systems are subtracted track by track; positive numbers speak for the "
        "first. A difference is taken for real if the interval of its mean excludes zero, of "
        f"{LEAST_TRACKS} tracks or more.</p>",
        *(_table(table) for table in report.differences[: report.n_shown]),
        *_hidden("By all other metrics", report.differences[report.n_shown :]),
    ]


def _picture(plot: BoxPlot) -> str:
    light, dark = (_data_uri("image/png", content) for content in (plot.light, plot.dark))
    return (
        f'<picture><source srcset="{dark}" media="(prefers-color-scheme: dark)">'
        f'<img src="{light}" alt="{html.escape(plot.title)}"></picture>'
    )


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _moments(report: Report) -> list[str]:
    if report.differences:
        title = "Where they differ most"
        text = "The seconds in which one system is furthest ahead of the other"
    else:
        title = "Best and worst moments"
        text = "The seconds with the highest and the lowest score"
    parts = [f"<h2>{title}</h2>"]
    if not report.moments:
        return [*parts, f"<p>{html.escape(report.why_no_moments)}</p>"]
    metric = METRICS[report.moments[0].moment.metric]
    parts.append(
        f"<p>{text}, by {metric.name} v{metric.version} [{metric.unit}] of single seconds in which "
        "the source is at most 20 dB below its loudest second. Sound is as loud as it was; "
        "waveforms reach from full scale to full scale.</p>"
    )
    return parts + [_moment(each) for each in report.moments]


def _moment(played: PlayedMoment) -> str:
    moment = played.moment
    metric = METRICS[moment.metric]
    first, last = moment.window(played.duration_seconds)
    scores = [f"{name} {formatted(metric, value)}" for name, value in moment.scores.items()]
    if moment.kind == "difference":
        scores[0] += f" {metric.unit}"
        told = f"{scores[0]} against {scores[1]} {metric.unit}"
    else:
        told = f"{moment.kind}: {scores[0]} {metric.unit}"
    begin = moment.frame * FRAME_SECONDS
    return (
        f"<section>\n<h3>{html.escape(moment.stem)} of {html.escape(moment.track)}</h3>\n"
        f'<p class="label">{html.escape(told)} in the second from {_clock(begin)} on; '
        f"{_clock(first)} to {_clock(last)} play</p>\n"
        f'<div class="players">\n{"".join(played.players)}\n</div>\n</section>'
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}:{rest:04.1f}"


def _metrics(names: Sequence[str]) -> str:
    items = "\n".join(
        f"<dt>{html.escape(METRICS[name].title)}</dt>"
        f"<dd>{html.escape(METRICS[name].description)}; best: {METRICS[name].best}</dd>"
        for name in names
    )
    return f"<dl>\n{items}\n</dl>"
