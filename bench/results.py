"""Writes docs/results.md: what the papers published, and what is measured here.

    python -m bench.results --data MUSDB18_7S [--split valid] [-o DIR] [SYSTEM...]

Published tables come from docs/published.csv. Systems are all models that are here
(`stemlight models`) and the baselines, unless named. DIR keeps scores, so that a run goes on; the
page of all of it, with players, is DIR/report.html.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stemlight.api import list_models
from stemlight.errors import StemlightError
from stemlight.weights.cards import WEIGHTS_FILE, read_card
from stemlight.weights.catalogue import embedded_models

PUBLISHED = Path("docs/published.csv")
PAGE = Path("docs/results.md")
STEMS = ("vocals", "drums", "bass", "other")
METRICS = "sdr,bss-sdr"
BASELINES = ("mixture", "hpss", "oracle-irm")

_INTRODUCTION = """\
# Results

Made by `python -m bench.results`; a change by hand is lost. What the metrics mean is in
[metrics.md](metrics.md), how to measure in [evaluation.md](evaluation.md).

## Published

The authors' scores, none of them measured here: dB on the 50 test tracks of MUSDB18. The MDX-Net
paper says which SDR: BSS Eval v4 of frames, the median over the songs; the authors' code of all
others evaluates with the same tool and takes medians over frames, then over tracks. The 17-block
networks are scores of vocals alone. An average in *italics* is ours of the four numbers beside it,
others are printed in the source. [models.md](models.md) says what the sources are called, which
presets these are, and what they cost. The tables of the LightSAFT paper are not in the text at
hand. The configuration of the dedicated U-Nets is not stated.
"""

_MEASURED = """\
## Measured here

On the validation tracks of MUSDB18, as 7-second excerpts, for these are what is at hand: scores of
other music than above, to be compared with each other and not with those. `stemlight` and
`stemlight-open` are the embedded models, with the weights `{weights}` and `{open_weights}`. No
model was trained on these tracks, but each may have been fitted to them: settings of ours were
chosen by them, as was the checkpoint of `stemlight-open`, and the authors' training of
`tdc-vocals-2020` chooses its checkpoints by them. `mixture` is the mixture as estimate of every
stem, `hpss` harmonic-percussive separation, and `oracle-irm` the ideal ratio mask, which sees the
true stems and is what masks could reach.

```
{command}
```
"""


def main() -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("systems", nargs="*", metavar="SYSTEM")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="valid")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    systems = arguments.systems or [*list_models(), *BASELINES]
    try:
        weights, open_weights = embedded_weights()
    except StemlightError as error:
        raise SystemExit(str(error)) from error
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.output or Path(temporary)
        options = ["--data", str(arguments.data), "--split", arguments.split]
        command = ["compare", *systems, *options, "-o", str(folder), "--metrics", METRICS]
        code = subprocess.run([sys.executable, "-m", "stemlight", *command], check=False).returncode
        if code:
            return code
        tables = (folder / "scores.md").read_text(encoding="utf-8")
    shown = f"stemlight compare {' '.join(systems)} \\\n    --data MUSDB18_7S --split valid"
    measured = _MEASURED.format(
        weights=weights, open_weights=open_weights, command=f"{shown} --metrics {METRICS} -o DIR"
    )
    PAGE.write_text("\n".join([_INTRODUCTION, published(), measured, tables]), encoding="utf-8")
    return 0


def embedded_weights() -> list[str]:
    """Return the first letters of the hashes of both embedded models' weights."""
    cards = map(read_card, embedded_models().values())
    return [card.files[WEIGHTS_FILE].sha256[:12] for card in cards]


def published() -> str:
    """Return the published tables: those of the presets' papers, and of others."""
    with PUBLISHED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    ours = [row for row in rows if row["family"] == "yes"]
    others = [row for row in rows if row["family"] != "yes"]
    return (
        f"{_table(ours, with_preset=True)}\n"
        "Systems of others, as the same texts have them:\n\n"
        f"{_table(others, with_preset=False)}"
    )


def _table(rows: Sequence[dict[str, str]], *, with_preset: bool) -> str:
    preset = ["preset"] if with_preset else []
    head = ["system", *preset, *STEMS, "AVG", "metric", "source"]
    marks = ["---", *("---" for _ in preset), *("---:" for _ in range(5)), "---", "---"]
    lines = [head, marks]
    for row in rows:
        average = row["AVG"] and (f"*{row['AVG']}*" if row["averaged"] == "here" else row["AVG"])
        name = [f"`{row['preset']}`" if row["preset"] else ""] if with_preset else []
        cells = [row["system"], *name, *(row[stem] for stem in STEMS), average]
        lines.append([*(cell or "-" for cell in cells), row["metric"], row["source"]])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    raise SystemExit(main())
