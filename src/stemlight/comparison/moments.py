"""Where to listen: the seconds in which systems are best, worst, or most apart, and their players.

Only seconds count in which the source can be heard: ratios are extreme where there is next to
nothing to separate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np

from stemlight._version import __version__
from stemlight.audio.players import player_html
from stemlight.comparison.records import TrackRecord, write_file
from stemlight.comparison.running import ScoredTrack
from stemlight.comparison.statistics import advantage
from stemlight.comparison.workers import OpenSystems, Workers
from stemlight.evaluation import FRAME_SECONDS, METRICS, Metric, ReferenceTrack, Samples
from stemlight.shapes import Float

__all__ = [
    "EXCERPT_SECONDS",
    "PLAYERS_FOLDER",
    "Moment",
    "differing_moments",
    "extreme_moments",
    "moment_metric",
    "players_of",
]

EXCERPT_SECONDS = 5.0
"""How much is played around the second that was found."""

PLAYERS_FOLDER = "players"

_BELOW_LOUDEST_DB = 20.0  # a quieter second of the source is not looked at
_FORMAT = 1

Kind = Literal["best", "worst", "difference"]


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A second of a stem of a track, and what the systems score in it."""

    kind: Kind
    track: str
    stem: str
    frame: int
    metric: str
    scores: Mapping[str, float]
    """By the names of the systems whose estimates are to be heard."""

    def window(self, duration_seconds: float) -> tuple[float, float]:
        """Return begin and end of what is played, in seconds."""
        middle = (self.frame + 0.5) * FRAME_SECONDS
        latest = max(0.0, duration_seconds - EXCERPT_SECONDS)
        first = min(max(0.0, middle - EXCERPT_SECONDS / 2), latest)
        return first, min(duration_seconds, first + EXCERPT_SECONDS)


def moment_metric(metrics: Iterable[str]) -> Metric | None:
    """Return the metric that moments are found by: the first that has a value for each second."""
    for name in metrics:
        if METRICS[name].over_frames is not None:
            return METRICS[name]
    return None


def extreme_moments(
    metric: Metric, records: Sequence[TrackRecord], stem: str, *, n_each: int = 1
) -> list[Moment]:
    """Return the worst and the best second of a system's stem, each of another track."""
    found = []
    for kind, sign in (("worst", -1), ("best", 1)):
        candidates = []
        for record in records:
            goodness = sign * _goodness(metric, _frames(metric, record, stem))
            if (frame := _highest(goodness, _is_loud(record, stem))) is not None:
                candidates.append((goodness[frame], record, frame))
        candidates.sort(key=lambda each: -each[0])
        found += [
            _moment(kind, metric, (record,), stem, frame)  # type: ignore[arg-type]
            for _, record, frame in candidates[:n_each]
        ]
    return found


def differing_moments(
    metric: Metric, records: Mapping[str, Sequence[TrackRecord]], stems: Sequence[str]
) -> list[Moment]:
    """Return, for each pair of systems and each stem, where each is furthest ahead of the other."""
    found = []
    for first, second in combinations(records, 2):
        for stem in stems:
            pairs = list(zip(records[first], records[second], strict=True))
            found += _apart(metric, pairs, stem) + _apart(metric, [p[::-1] for p in pairs], stem)
    return found


def players_of(
    moments: Sequence[Moment],
    records: Mapping[str, Sequence[TrackRecord]],
    tracks: Sequence[ScoredTrack],
    workers: Workers,
    folder: Path,
) -> list[list[str]]:
    """Return the players of each moment as HTML: mixture, reference, estimates.

    Tracks are separated once more for them; what lies in the folder already is taken from there.

    Raises:
        StemlightError: A track cannot be read or separated, or the folder not be written.
    """
    facts = {r.metrics.name: r.metrics for system in records.values() for r in system}
    systems = OpenSystems(workers.open_system, workers.opened)
    requests = [
        _Request(
            moment=moment,
            window=moment.window(facts[moment.track].duration_seconds),
            path=folder / PLAYERS_FOLDER / f"{_key(moment, facts, systems)}.json",
        )
        for moment in moments
    ]
    missing: dict[str, list[_Request]] = {}
    for request in requests:
        if _stored(request.path) is None:
            missing.setdefault(request.moment.track, []).append(request)
    found = {track.name: track for track in tracks}
    workers.do_all(
        _store_players, {name: (found[name], tuple(wanted)) for name, wanted in missing.items()}
    )
    kept = {request.path for request in requests}
    for path in (folder / PLAYERS_FOLDER).glob("*.json"):
        if path not in kept:
            path.unlink(missing_ok=True)  # of another run
    return [_stored(request.path) or [] for request in requests]


