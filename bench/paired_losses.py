"""Training losses of runs against those of one run, on the very same mixtures.

    python -m bench.paired_losses RUN_FOLDER OTHER_RUN_FOLDER... [--block-steps 50]

Runs with one seed and one way of mixing see the same mixtures at the same step, whatever the
network and the optimizer. Losses of single steps differ by a factor of two from song to song; their
ratio between two runs differs by a few percent, so that it tells networks apart long before scores
do. Printed for each block of steps: mean difference in percent, and its standard error.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Mapping
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main() -> None:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--block-steps", type=int, default=50)
    arguments = parser.parse_args()
    first, *others = [losses(folder) for folder in arguments.runs]
    for folder, other in zip(arguments.runs[1:], others, strict=True):
        print(folder.name)
        for start, mean, error in compare(first, other, arguments.block_steps):
            print(f"  from step {start:6}  {mean:+6.1f} %  +- {error:.1f}")


def losses(folder: Path) -> dict[int, float]:
    """Return the loss of each step that a run has logged."""
    events = EventAccumulator(str(folder / "log"), size_guidance={"scalars": 0})
    events.Reload()
    return {event.step: event.value for event in events.Scalars("train/loss")}


def compare(
    first: Mapping[int, float], other: Mapping[int, float], block_steps: int
) -> list[tuple[int, float, float]]:
    """Return first step, mean difference and its standard error, both in percent, of all blocks."""
    blocks: dict[int, list[float]] = {}
    for step in sorted(first.keys() & other.keys()):
        ratio = 100 * math.log(other[step] / first[step])
        blocks.setdefault(step // block_steps * block_steps, []).append(ratio)
    return [
        (start, statistics.fmean(ratios), statistics.stdev(ratios) / math.sqrt(len(ratios)))
        for start, ratios in blocks.items()
        if len(ratios) > 1
    ]


if __name__ == "__main__":
    main()
