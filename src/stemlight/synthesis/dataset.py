"""Writes songs into folders: each whole or not at all, so that a broken run can go on."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import itertools
import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stemlight.audio.wording import reason, shown
from stemlight.errors import InputError, OutputError, UsageError
from stemlight.synthesis.arrangement import draw_plan
from stemlight.synthesis.licences import OWN, UNKNOWN, Terms
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
        InputError: a `song.json` in the folder is damaged, or a sound cannot be read.
        OutputError: something cannot be written, or a process was killed.
    """
    if n_workers < 1:
        raise UsageError(f"workers must be at least 1, not {n_workers}")
    folders = [order.song_folder(index) for index in range(order.n_songs())]
    try:
        missing = [index for index, folder in enumerate(folders) if not _is_complete(order, folder)]
        order.folder.mkdir(parents=True, exist_ok=True)
        n_done = len(folders) - len(missing)
        on_song(n_done, len(folders))
        for _ in _written(order, missing, min(n_workers, len(missing))):
            n_done += 1
            on_song(n_done, len(folders))
        _write_licences(order.folder)
    except OSError as error:
        raise OutputError(f"{shown(order.folder)} cannot be written: {reason(error)}") from error
    except BrokenProcessPool as error:
        raise OutputError(
            "a process that made songs was killed, often for want of memory; run it again with "
            "fewer workers, which goes on where it ended"
        ) from error
    return folders


def _is_complete(order: DatasetOrder, folder: Path) -> bool:
    path = folder / SONG_FILE
    if not path.exists():
        return False
    origin, _ = _origin_and_terms(path)
    if origin != order.origin:
        raise UsageError(
            f"{shown(folder)} was made by another version, from other material or of other lengths "
            f"({origin}, not {order.origin}); give another folder or remove it"
        )
    return True


def _origin_and_terms(path: Path) -> tuple[str, dict[str, Terms]]:
    """Read of a song what decides how it sounds, and the sounds that are in it."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        return facts["origin"], {name: Terms(**of) for name, of in facts["material"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{shown(path)} is not what was written there ({error}); remove its folder, and the "
            "song is made anew"
        ) from error


def _written(order: DatasetOrder, indices: list[int], n_workers: int) -> Iterator[int]:
    """Write songs, in this process or in several; yields each when it is there."""
    if n_workers <= 1:
        _keep_memory()
        for index in indices:
            yield _write_song(order, index)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_workers, context, initializer=_start_worker) as pool:
        # No more than are being written, so that whoever stops waits for nothing else.
        rest = iter(indices)
        waiting: set[Future[int]] = set()
        while True:
            for index in itertools.islice(rest, n_workers - len(waiting)):
                waiting.add(pool.submit(_write_song, order, index))
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()


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
        flac = io.BytesIO()  # in memory: libsndfile does not say that a disk is full
        soundfile.write(
            flac,
            whole,
            SAMPLE_RATE_HZ,
            format="FLAC",
            subtype="PCM_16",
            compression_level=_FLAC_EFFORT,
        )
        (folder / f"{name}.flac").write_bytes(flac.getbuffer())
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
    songs: dict[tuple[str, Terms], int] = {}
    paths = sorted(folder.glob(f"synth-*/{SONG_FILE}"))
    for path in paths:
        for used in _origin_and_terms(path)[1].items():
            songs[used] = songs.get(used, 0) + 1
    lines = [
        f"Generated songs: {len(paths)}. Compositions and what was synthesised without samples:",
        f"{OWN.licence}, {OWN.author}. Sounds that were used:",
        "",
        *(
            f"{name}: {of.licence}; {of.author}; package {of.package or 'unknown'}; songs: {n}"
            for (name, of), n in sorted(songs.items())
        ),
    ]
    partial = folder / f".{LICENCES_FILE}.{os.getpid()}"
    partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    partial.replace(folder / LICENCES_FILE)
