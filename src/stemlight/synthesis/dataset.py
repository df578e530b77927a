"""Writes songs into folders: each whole or not at all, so that a broken run can go on."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stemlight.errors import OutputError, UsageError
from stemlight.synthesis.arrangement import draw_plan
from stemlight.synthesis.licences import OWN, UNKNOWN
from stemlight.synthesis.material import Material
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, random_of
from stemlight.synthesis.songs import Song, make_song

__all__ = ["GENERATION", "LICENCES_FILE", "SONG_FILE", "DatasetOrder", "write_songs"]

GENERATION = 3
"""Grows when the same seed gives other songs than before."""

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of malloc.h

SONG_FILE = "song.json"
LICENCES_FILE = "LICENCES.txt"
_FULL_SCALE = 32767
_FLAC_EFFORT = 0.4  # of 1; more takes long and saves little


@dataclass(frozen=True, kw_only=True)
class DatasetOrder:
    """What to write, and where."""

    hours: float
    seed: int
    folder: Path
    material: Material
    shortest_seconds: float = 30.0
    longest_seconds: float = 120.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            UsageError: one of them cannot be.
        """
        if not 0 < self.hours < 10_000:
            raise UsageError(f"hours must be above 0 and below 10000, not {self.hours:g}")
        if not 0 <= self.seed < 2**31:
            raise UsageError(f"the seed must be from 0 to {2**31 - 1}, not {self.seed}")
        if not 4 <= self.shortest_seconds <= self.longest_seconds <= 600:
            raise UsageError(
                "songs must last from 4 to 600 seconds, the shortest no more than the longest, "
                f"not {self.shortest_seconds:g} to {self.longest_seconds:g}"
            )

    @property
    def origin(self) -> str:
        """What decides how songs sound beside seed and index, as a short text."""
        parts = [str(GENERATION), f"{self.shortest_seconds:g}-{self.longest_seconds:g}"]
        parts += sorted(self.material.terms())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]

    def song_folder(self, index: int) -> Path:
        """Return where a song lies."""
        return self.folder / f"synth-{self.seed}-{index:05d}"

    def n_songs(self) -> int:
        """Return how many songs reach the hours together."""
        seconds, n_songs = 0.0, 0
        while seconds < self.hours * 3600:
            random = random_of(self.seed, n_songs, "plan")
            seconds += draw_plan(random, self.shortest_seconds, self.longest_seconds).seconds
            n_songs += 1
        return n_songs


def write_songs(
    order: DatasetOrder,
    *,
    n_workers: int = 1,
    on_song: Callable[[int, int], None] = lambda *_: None,
) -> list[Path]:
    """Write what is missing of a data set, and return the folders of all its songs.

    `on_song` is told how many songs are there, of how many; what it raises ends the work.

    Raises:
        UsageError: the folder holds songs that were made from other material; no workers.
        OutputError: something cannot be written.
    """
    if n_workers < 1:
        raise UsageError(f"workers must be at least 1, not {n_workers}")
    folders = [order.song_folder(index) for index in range(order.n_songs())]
    missing = [index for index, folder in enumerate(folders) if not _is_complete(order, folder)]
    try:
        order.folder.mkdir(parents=True, exist_ok=True)
        n_done = len(folders) - len(missing)
        on_song(n_done, len(folders))
        for _ in _written(order, missing, min(n_workers, len(missing))):
            n_done += 1
            on_song(n_done, len(folders))
        _write_licences(order.folder)
    except OSError as error:
        raise OutputError(f"{order.folder} cannot be written: {error.strerror or error}") from error
    return folders


def _is_complete(order: DatasetOrder, folder: Path) -> bool:
    try:
        facts = json.loads((folder / SONG_FILE).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder / SONG_FILE} cannot be read: {error}") from error
    if facts.get("origin") != order.origin:
        raise UsageError(
            f"{folder} was made by another version, from other material or of other lengths "
            f"({facts.get('origin')}, not {order.origin}); give another folder or remove it"
        )
    return True


def _written(order: DatasetOrder, indices: list[int], n_workers: int) -> Iterator[int]:
    """Write songs, in this process or in several; yields each when it is there."""
    if n_workers <= 1:
        _keep_memory()
        for index in indices:
            yield _write_song(order, index)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, initializer=_start_worker) as pool:
        waiting: set[Future[int]] = {pool.submit(_write_song, order, index) for index in indices}
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    yield future.result()
        finally:
            for future in waiting:
                future.cancel()


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which lets songs that are being written end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _keep_memory()


def _keep_memory() -> None:
    """Have freed memory kept for what comes next; with glibc that saves a quarter of the time.

    Arrays of a song are tens of megabytes. Given back to the system, each of their pages is cleared
    again whenever the next one is made.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(_M_TOP_PAD, 64 << 20)


def _write_song(order: DatasetOrder, index: int) -> int:
    song = make_song(
        order.seed,
        index,
        order.material,
        shortest_seconds=order.shortest_seconds,
        longest_seconds=order.longest_seconds,
    )
    final = order.song_folder(index)
    partial = final.with_name(f".{final.name}.{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        _write_files(order, song, partial)
        if final.exists():
            shutil.rmtree(final)
        partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return index


def _write_files(order: DatasetOrder, song: Song, folder: Path) -> None:
    for name, samples in song.stems.items():
        whole = np.round(samples.T * _FULL_SCALE).astype(np.int16)
        soundfile.write(
            folder / f"{name}.flac",
            whole,
            SAMPLE_RATE_HZ,
            subtype="PCM_16",
            compression_level=_FLAC_EFFORT,
        )
    terms = order.material.terms()
    facts: dict[str, Any] = dict(song.facts)
    facts["origin"] = order.origin
    facts["material"] = {
        name: terms.get(name, UNKNOWN)._asdict() for name in song.facts["material"]
    }
    text = json.dumps(facts, indent=1, ensure_ascii=False)
    (folder / SONG_FILE).write_text(text + "\n", encoding="utf-8")


def _write_licences(folder: Path) -> None:
    """Say which sounds all songs of a folder are made of, and their terms."""
    songs: dict[tuple[str, str, str, str], int] = {}
    paths = sorted(folder.glob(f"*/{SONG_FILE}"))
    for path in paths:
        for name, terms in json.loads(path.read_text(encoding="utf-8"))["material"].items():
            key = (name, terms["licence"], terms["author"], terms["package"])
            songs[key] = songs.get(key, 0) + 1
    lines = [
        f"{len(paths)} generated songs. The compositions and what was synthesised without samples:",
        f"{OWN.licence}, {OWN.author}. Sounds that were used:",
        "",
        *(
            f"{name}: {licence}; {author}; package {package or 'unknown'}; in {n} songs"
            for (name, licence, author, package), n in sorted(songs.items())
        ),
    ]
    partial = folder / f".{LICENCES_FILE}.{os.getpid()}"
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial.replace(folder / LICENCES_FILE)
