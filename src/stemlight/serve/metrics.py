"""Numbers for Prometheus; names of clients and songs are none of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stemlight.serve.jobs import TRANSITIONS

__all__ = ["Facts", "Metrics", "Timed"]

Facts = Callable[[], tuple[dict[str, int], dict[str, float]]]
"""Returns the jobs by state, and other numbers by name."""


class _Present(Collector):
    """What is asked when Prometheus asks."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts

    def collect(self) -> Iterator[Metric]:
        totals, numbers = self._facts()
        jobs = GaugeMetricFamily("stemlight_jobs", "Jobs by state.", labels=["state"])
        for state in TRANSITIONS:
            jobs.add_metric([state], totals.get(state, 0))
        yield jobs
        for name, value in numbers.items():
            yield GaugeMetricFamily(f"stemlight_{name}", name.replace("_", " "), value=value)

    def describe(self) -> Iterator[Metric]:
        """Describe nothing beforehand: the database need not be asked for that."""
        return iter(())


class Metrics:
    """All numbers of one server."""

    def __init__(self, facts: Facts) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._registry.register(_Present(facts))
        self.submitted = Counter(
            "stemlight_jobs_submitted", "Jobs that were accepted.", registry=self._registry
        )
        self.upload_bytes = Counter(
            "stemlight_upload_bytes", "Bytes of accepted songs.", registry=self._registry
        )
        self.requests = Histogram(
            "stemlight_request_seconds",
            "Time to the first byte of the answer.",
            ["method", "route", "status"],
            registry=self._registry,
            buckets=(0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0),
        )

    def text(self) -> bytes:
        """Return what `GET /metrics` answers."""
        return generate_latest(self._registry)


class Timed:
    """Counts requests by route, never by path: paths are without end."""

    def __init__(
        self, app: ASGIApp, *, metrics: Callable[[], Metrics], clock: Callable[[], float]
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = self._clock()

        async def send_counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                method = scope["method"] if scope["method"] in _METHODS else "other"
                labels = (method, route, str(message["status"]))
                self._metrics().requests.labels(*labels).observe(self._clock() - started)
            await send(message)

        await self._app(scope, receive, send_counted)


_METHODS = ("GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH")
