"""What every request passes: who asks, from where, how much, how slowly; and what answers carry."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
import secrets
import time
from pathlib import Path
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stemlight.errors import UsageError
from stemlight.serve.problems import problem_response
from stemlight.serve.settings import ServeSettings
from stemlight.serve.views import API

__all__ = [
    "CLIENT_COOKIE",
    "CONTENT_SECURITY_POLICY",
    "SESSION_COOKIE",
    "Gate",
    "Keys",
    "read_keys",
]

CLIENT_COOKIE, SESSION_COOKIE = "stemlight_client", "stemlight_session"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self' blob:; connect-src 'self'; font-src 'self'; worker-src 'self' blob:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}

_CLIENT = re.compile(r"[0-9a-f]{32}")
_LEAST_KEY_LETTERS = 16
_MOST_JSON_BYTES = 65_536
_FORM_BYTES = 65_536  # of an upload, beside the song
_SESSION_SECONDS = 30 * 86400
_COOKIE = "Path=/; HttpOnly; SameSite=Strict; Max-Age=31536000"
_OPEN = (f"{API}/health", f"{API}/session", f"{API}/openapi.json")


def read_keys(path: Path) -> tuple[str, ...]:
    """Read keys, one to a line; empty lines and those that begin with # are none.

    Raises:
        UsageError: the file cannot be read, has none, or has one that could be guessed.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--api-key-file {path} cannot be read: {error}") from error
    keys = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not keys:
        raise UsageError(f"--api-key-file {path} holds no key; write one to a line")
    for key in keys:
        if len(key) < _LEAST_KEY_LETTERS or not key.isascii():
            raise UsageError(
                f"a key in {path} has {len(key)} letters, but {_LEAST_KEY_LETTERS} or more of "
                "plain ASCII are needed; make one with: openssl rand -hex 32"
            )
    return keys


class Keys:
    """Who may use the server, and who somebody is. Sessions survive a new start of the server."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._keys = {_digest(key): key for key in keys}

    @property
    def are_needed(self) -> bool:
        """Whether there are any."""
        return bool(self._keys)

    def owner_of(self, key: str) -> str | None:
        """Return the client that has a key, or None."""
        given = _digest(key)
        found = None
        for digest in self._keys:  # all of them, so that the time tells nothing
            if hmac.compare_digest(digest, given):
                found = digest
        return None if found is None else f"key-{found[:32]}"

    def session_for(self, key: str) -> str:
        """Return a cookie's value that stands for a key, for some weeks."""
        until = str(int(time.time()) + _SESSION_SECONDS)
        digest = _digest(key)
        return f"{digest[:32]}.{until}.{_signature(key, until)}"

    def owner_of_session(self, value: str) -> str | None:
        """Return the client that a cookie stands for, or None."""
        name, _, rest = value.partition(".")
        until, _, signature = rest.partition(".")
        for digest, key in self._keys.items():
            is_right = hmac.compare_digest(
                signature.encode(), _signature(key, until).encode()
            ) and hmac.compare_digest(name.encode(), digest[:32].encode())
            if is_right and until.isdigit() and int(until) > time.time():
                return f"key-{digest[:32]}"
        return None


def _digest(key: str) -> str:
    return hashlib.sha256(b"client " + key.encode()).hexdigest()


def _signature(key: str, until: str) -> str:
    return hmac.new(b"session " + key.encode(), until.encode(), hashlib.sha256).hexdigest()


class Gate:
    """Refuses what must not come in, tells routes who asks, and adds headers to what goes out."""

    def __init__(self, app: ASGIApp, *, settings: ServeSettings, keys: Keys) -> None:
        self._app = app
        self._settings = settings
        self._keys = keys
        self._hosts = {"localhost", settings.host.lower(), *settings.allowed_hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        cookies = cookie_parser(headers.get("cookie", ""))
        client, is_new = self._client(headers, cookies)
        is_api = scope["path"].startswith(API)
        cookie = f"{CLIENT_COOKIE}={client}; {_COOKIE}" if is_new and is_api else None

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                sent = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    sent[name] = value
                if is_api and "cache-control" not in sent:
                    sent["Cache-Control"] = "no-store"
                if cookie:
                    sent.append("Set-Cookie", cookie)
            await send(message)

        refusal = self._refusal(scope, headers, client)
        if refusal is not None:
            status, code, line = refusal
            extra = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
            await problem_response(status, code, line, extra)(scope, receive, send_safely)
            return
        scope.setdefault("state", {})["client"] = client
        await self._app(scope, self._limited(headers, receive), send_safely)

    def _client(self, headers: Headers, cookies: dict[str, str]) -> tuple[str | None, bool]:
        """Return who asks, None for nobody known; and whether that is a new client."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if self._keys.are_needed:
            if scheme.lower() == "bearer":
                return self._keys.owner_of(key.strip()), False
            return self._keys.owner_of_session(cookies.get(SESSION_COOKIE, "")), False
        client = cookies.get(CLIENT_COOKIE, "")
        if _CLIENT.fullmatch(client):
            return client, False
        return secrets.token_hex(16), True

    def _refusal(
        self, scope: Scope, headers: Headers, client: str | None
    ) -> tuple[int, str, str] | None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return (
                403,
                "unknown_host",
                "this server is not known by the name in the Host header; start it with "
                "--allowed-host NAME to add one",
            )
        origin = headers.get("origin")
        is_foreign = origin is not None and urlsplit(origin).netloc != host
        if (
            is_foreign
            and origin not in self._settings.cors_origins
            and scope["method"] not in ("GET", "HEAD", "OPTIONS")
        ):
            return (
                403,
                "foreign_origin",
                "pages of other sites may not use this server; start it with --cors-origin to "
                "allow one",
            )
        path = scope["path"]
        guarded = (path.startswith(API) and path not in _OPEN) or path == "/metrics"
        if guarded and client is None and scope["method"] != "OPTIONS":
            line = "this server wants a key; send the header Authorization: Bearer KEY"
            return 401, "key_needed", line
        return None

    def _is_ours(self, host: str) -> bool:
        """Accept names that were allowed, and addresses, which no foreign name server gives out."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _limited(self, headers: Headers, receive: Receive) -> Receive:
        """Refuse bodies that are too large or too slow, wherever they are read."""
        settings = self._settings
        most_bytes = _MOST_JSON_BYTES
        if headers.get("content-type", "").lower().startswith("multipart/form-data"):
            most_bytes = settings.max_upload_bytes + _FORM_BYTES
        n_bytes = 0
        is_complete = False
        started = time.monotonic()

        async def limited() -> Message:
            nonlocal n_bytes, is_complete
            if is_complete:
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), settings.upload_idle_seconds)
            except TimeoutError:
                raise HTTPException(
                    408, f"nothing came for {settings.upload_idle_seconds:g} s; send it again"
                ) from None
            n_bytes += len(message.get("body", b""))
            is_complete = not message.get("more_body", False)
            if n_bytes > most_bytes:
                raise HTTPException(413, f"at most {most_bytes} bytes are allowed; send less")
            seconds = time.monotonic() - started
            least = settings.upload_least_bytes_per_second * (
                seconds - settings.upload_idle_seconds
            )
            if not is_complete and n_bytes < least:
                raise HTTPException(
                    408,
                    f"{n_bytes} bytes came in {seconds:.0f} s, but at least "
                    f"{settings.upload_least_bytes_per_second} in each second are needed",
                )
            return message

        return limited
