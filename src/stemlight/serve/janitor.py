"""Removes what has expired, and files that no job knows."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from stemlight.serve.files import JobFiles
from stemlight.serve.settings import ServeSettings
from stemlight.serve.store import Store

__all__ = ["Janitor"]

_SHORT_SECONDS = 5.0
_LONG_SECONDS = 300.0
_EXPIRED_KEPT_SECONDS = 7 * 86400.0


class Janitor:
    """Works in a thread of the server; knows which jobs are being submitted."""

    def __init__(self, settings: ServeSettings, store: Store, files: JobFiles) -> None:
        self._settings = settings
        self._store = store
        self._files = files
        self._submitting: set[str] = set()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @contextmanager
    def submitting(self, job_id: str) -> Iterator[None]:
        """Protect the files of a job that has no row yet."""
        self._submitting.add(job_id)
        try:
            yield
        finally:
            self._submitting.discard(job_id)

    def clean(self) -> None:
        """Expire jobs, and remove their files and those of nobody."""
        for job_id in self._store.expire(
            ended_seconds=self._settings.expire_hours * 3600, kept_seconds=_EXPIRED_KEPT_SECONDS
        ):
            self._files.remove(job_id)
        self.sweep()

    def sweep(self) -> int:
        """Remove the files of nobody; return how many there were."""
        # In this order a job that is submitted meanwhile is either protected or known.
        found = self._files.stored_ids()
        protected = set(self._submitting)
        return self._files.sweep(found, self._store.ids() | protected)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._ending.set()
        self._thread.join()

    def _run(self) -> None:
        swept_at = time.monotonic()
        while not self._ending.wait(_SHORT_SECONDS):
            try:
                if time.monotonic() - swept_at > _LONG_SECONDS:
                    swept_at = time.monotonic()
                    self.clean()
                else:
                    for job_id in self._store.expire(
                        ended_seconds=self._settings.expire_hours * 3600,
                        kept_seconds=_EXPIRED_KEPT_SECONDS,
                    ):
                        self._files.remove(job_id)
            except Exception as error:  # the next time may be better
                print(f"cleaning failed: {error}", file=sys.stderr, flush=True)
