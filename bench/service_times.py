"""Times of the real pieces of `stemlight batch`, which the simulation of a cluster takes.

    python -m bench.scale_simulation --measure

Engines run tasks that do nothing, so all that is measured is their own work: processor time of the
driver's process, all threads of it, for each task; with few workers and with more, for looking
after many takes longer. How there can be thousands is told in `bench.many_workers`. The worker is
measured with a track of four minutes in one thread, from reading to stored stems, in processor
time, so that others on the same machine do not count. The requests of a track are counted by a
local server of S3.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

import stemlight
from bench.machine import describe_machine
from bench.many_workers import driver_seconds
from bench.material import EXAMPLE
from stemlight.batch.local_engine import LocalEngine
from stemlight.batch.manifest import Item
from stemlight.batch.report import Report
from stemlight.batch.storage import Store
from stemlight.batch.work import Outcome, SeparateTrack
from stemlight.separation.resume import FileMark
from stemlight.separation.song_options import SongOptions

__all__ = ["measure"]

_N_TASKS = 2000
_PROCESSES = (1, 12)
_ACTORS = (100, 2000)
_TRACK_SECONDS = 240
_N_HASHED_BYTES = 1 << 28


def measure() -> Iterator[str]:
    """Yield lines: what was measured, and the options that take it."""
    yield from describe_machine()
    for name, counts, measured in (
        ("local", _PROCESSES, _local_driver_seconds),
        ("ray", _ACTORS, driver_seconds),
    ):
        few, many = (measured(n_workers) for n_workers in counts)
        each = max(0.0, many - few) / (counts[1] - counts[0])
        yield (
            f"engine {name}: {few * 1e3:.2f} ms of the driver for a task with {counts[0]} workers, "
            f"{many * 1e3:.2f} ms with {counts[1]}: "
            f"--dispatch-seconds {max(0.0, few - counts[0] * each):.2g} "
            f"--dispatch-worker-seconds {each:.2g}"
        )
    yield f"noting a result: --result-seconds {_report_seconds():.2g}"
    yield f"hashing: {_hash_rate() / 1e6:.0f} MB/s"
    with tempfile.TemporaryDirectory() as folder:
        yield from _worker_lines(Path(folder))
        yield from _request_lines(Path(folder))


def _local_driver_seconds(n_workers: int) -> float:
    """Return the driver's processor time for a task that does nothing."""
    ends = LocalEngine(n_workers).run(_nothing, range(2 * _N_TASKS))
    with contextlib.closing(ends):  # type: ignore[type-var]
        for _ in range(_N_TASKS // 2):
            next(ends)
        started = time.process_time()
        for _ in range(_N_TASKS):
            next(ends)
        return (time.process_time() - started) / _N_TASKS


def _nothing() -> Callable[[int], int]:
    return abs


def _outcome(number: int) -> Outcome:
    stems = ("vocals", "drums", "bass", "other")
    return Outcome(
        id=f"label/album/{number}",
        path=f"s3://catalogue/label/album/{number}.flac",
        status="done",
        key=f"{number:064x}",
        files={f"{stem}.flac": FileMark(sha256=64 * "0", n_bytes=number) for stem in stems},
        duration_seconds=_TRACK_SECONDS,
        elapsed_seconds=18.0,
        worker="node-0001:12345",
    )


def _report_seconds() -> float:
    outcomes = [_outcome(number) for number in range(20_000)]
    with tempfile.TemporaryDirectory() as folder, Report(Store(folder)) as report:
        started = time.process_time()
        for outcome in outcomes:
            report.add(outcome, 1)
        return (time.process_time() - started) / len(outcomes)


def _hash_rate() -> float:
    content = bytes(_N_HASHED_BYTES)
    started = time.process_time()
    hashlib.sha256(content).digest()
    return _N_HASHED_BYTES / (time.process_time() - started)


def _worker_lines(folder: Path) -> Iterator[str]:
    track = folder / "track.flac"
    _write_track(track)
    for name, options in (
        ("flac", SongOptions(format="flac", bit_depth="16")),
        ("opus", SongOptions(format="opus")),
    ):
        started = time.perf_counter()
        work = SeparateTrack(store=Store(str(folder / name)), options=options)()
        startup_seconds = time.perf_counter() - started
        started = time.process_time()
        done = work(Item(id="track", path=str(track), options={}))
        assert done.status == "done", done.reason
        seconds = time.process_time() - started
        n_bytes = sum(mark.n_bytes for mark in done.files.values())
        yield (
            f"worker, stems as {name}: --compute-factor "
            f"{seconds / done.duration_seconds:.4f} "
            f"--read-byte-rate {track.stat().st_size / done.duration_seconds:.0f} "
            f"--written-byte-rate {n_bytes / done.duration_seconds:.0f} "
            f"(model loaded in {startup_seconds:.2f} s)"
        )
    started = time.perf_counter()
    again = work(Item(id="track", path=str(track), options={}))
    assert again.status == "skipped"
    yield f"a track that is finished already: {(time.perf_counter() - started) * 1e3:.1f} ms"


def _write_track(path: Path) -> None:
    """Write the example again and again until it is as long as a song."""
    audio = stemlight.read_audio(EXAMPLE)
    n_samples = _TRACK_SECONDS * audio.sample_rate_hz
    n_times = -(-n_samples // audio.n_samples)
    samples = np.tile(audio.samples, n_times)[:, :n_samples]
    soundfile.write(path, samples.T, audio.sample_rate_hz, subtype="PCM_16")


class _Requests(logging.Handler):
    """Counts what moto's server is asked for."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.methods: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        words = record.getMessage().split('"')
        if len(words) > 1:
            self.methods[words[1].split()[0].rpartition("m")[-1]] += 1


def _request_lines(folder: Path) -> Iterator[str]:
    """Count the requests of one new track, of a worker that has done one before."""
    import fsspec
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=True)
    counting = _Requests()
    logger = logging.getLogger("werkzeug")
    server.start()
    logger.addHandler(counting)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        host, port = server.get_host_and_port()
        access = {"key": "-", "secret": "-", "endpoint_url": f"http://{host}:{port}"}
        files = fsspec.filesystem("s3", **access)
        files.mkdir("catalogue")
        audio = stemlight.read_audio(EXAMPLE)
        urls = []
        for number in (1, 2):
            path = folder / f"{number}.flac"
            soundfile.write(path, audio.samples.T / number, audio.sample_rate_hz)
            files.put_file(str(path), f"catalogue/{path.name}")
            urls.append(f"s3://catalogue/{path.name}")
        store = Store("s3://catalogue/stems", access)
        work = SeparateTrack(store=store, input_options=access)()
        for url in urls:
            counting.methods.clear()
            done = work(Item(id=url, path=url, options={}))
            assert done.status == "done", done.reason
    finally:
        logger.removeHandler(counting)
        server.stop()
    yield f"requests of a track at an object store: {dict(counting.methods)}"
