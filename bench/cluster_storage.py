"""Object storage as a simulation sees it: requests at a limited rate, bandwidth that is shared.

All transfers are equally fast at any time: the bandwidth divided by their number, or the limit of a
connection if that is less. So it is enough to know how many bytes each transfer that was there from
the beginning would have moved by now: a transfer ends when that number has grown by its own bytes,
and those that end earliest lie on top of a heap, whatever comes and goes meanwhile.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.options import option

__all__ = ["Storage", "StorageSettings"]

Handler = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class StorageSettings:
    """What the storage does, and what a track asks of it."""

    bytes_per_second: float = option(10e9, "of all transfers together; inf: no limit")
    connection_bytes_per_second: float = option(100e6, "of one transfer; inf: no limit")
    requests_per_second: float = option(5000.0, "of all workers together; inf: no limit")
    request_seconds: float = option(0.03, "latency of one request")
    n_read_requests: int = option(8, "requests until a track is read, one after the other")
    n_write_requests: int = option(6, "requests until its stems are stored")
    read_byte_rate: float = option(100e3, "bytes of a second of a track")
    written_byte_rate: float = option(220e3, "bytes of a second of all its stems")

    def read_seconds(self, track_seconds: float) -> float:
        """Return how long reading takes when nobody else asks."""
        return self._alone_seconds(self.n_read_requests, track_seconds * self.read_byte_rate)

    def write_seconds(self, track_seconds: float) -> float:
        """Return how long writing takes when nobody else asks."""
        return self._alone_seconds(self.n_write_requests, track_seconds * self.written_byte_rate)

    def _alone_seconds(self, n_requests: int, n_bytes: float) -> float:
        rate = min(self.bytes_per_second, self.connection_bytes_per_second)
        each = self.request_seconds + 1 / self.requests_per_second
        return n_requests * each + n_bytes / rate


class Storage:
    """Requests and transfers on their way."""

    def __init__(self, settings: StorageSettings) -> None:
        self.settings = settings
        self.next_end = math.inf
        """When the next transfer ends if nothing happens before."""
        self.moved_bytes = 0.0
        rates = settings.bytes_per_second, settings.connection_bytes_per_second
        self.is_unlimited = min(rates) == math.inf
        self._requests_free = 0.0
        self._transfers: list[tuple[float, int, Handler, int, int]] = []
        self._n_begun = 0
        self._n_alive = 0
        self._each_bytes = 0.0  # moved by each transfer so far
        self._at = 0.0
        self._rate = 0.0  # of each transfer

    def request_seconds(self, now: float, n_requests: int) -> float:
        """Send requests, one after the other; return how long until all are answered."""
        settings = self.settings
        self._requests_free = (
            max(self._requests_free, now) + n_requests / settings.requests_per_second
        )
        return self._requests_free - now + n_requests * settings.request_seconds

    def begin_transfer(
        self, now: float, n_bytes: float, handler: Handler, worker: int, life: int
    ) -> None:
        """Begin to move bytes; the handler is told of the end."""
        self._advance(now)
        self._n_begun += 1
        self._n_alive += 1
        self.moved_bytes += n_bytes
        transfer = (self._each_bytes + n_bytes, self._n_begun, handler, worker, life)
        heapq.heappush(self._transfers, transfer)
        self._plan()

    def end_transfer(self, lives: Sequence[int]) -> tuple[Handler, int, int]:
        """End the transfer that is next; return whom to tell."""
        self._advance(self.next_end)
        each_bytes, _, handler, worker, life = heapq.heappop(self._transfers)
        self._each_bytes = each_bytes  # to the last bit, so that equals end together
        self._n_alive -= 1
        self._drop_dead(lives)
        self._plan()
        return handler, worker, life

    def forget_dead(self, now: float, worker: int, lives: Sequence[int]) -> None:
        """Give the bandwidth of a worker that just died to the others."""
        self._advance(now)
        # Few die, so it may take long to find the transfer; there is none while requests wait.
        self._n_alive -= any(
            transfer[3] == worker and transfer[4] == lives[worker] - 1
            for transfer in self._transfers
        )
        self._drop_dead(lives)
        self._plan()

    def _drop_dead(self, lives: Sequence[int]) -> None:
        """Remove transfers of dead workers from the top; those below wait until they are there."""
        transfers = self._transfers
        while transfers and lives[transfers[0][3]] != transfers[0][4]:
            heapq.heappop(transfers)

    def _advance(self, now: float) -> None:
        self._each_bytes += (now - self._at) * self._rate
        self._at = now

    def _plan(self) -> None:
        if not self._n_alive:
            self.next_end = math.inf
            self._rate = self._each_bytes = 0.0
            return
        settings = self.settings
        self._rate = min(
            settings.bytes_per_second / self._n_alive, settings.connection_bytes_per_second
        )
        left_bytes = max(0.0, self._transfers[0][0] - self._each_bytes)
        self.next_end = self._at + left_bytes / self._rate
