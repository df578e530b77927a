"""What docs/metrics.md says of the registry is what it is."""

from __future__ import annotations

import re
from pathlib import Path

from stemlight.evaluation import METRICS

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_every_metric_has_its_row_with_unit_direction_and_aggregation():
    cells = [
        [c.strip() for c in line.split("|")[1:-1]] for line in PAGE.splitlines() if "| `" in line
    ]
    rows = {row[0].strip("`"): row[1:] for row in cells}
    assert list(rows) == list(METRICS)
    for name, (unit, best, of_a_track, over_tracks, _) in rows.items():
        metric = METRICS[name]
        assert (unit, best, over_tracks) == (metric.unit, metric.best, metric.over_tracks)
        assert (of_a_track == "median over 1 s") == (metric.over_frames == "median")


def test_every_metric_is_explained():
    explained = re.findall(r"\*\*`([\w-]+)`\*\*", PAGE)
    assert sorted(explained) == sorted(name for name in METRICS if not name.startswith("bss-"))