@dataclass(frozen=True, kw_only=True)
class _Request:
    moment: Moment
    window: tuple[float, float]
    path: Path


def _apart(
    metric: Metric, pairs: Sequence[tuple[TrackRecord, TrackRecord]], stem: str
) -> list[Moment]:
    """Return where the first of each pair is furthest ahead, if it is anywhere."""
    best: tuple[float, Moment] | None = None
    for one, two in pairs:
        with np.errstate(invalid="ignore"):
            ahead = advantage(metric, _frames(metric, one, stem), _frames(metric, two, stem))
        frame = _highest(ahead, _is_loud(one, stem))
        if frame is None or ahead[frame] <= 0:
            continue
        if best is None or ahead[frame] > best[0]:
            best = ahead[frame], _moment("difference", metric, (one, two), stem, frame)
    return [] if best is None else [best[1]]


def _frames(metric: Metric, record: TrackRecord, stem: str) -> Float[np.ndarray, " frames"]:
    if stem not in record.metrics.stems:
        return np.full(len(next(iter(record.levels_dbfs.values()), ())), np.nan)
    return record.metrics.stems[stem].frames[metric.name]


def _is_loud(record: TrackRecord, stem: str) -> np.ndarray:
    levels_dbfs = record.levels_dbfs.get(stem, np.zeros(0))
    if not len(levels_dbfs):
        return np.zeros(0, bool)
    return levels_dbfs >= levels_dbfs.max() - _BELOW_LOUDEST_DB


def _goodness(metric: Metric, values: np.ndarray) -> np.ndarray:
    return advantage(metric, values, np.zeros_like(values))


def _highest(values: np.ndarray, is_candidate: np.ndarray) -> int | None:
    n_frames = min(len(values), len(is_candidate))
    usable = is_candidate[:n_frames] & np.isfinite(values[:n_frames])
    if not usable.any():
        return None
    return int(np.argmax(np.where(usable, values[:n_frames], -np.inf)))


def _moment(
    kind: Kind, metric: Metric, records: Sequence[TrackRecord], stem: str, frame: int
) -> Moment:
    return Moment(
        kind=kind,
        track=records[0].metrics.name,
        stem=stem,
        frame=frame,
        metric=metric.name,
        scores={each.system: float(_frames(metric, each, stem)[frame]) for each in records},
    )


def _key(moment: Moment, facts: Mapping[str, object], systems: OpenSystems) -> str:
    text = json.dumps(
        {
            "format": _FORMAT,
            "stemlight": __version__,
            "data": facts[moment.track].data_hash,  # type: ignore[attr-defined]
            "systems": {name: systems[name].identity(moment.track) for name in moment.scores},
            "place": [moment.stem, moment.frame, EXCERPT_SECONDS],
        }
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _stored(path: Path) -> list[str] | None:
    try:
        players = json.loads(path.read_text(encoding="utf-8"))["players"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return [str(player) for player in players]


def _store_players(systems: OpenSystems, item: tuple[ScoredTrack, Sequence[_Request]]) -> None:
    scored, requests = item
    track = scored.load()
    names = dict.fromkeys(name for request in requests for name in request.moment.scores)
    estimates = {name: systems[name].separate(track) for name in names}
    for request in requests:
        players = [
            player_html(samples, track.sample_rate_hz, title=title, with_facts=False)
            for title, samples in _excerpts(request, track, estimates).items()
        ]
        write_file(request.path, json.dumps({"players": players}, indent=1) + "\n")


def _excerpts(
    request: _Request, track: ReferenceTrack, estimates: Mapping[str, Mapping[str, Samples]]
) -> dict[str, Samples]:
    """Return what is to be heard, by title; the mixture as estimate is the mixture."""
    assert track.mixture is not None, "load reads it"
    first, last = (round(each * track.sample_rate_hz) for each in request.window)
    stem = request.moment.stem
    mixture = track.mixture[:, first:last]
    heard = {"mixture": mixture, f"true {stem}": track.references[stem][:, first:last]}
    for name in request.moment.scores:
        estimate = estimates[name][stem][:, first:last]
        if not np.array_equal(estimate, mixture):
            heard[f"{stem} by {name}"] = estimate
    return heard
