"""Downloads a file whole or not at all: resumed, verified by its full hash, placed in one step.

Until then its bytes are in `<name>.part`, beside it. What the server said about their version is in
`<name>.part.version`, so that parts of two versions are never joined.
"""

from __future__ import annotations

import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stemlight._version import __version__
from stemlight.errors import DownloadError, OutputError
from stemlight.weights.checksums import Checksum
from stemlight.weights.locks import exclusive
from stemlight.weights.web import CutError, ends_at, opener, reason_of, refusal, version_of

__all__ = ["Progress", "download", "megabytes"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes of the whole file, where that is known."""

_CHUNK_BYTES = 2**18

# Waits before the next try after one that brought nothing new; after the last one it is given up.
_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)
_LONGEST_PAUSE_SECONDS = 60.0  # however long a server asks for
_RANGE_NOT_SATISFIABLE = 416

_REACHING = (
    "check the connection and the proxy (https_proxy, no_proxy), "
    "or use models that are here with --offline"
)


def download(
    url: str,
    destination: Path,
    *,
    expected: Checksum | None,
    n_bytes: int | None = None,
    on_progress: Progress | None = None,
    timeout_seconds: float = 30.0,
) -> Path:
    """Download `url` to `destination`, unless the expected file is there; return `destination`.

    A part that an earlier call left is continued where the server allows it. Proxies are those of
    the environment. `expected=None` is for archives whose members are verified one by one. Another
    process that downloads to the same place is waited for. `timeout_seconds` is for one answer of
    the server, not for the whole file.

    Raises:
        DownloadError: it cannot be had, or is not the expected file; a part that can be continued
            is kept, anything else is removed.
        OutputError: it cannot be written, for example because the disk is full.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise DownloadError(f"cannot download {url}: only http and https addresses are known")
    try:
        with exclusive(destination.with_name(f".{destination.name}.lock")):
            is_there = destination.is_file() if expected is None else expected.fits(destination)
            if not is_there:
                part = _Part(destination)
                _Transfer(url, part, expected, n_bytes, on_progress, timeout_seconds).complete()
                part.place(destination)
    except OSError as error:
        raise OutputError(f"cannot write {destination}: {error.strerror or error}") from error
    return destination


def megabytes(n_bytes: int) -> str:
    """Write a size for people."""
    return f"{n_bytes / 1e6:.1f} MB"


class _Part:
    """What has arrived so far, and the version of the file that it belongs to."""

    def __init__(self, destination: Path) -> None:
        self.path = destination.with_name(f"{destination.name}.part")
        self._version_path = destination.with_name(f"{destination.name}.part.version")

    @property
    def n_bytes(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def version(self) -> str | None:
        """The entity tag, or the date, that the server gave."""
        try:
            return self._version_path.read_text(encoding="latin-1") or None
        except FileNotFoundError:
            return None

    def restart(self, version: str | None) -> None:
        self.remove()
        if version is not None:
            self._version_path.write_text(version, encoding="latin-1")

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._version_path.unlink(missing_ok=True)

    def place(self, destination: Path) -> None:
        # A power cut must not leave a name whose content never reached the disk.
        with self.path.open("rb") as file:
            os.fsync(file.fileno())
        self.path.replace(destination)
        self._version_path.unlink(missing_ok=True)


class _Transfer:
    """Brings the rest of one part, in as many tries as it takes."""

    def __init__(
        self,
        url: str,
        part: _Part,
        expected: Checksum | None,
        n_bytes: int | None,
        on_progress: Progress | None,
        timeout_seconds: float,
    ) -> None:
        self._url = url
        self._part = part
        self._expected = expected
        self._n_bytes = n_bytes
        self._tell = on_progress or (lambda n_done, n_total: None)
        self._timeout_seconds = timeout_seconds
        self._open = opener()
        self._was_reached = False

    def complete(self) -> None:
        """Fill the part and verify it."""
        is_resumed = self._part.n_bytes > 0
        self._fill()
        found = self._wrong_hash()
        if found and is_resumed:  # the older bytes may be damaged, or those of another version
            self._part.remove()
            self._fill()
            found = self._wrong_hash()
        if found and self._expected is not None:
            self._part.remove()
            raise DownloadError(
                f"{self._url} is not the expected file: its {self._expected.kind} is {found}, "
                f"expected {self._expected.digest}; nothing was kept, try again or report it"
            )

    def _wrong_hash(self) -> str | None:
        if self._expected is None:
            return None
        found = self._expected.found_in(self._part.path)
        return None if found == self._expected.digest else found

    def _fill(self) -> None:
        n_failures, most_bytes = 0, self._part.n_bytes
        while True:
            try:
                return self._go_on()
            except CutError as cut:
                if self._part.n_bytes > most_bytes:
                    n_failures, most_bytes = 0, self._part.n_bytes
                if n_failures == len(_PAUSES_SECONDS):
                    raise DownloadError(self._given_up(str(cut))) from cut
                pause_seconds = max(_PAUSES_SECONDS[n_failures], cut.pause_seconds)
                time.sleep(min(pause_seconds, _LONGEST_PAUSE_SECONDS))
                n_failures += 1

    def _given_up(self, reason: str) -> str:
        kept = self._part.n_bytes
        here = f"; {megabytes(kept)} are kept, run it again to go on" if kept else ""
        n_tries = len(_PAUSES_SECONDS) + 1
        return f"cannot download {self._url}: {reason}, {n_tries} times{here or '; try later'}"

    def _go_on(self) -> None:
        offset = self._part.n_bytes
        if offset and self._expected is None and self._part.version is None:
            offset = 0  # nothing could tell a joint of two versions
        if offset and offset == self._n_bytes:
            return
        response = self._answer(offset)
        if response is None:
            return
        with response:
            offset = self._place_of(response, offset)
            total = self._total(response, offset)
            if offset == 0:
                self._part.restart(version_of(response))
            self._refuse_small_disk(offset, total)
            self._copy(response, offset, total)

    def _answer(self, offset: int) -> http.client.HTTPResponse | None:
        """Ask for the bytes from `offset` on; None if there are no more."""
        headers = {"User-Agent": f"stemlight/{__version__}"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if self._part.version is not None:
                headers["If-Range"] = self._part.version
        request = urllib.request.Request(self._url, headers=headers)
        try:
            response = self._open(request, timeout=self._timeout_seconds)
        except urllib.error.HTTPError as error:
            with error:  # closes the connection
                if offset and error.code == _RANGE_NOT_SATISFIABLE:
                    if ends_at(error.headers, offset):
                        return None
                    self._part.remove()
                    raise CutError("the server has fewer bytes than were kept") from error
                raise refusal(self._url, error) from error
        except (OSError, http.client.HTTPException) as error:
            reason = reason_of(error)
            if self._was_reached:
                raise CutError(reason) from error
            host = urlsplit(self._url).netloc
            raise DownloadError(f"cannot reach {host}: {reason}; {_REACHING}") from error
        self._was_reached = True
        return response

    def _place_of(self, response: http.client.HTTPResponse, offset: int) -> int:
        """Return where in the file the answer begins: not every server sends what was asked."""
        if response.status == 200:
            return 0
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
        if offset and response.status == 206 and begins:
            found, kept = version_of(response), self._part.version
            if found is None or kept is None or found == kept:
                return offset
            self._part.remove()
            raise CutError("the file changed on the server meanwhile")
        self._part.remove()
        raise DownloadError(
            f"cannot download {self._url}: the server answered {response.status} "
            f"{response.reason} instead of the file; try later"
        )

    def _total(self, response: http.client.HTTPResponse, offset: int) -> int | None:
        length = response.headers.get("Content-Length", "")
        if not length.isdecimal():
            return self._n_bytes
        total = offset + int(length)
        if self._n_bytes not in (None, total):
            self._part.remove()
            raise DownloadError(
                f"{self._url} is not the expected file: it has {total} bytes, expected "
                f"{self._n_bytes}; a proxy or a login page may stand between, or report it"
            )
        return total

    def _copy(self, response: http.client.HTTPResponse, offset: int, total: int | None) -> None:
        n_done = offset
        self._tell(n_done, total)
        # Unbuffered: what has arrived is on the disk when the process is killed.
        with self._part.path.open("ab", buffering=0) as file:
            while total is None or n_done < total:
                wanted = _CHUNK_BYTES if total is None else min(_CHUNK_BYTES, total - n_done)
                try:
                    chunk = response.read1(wanted)
                except (OSError, http.client.HTTPException) as error:
                    raise CutError(reason_of(error)) from error
                if not chunk:
                    break
                try:
                    _write_all(file, chunk)
                except OSError as error:
                    raise self._disk_error(error.strerror or str(error), n_done, total) from error
                n_done += len(chunk)
                self._tell(n_done, total)
        if total is not None and n_done < total:
            raise CutError(f"the connection was cut after {n_done} of {total} bytes")

    def _refuse_small_disk(self, offset: int, total: int | None) -> None:
        free = shutil.disk_usage(self._part.path.parent).free
        if total is not None and total - offset > free:
            raise self._disk_error("No space left on device", offset, total)

    def _disk_error(self, reason: str, n_done: int, total: int | None) -> OutputError:
        """Remove the part, and say what is missing."""
        folder = self._part.path.parent
        free = shutil.disk_usage(folder).free
        self._part.remove()
        needed = f"{megabytes(total - n_done)} more are needed, " if total is not None else ""
        return OutputError(
            f"cannot write {self._part.path}: {reason} ({needed}{megabytes(free)} are free); "
            "free some space, or set STEMLIGHT_CACHE to a folder on another disk"
        )


def _write_all(file: Any, chunk: bytes) -> None:
    rest = memoryview(chunk)
    while rest:  # an unbuffered file may take less than it was given
        rest = rest[file.write(rest) :]
