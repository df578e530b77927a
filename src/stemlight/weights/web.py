"""What web servers answer, in words, and which of it may be another answer in a second."""

from __future__ import annotations

import contextlib
import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from stemlight.errors import DownloadError

__all__ = ["CutError", "ends_at", "opener", "reason_of", "refusal", "version_of"]

_PASSING_STATUSES = (408, 425, 429, 500, 502, 503, 504)


class CutError(Exception):
    """This try failed; another one may go on where it ended. Never leaves `downloads`."""

    def __init__(self, reason: str, pause_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.pause_seconds = pause_seconds


def opener() -> Callable[..., http.client.HTTPResponse]:
    """Make an opener for http and https alone: no redirection leads to a file or to FTP."""
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.UnknownHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        director.add_handler(handler)
    return director.open


def version_of(response: http.client.HTTPResponse) -> str | None:
    """Return what If-Range can name: a strong entity tag, else the date of the last change."""
    tag: str = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def ends_at(headers: Any, offset: int) -> bool:
    """Tell whether a refused range began just where the file ends: nothing is missing."""
    return str(headers.get("Content-Range", "")).strip() == f"bytes */{offset}"


def refusal(url: str, error: urllib.error.HTTPError) -> Exception:
    """Tell answers that may be others in a second from those that stay, and say what to do."""
    answer = f"the server answered {error.code} {' '.join(error.reason.split())}"
    if error.code in _PASSING_STATUSES:
        asked = error.headers.get("Retry-After", "") or ""
        return CutError(answer, float(asked) if asked.isdecimal() else 0.0)
    advice = {
        401: "it wants a login",
        403: "it, or a proxy before it, forbids it",
        404: "the file is no longer there; update stemlight or report it",
        407: "the proxy wants a login: https_proxy=http://USER:PASSWORD@HOST:PORT",
        410: "the file is no longer there; update stemlight or report it",
    }.get(error.code, "try later or report it")
    return DownloadError(f"cannot download {url}: {answer}; {advice}")


def reason_of(error: Exception) -> str:
    """Say in a few words what cut a connection, or kept it from being made."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message}); see SSL_CERT_FILE"
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, http.client.IncompleteRead):
        return "the connection was cut"
    with contextlib.suppress(AttributeError):
        return str(cause.strerror or cause)  # type: ignore[union-attr]
    return str(cause) or type(cause).__name__
