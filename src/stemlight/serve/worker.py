"""A process that takes jobs, one after the other, until its server goes away.

    python -m stemlight.serve.worker DEVICE NAME    < one line: the settings

Standard input stays open as long as the server lives; when it ends, so does the worker, at once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stemlight.audio import probe
from stemlight.errors import CancelledError, InputError, StemlightError, UsageError
from stemlight.memory import MemoryLimit
from stemlight.serve.database import connect
from stemlight.serve.engine import Engine, make_engine
from stemlight.serve.files import JobFiles, folder_bytes
from stemlight.serve.jobs import Job
from stemlight.serve.products import make_original, measure_stem
from stemlight.serve.settings import ServeSettings
from stemlight.serve.stem_mp4 import holds_stem_mp4, write_stem_mp4
from stemlight.serve.store import Store

__all__ = ["Worker", "main"]

_IDLE_SECONDS = 0.2
_BEAT_SECONDS = 0.5
_QUIET_SECONDS = 1.0  # before anything is said of the time left
_SEPARATION = 0.94  # of the progress; the rest is the original, peaks and a STEM file
_WRONG_USAGE = 2
_SERVER_GONE = 3
_STALLED = 4
_NO_ENGINE = 5
_KILLED_SOONER = "500"  # of 1000: when memory runs out, before the server and all else here


class Worker:
    """Does jobs in this process."""

    def __init__(
        self,
        settings: ServeSettings,
        store: Store,
        engine: Engine,
        *,
        name: str = "worker",
        memory: MemoryLimit | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._engine = engine
        self._name = name
        self._memory = memory or MemoryLimit(None)
        self._files = JobFiles(settings.data_folder)
        self._expires_seconds = settings.expire_hours * 3600

    def run_one(self) -> bool:
        """Do the next job; False says that there was none."""
        job = self._store.claim(self._name, lease_seconds=self._settings.lease_seconds)
        if job is None:
            return False
        assert job.lease is not None
        attempt = self._files.attempt(job.id, job.lease)
        kept = False
        try:
            with _Heart(self._store, job.lease, self._settings) as heart:
                result = self._make(job, attempt, heart)
            kept = self._store.finish(
                job.lease,
                result,
                size_bytes=folder_bytes(self._files.folder(job.id)),
                expires_seconds=self._expires_seconds,
            )
            if not kept:  # cancelled at the last moment, or deleted
                self._confirm_cancel(job)
        except CancelledError:
            self._confirm_cancel(job)
        except Exception as error:
            self._fail(job, self._reason(job, error))
        finally:
            if not kept:
                shutil.rmtree(attempt, ignore_errors=True)
        return True

    def _make(self, job: Job, attempt: Path, heart: _Heart) -> dict[str, Any]:
        """Write everything that belongs to a job's result into the folder of this attempt."""
        song = self._files.song(job.id) if job.source_path is None else Path(job.source_path)
        self._files.clear_attempts(job.id, but=attempt.name)
        self._refuse_beyond_quota(song, job)
        attempt.mkdir(mode=0o700, parents=True)
        options = dict(job.options)
        wants_stem_mp4 = options["format"] == "stem.mp4"
        if wants_stem_mp4:
            options["format"] = "flac"  # the stems themselves; the STEM file is made of them
        done = self._engine.separate(
            song,
            attempt / "stems",
            options,
            lambda fraction, seconds_left: heart.tell(_SEPARATION * fraction, seconds_left),
        )
        passes = 1 + len(done.stems)
        total = max(1.0, done.duration_seconds * done.sample_rate_hz * passes)
        n_done = 0

        def tell(n_samples: int) -> None:
            nonlocal n_done
            n_done += n_samples
            fraction = _SEPARATION + (1 - _SEPARATION) * min(1.0, n_done / total)
            if heart.tell(fraction, None) is False:
                raise CancelledError("the job was cancelled")

        max_seconds = self._settings.max_seconds
        original = make_original(song, attempt, tell=tell, max_seconds=max_seconds)
        result: dict[str, Any] = {
            "folder": attempt.name,
            "duration_seconds": done.duration_seconds,
            "sample_rate_hz": done.sample_rate_hz,
            "n_channels": done.n_channels,
            "original": original,
            "stems": {
                name: measure_stem(path, attempt / f"{name}.peaks", tell=tell)
                for name, path in done.stems.items()
            },
        }
        result["has_stem_mp4"] = holds_stem_mp4(result)
        if wants_stem_mp4:
            write_stem_mp4(attempt, result, attempt / "made" / "stem.mp4")
        return result

    def _refuse_beyond_quota(self, song: Path, job: Job) -> None:
        """Estimate what the job will write, all stems as long as the song, before it is begun."""
        info = probe(song)
        seconds = min(
            info.duration_seconds or self._settings.max_seconds, self._settings.max_seconds
        )
        n_sounds = 1 + (len(job.options["stems"] or ()) or 4) + bool(job.options["complement"])
        needed = round(seconds * info.sample_rate_hz * info.n_channels * 3 * n_sounds)
        left = self._settings.quota_bytes - self._store.used_bytes()
        free = self._files.free_bytes()
        if needed > min(left, free):
            raise InputError(
                f"the stems of this song may need {needed / 1e6:.0f} MB, but the server has "
                f"{max(0, min(left, free)) / 1e6:.0f} MB left; delete jobs, or try later"
            )

    def _reason(self, job: Job, error: Exception) -> str:
        """Say in a line why there is no result."""
        if self._memory.is_lack(error):
            return "the server has not enough memory for this song; take fewer stems or less of it"
        if isinstance(error, StemlightError):
            return str(error)
        if isinstance(error, OSError):
            return f"the server could not write the stems: {error.strerror or error}"
        print(f"job {job.id}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return f"{type(error).__name__} (this is a bug in stemlight: report it)"

    def _confirm_cancel(self, job: Job) -> None:
        assert job.lease is not None
        self._store.confirm_cancel(job.lease, expires_seconds=self._expires_seconds)

    def _fail(self, job: Job, reason: str) -> None:
        """End the job with one line that names the song as its owner does, and no folder."""
        assert job.lease is not None
        names = [self._files.song(job.id), self._files.folder(job.id)]
        if job.source_path is not None:
            names.append(Path(job.source_path))
        for name in names:
            reason = reason.replace(str(name), job.name)
        reason = reason.replace(str(self._settings.data_folder), "")
        line = " ".join(reason.split())
        self._store.fail(job.lease, line, expires_seconds=self._expires_seconds)


class _Heart:
    """Renews a job's lease in a thread, and notices when the job shall not go on."""

    def __init__(self, store: Store, lease: str, settings: ServeSettings) -> None:
        self._store = store
        self._lease = lease
        self._settings = settings
        self._progress: tuple[float, float | None] = (0.0, None)
        self._started_at = self._told_at = time.monotonic()
        self._goes_on = True
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def tell(self, fraction: float, seconds_left: float | None) -> bool:
        """Take note of the progress; False says that the job shall end."""
        self._progress = fraction, seconds_left
        self._told_at = time.monotonic()
        return self._goes_on

    def __enter__(self) -> _Heart:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        pause = min(_BEAT_SECONDS, self._settings.lease_seconds / 4)
        renewed_at = time.monotonic()
        while not self._ended.wait(pause):
            if time.monotonic() - self._told_at > self._settings.stall_seconds:
                print("the job advances no more; the worker ends", file=sys.stderr, flush=True)
                os._exit(_STALLED)
            fraction, seconds_left = self._progress
            try:
                self._goes_on = self._store.heartbeat(
                    self._lease,
                    lease_seconds=self._settings.lease_seconds,
                    progress=fraction,
                    seconds_left=self._estimate(fraction, seconds_left),
                )
                renewed_at = time.monotonic()
            except Exception as error:  # a database that is away for a moment
                if time.monotonic() - renewed_at > self._settings.lease_seconds:
                    self._goes_on = False
                    print(f"no heartbeat: {error}", file=sys.stderr, flush=True)

    def _estimate(self, fraction: float, seconds_left: float | None) -> float | None:
        """Return the time left by what is done since the start, where the engine knows any.

        Its own word is too early: it counts what it has read, before the first work is done.
        """
        elapsed_seconds = time.monotonic() - self._started_at
        if seconds_left is None or fraction <= 0 or elapsed_seconds < _QUIET_SECONDS:
            return None
        return elapsed_seconds * (1 - fraction) / fraction


def main() -> None:
    """Do jobs until standard input ends."""
    device, name = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends us
    settings = ServeSettings.from_json(sys.stdin.readline())
    threading.Thread(target=_end_with_server, args=(sys.stdin.read,), daemon=True).start()
    with contextlib.suppress(OSError):  # other systems than Linux have no such wish
        Path("/proc/self/oom_score_adj").write_text(_KILLED_SOONER, encoding="ascii")
    libraries = () if device in ("auto", "cpu") else ("torch",)
    try:
        with MemoryLimit(settings.max_memory, libraries=libraries) as memory:
            engine = make_engine(settings, device)
            store = Store(connect(settings.database_url, migrates=False))
            worker = Worker(settings, store, engine, name=name, memory=memory)
            while True:
                if not worker.run_one():
                    time.sleep(_IDLE_SECONDS)
    except StemlightError as error:  # jobs wait until another try goes well
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(_WRONG_USAGE if isinstance(error, UsageError) else _NO_ENGINE)


def _end_with_server(wait: Callable[[], str]) -> None:
    wait()
    os._exit(_SERVER_GONE)


if __name__ == "__main__":
    main()
