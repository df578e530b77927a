"""Small Rays, workers that can be waited for or killed, and songs cut from music."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile

from stemlight.batch import Item, SeparateTrack

from .deeds import Deed, MakeDoer
from .material import REPOSITORY

os.environ.setdefault("RAY_worker_niceness", "0")  # a busy machine would starve what is at 15

STORE_BYTES = 100_000_000
SMALL = {"object_store_memory": STORE_BYTES, "include_dashboard": False}
WAIT = "wait"
"""While this is among the places, nobody ends a task."""
EXAMPLE = REPOSITORY / "examples" / "feelings.flac"


@contextlib.contextmanager
def small_ray(n_cpus: int) -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="ray is not installed")
    ray.init(address="local", num_cpus=n_cpus, log_to_driver=False, **SMALL)
    try:
        yield ray
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class GatedDeed(Deed):
    gate: Path | None = None
    """It waits until this is there."""


@dataclass(frozen=True)
class MakeGatedDoer(MakeDoer):
    def __call__(self):
        do = super().__call__()

        def wait_and_do(deed):
            while deed.gate is not None and not deed.gate.exists():
                time.sleep(0.02)
            return do(deed)

        return wait_and_do


@dataclass(frozen=True)
class LingeringTrack:
    """Separates tracks slowly; tells who works, while something half written is there."""

    work: SeparateTrack
    places: Path
    """Holds a file for each busy process: the node that it is on."""
    seconds: float = 0.5

    def __call__(self):
        import ray

        separate = self.work()
        mine = self.places / f"{os.getpid()}"
        node = ray.get_runtime_context().get_node_id()

        def do(item: Item):
            with self.work.store.workspace() as folder:
                (folder / "vocals.wav").write_bytes(b"half")
                mine.write_text(node)
                time.sleep(self.seconds)
                while (self.places / WAIT).exists():
                    time.sleep(0.02)
            outcome = separate(item)
            mine.unlink()
            return outcome

        return do


def cut_songs(folder: Path, n_songs: int, seconds: float) -> list[Item]:
    """Cut the example into songs."""
    samples, rate_hz = soundfile.read(EXAMPLE)
    n_samples = round(seconds * rate_hz)
    folder.mkdir()
    items = []
    for number in range(n_songs):
        path = folder / f"{number:02}.wav"
        first = number * (len(samples) - n_samples) // n_songs
        soundfile.write(path, samples[first : first + n_samples], rate_hz, subtype="PCM_16")
        items.append(Item(id=path.name, path=str(path), options={}))
    return items
