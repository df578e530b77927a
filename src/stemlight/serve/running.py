"""Runs a server until it is told to end."""

from __future__ import annotations

import asyncio
import threading
import webbrowser
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from stemlight.errors import OutputError
from stemlight.memory import MemoryLimit
from stemlight.serve.app import create_app
from stemlight.serve.choices import Choices
from stemlight.serve.database import connect
from stemlight.serve.files import JobFiles
from stemlight.serve.settings import ServeSettings
from stemlight.serve.store import Store

__all__ = ["PatientProtocol", "run_server"]

_MOST_CONNECTIONS = 600
_MOST_HEADER_BYTES = 32_768


class PatientProtocol(H11Protocol):
    """HTTP whose patience ends: a connection that asks for nothing is closed, at any time."""

    idle_seconds = 20.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._await_request()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """End waiting."""
        self._waiting.cancel()
        super().connection_lost(exc)

    def _await_request(self) -> None:
        waiting: asyncio.TimerHandle | None = getattr(self, "_waiting", None)
        if waiting is not None:
            waiting.cancel()
        self._waiting = self.loop.call_later(self.idle_seconds, self._lose_patience)

    def _lose_patience(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


def run_server(
    settings: ServeSettings, *, opens_browser: bool, announce: Callable[[str], object]
) -> None:
    """Serve until a signal comes; `announce` gets the address once it answers.

    Raises:
        OutputError: the address is taken, or the server cannot start.
    """
    _check_start(settings)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        http=PatientProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        h11_max_incomplete_event_size=_MOST_HEADER_BYTES,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config, settings, opens_browser, announce)
    try:
        server.run()
    except SystemExit as error:
        raise OutputError(
            f"the server cannot listen on {settings.host}, port {settings.port}, or not start; "
            "the lines above say why; choose another --port"
        ) from error
    if not server.started:
        raise OutputError("the server could not start; the lines above say why")


def _check_start(settings: ServeSettings) -> None:
    """Find what keeps a server from starting while it can still be told in one line."""
    with MemoryLimit(settings.max_memory):
        pass  # where it is too low for this process, no worker would start either
    files = JobFiles(settings.data_folder)
    files.prepare()
    with files.locked():
        Store(connect(settings.database_url)).close()
    Choices.of(settings.models)


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        settings: ServeSettings,
        opens_browser: bool,
        announce: Callable[[str], object],
    ) -> None:
        super().__init__(config)
        self._settings = settings
        self._opens_browser = opens_browser
        self._announce = announce

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets=sockets)
        if not self.started:
            return
        port = self.servers[0].sockets[0].getsockname()[1]
        host = "127.0.0.1" if self._settings.host in ("0.0.0.0", "::") else self._settings.host
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        self._announce(address)
        if self._opens_browser:
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
