"""A web server on this machine that serves files well, or badly in one chosen way."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Manners:
    """How files are served. Whatever is counted down is back to normal at zero."""

    honours_range: bool = True
    says_length: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes to send before each cut
    statuses: list[int] = field(default_factory=list)  # answers before the first good one
    every_status: int | None = None
    stalls: int = 0
    stall_seconds: float = 0.5
    redirects: dict[str, str] = field(default_factory=dict)
    tag: str | None = None  # None: made of the content
    has_tag: bool = True
    ignores_if_range: bool = False
    announced_bytes: int | None = None  # a length that is wrong


class Server:
    """`files` are served by path; `requests` are (path, Range header) in the order they came."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.manners = Manners()
        self.requests: list[tuple[str, str | None]] = []
        self.headers: list[dict[str, str]] = []
        self.before_answer: Callable[[], None] = lambda: None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.handle_error = lambda request, client: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def ranges(self) -> list[str | None]:
        return [range for _, range in self.requests]

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                # As a proxy it is asked for whole addresses.
                path = "/" + self.path.split("://")[-1].partition("/")[2]
                server.requests.append((self.path, self.headers["Range"]))
                server.headers.append(dict(self.headers))
                server.before_answer()
                _answer(self, server, path if "://" in self.path else self.path)

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


def _answer(handler: BaseHTTPRequestHandler, server: Server, path: str) -> None:
    manners, content = server.manners, server.files.get(path.partition("?")[0])
    status = manners.statuses.pop(0) if manners.statuses else manners.every_status
    if path in manners.redirects:
        handler.send_response(302)
        handler.send_header("Location", manners.redirects[path])
        handler.end_headers()
        return
    if status is None and content is None:
        status = 404
    if status is not None:
        handler.send_response(status)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    assert content is not None
    _send(handler, manners, content)


def _send(handler: BaseHTTPRequestHandler, manners: Manners, content: bytes) -> None:
    tag = manners.tag or f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    wanted = handler.headers["Range"] if manners.honours_range else None
    names = handler.headers["If-Range"]
    if names is not None and names != tag and not manners.ignores_if_range:
        wanted = None
    start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
    if wanted and start >= len(content):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(content)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    handler.send_response(206 if wanted else 200)
    if wanted:
        handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
    if manners.has_tag:
        handler.send_header("ETag", tag)
    if manners.says_length:
        handler.send_header("Content-Length", str(manners.announced_bytes or len(content) - start))
    handler.end_headers()
    if manners.stalls:
        manners.stalls -= 1
        time.sleep(manners.stall_seconds)
        return
    cut = manners.cuts.pop(0) if manners.cuts else None
    handler.wfile.write(content[start:] if cut is None else content[start : start + cut])
