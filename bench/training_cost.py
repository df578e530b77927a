"""Seconds of audio that training gets through in a second, and how long it waits for data.

    python -m bench.training_cost [RECIPE] [--set KEY=VALUE...] [--workers 0 1 2] [--steps 20]

Each number of workers, on the CPU and on a GPU if there is one, trains two epochs of so many steps;
the second is told, as `history.jsonl` of any run has it. Without a recipe it is that of the
embedded model, on songs of noise that are made for it.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
import torch

from bench.machine import describe_machine
from stemlight.models.config import SOURCES
from stemlight.training.callbacks import HISTORY_FILE
from stemlight.training.recipe import read_recipe
from stemlight.training.run import train

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "stemlight.yaml"
N_SONGS, SONG_SECONDS, RATE_HZ = 4, 20, 44_100


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", nargs="?", type=Path)
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    print("\n".join(describe_machine()))
    accelerators = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    with tempfile.TemporaryDirectory() as folder:
        settings = list(arguments.settings)
        if arguments.recipe is None:
            settings = [*songs_of_noise(Path(folder) / "songs"), *settings]
        print("device  workers  s of audio per second  waiting for data")
        for accelerator in accelerators:
            for n_workers in arguments.workers:
                name = f"{accelerator}-{n_workers}"
                own = [f"hardware.accelerator={accelerator}", f"n_workers={n_workers}"]
                own += [f"output={folder}/runs", f"name={name}", "data.validation=[]"]
                own += [f"n_steps={2 * arguments.steps}", f"steps_per_epoch={arguments.steps}"]
                line = measure(arguments.recipe or RECIPE, [*settings, *own])
                print(
                    f"{accelerator:6}  {n_workers:7}  {line['audio_seconds_per_second']:21.1f}  "
                    f"{line['waiting_share']:16.1%}"
                )


def songs_of_noise(folder: Path) -> list[str]:
    """Write songs and return the settings that train on them."""
    generator = np.random.default_rng(0)
    for number in range(N_SONGS):
        for source in SOURCES:
            path = folder / f"song{number}" / f"{source}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = generator.normal(0, 0.05, (SONG_SECONDS * RATE_HZ, 2)).astype(np.float32)
            soundfile.write(path, noise, RATE_HZ)
    return [
        f"data.root={folder}",
        "data.train=[{path: .}]",
        f"data.cache={folder}/decoded",
    ]


def measure(recipe: Path, settings: Sequence[str]) -> dict[str, float]:
    """Train, and return what the run noted of its last epoch."""
    checkpoint = train(read_recipe(recipe, settings))
    lines = (checkpoint.parent / HISTORY_FILE).read_text(encoding="utf-8").splitlines()
    last: dict[str, float] = json.loads(lines[-1])
    return last


if __name__ == "__main__":
    main()
