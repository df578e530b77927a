"""Keeps one worker process alive for each device."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
import sys
import threading
import time

from stemlight.serve.settings import ServeSettings
from stemlight.serve.store import Store

__all__ = ["Supervisor"]

_LONGEST_PAUSE_SECONDS = 30.0
_WATCH_SECONDS = 0.1
_STEADY_SECONDS = 60.0  # a worker that lived so long was well


class Supervisor:
    """Starts workers, and starts them again when they end."""

    def __init__(self, settings: ServeSettings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._ending = threading.Event()
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._threads = [
            threading.Thread(target=self._keep, args=(f"{index}-{device}", device), daemon=True)
            for index, device in enumerate(settings.devices)
        ]
        self.n_restarts = 0

    def start(self) -> None:
        """Start all workers."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all workers; their jobs go back to the queue."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    @property
    def pids(self) -> list[int]:
        """Numbers of the processes that live now."""
        return [process.pid for process in list(self._processes.values()) if process.poll() is None]

    @property
    def is_well(self) -> bool:
        """Whether a worker lives, or none was wanted."""
        return bool(self.pids) or not self._settings.devices

    def _keep(self, place: str, device: str) -> None:
        pause_seconds = _WATCH_SECONDS
        while not self._ending.is_set():
            # A name of its own for each process: what the last one had is never mistaken.
            worker = f"{place}-{secrets.token_hex(8)}"
            started = time.monotonic()
            self._watch(worker, place, device)
            if self._ending.is_set():
                break
            self.n_restarts += 1
            is_steady = time.monotonic() - started > _STEADY_SECONDS
            pause_seconds = _WATCH_SECONDS if is_steady else 2 * pause_seconds
            pause_seconds = min(pause_seconds, _LONGEST_PAUSE_SECONDS)
            self._ending.wait(pause_seconds)

    def _watch(self, worker: str, place: str, device: str) -> None:
        """Run one worker to its end, and give its jobs back."""
        process = subprocess.Popen(
            [sys.executable, "-m", "stemlight.serve.worker", device, worker],
            stdin=subprocess.PIPE,
            text=True,
        )
        self._processes[place] = process
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.write(self._settings.to_json() + "\n")
            process.stdin.flush()
        while process.poll() is None and not self._ending.wait(_WATCH_SECONDS):
            pass
        crashed = process.poll() is not None
        process.kill()
        process.wait()
        with contextlib.suppress(OSError):
            process.stdin.close()
        while True:
            try:
                self._store.give_back(
                    worker, crashed=crashed, most_crashes=self._settings.most_crashes
                )
                return
            except Exception as error:  # a database that is away; their leases end anyway
                print(f"jobs of {worker} are not given back yet: {error}", file=sys.stderr)
                if self._ending.wait(1.0):
                    return
