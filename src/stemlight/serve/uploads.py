"""Takes a multipart form to disk while it comes: one file, one field of options."""

from __future__ import annotations

import io
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool

from stemlight.serve.problems import RefusalError

__all__ = ["Upload", "display_name", "receive_upload"]

_MOST_FIELD_BYTES = 16_384
_WRITE_BYTES = 1 << 20
_MOST_NAME_LETTERS = 200
_FORM_ESCAPES = (("%0D", "\r"), ("%0A", "\n"), ("%22", '"'))  # of browsers, and no others


@dataclass(frozen=True)
class Upload:
    """What came."""

    name: str
    options: str
    n_bytes: int


def display_name(given: str) -> str:
    """Return what to call a song: the last part of the name, printable and short.

    >>> display_name("../../etc/passwd")
    'passwd'
    """
    last = re.split(r"[/\\]", given)[-1]
    printable = "".join(letter if letter.isprintable() else " " for letter in last)
    words = " ".join(printable.split())
    return words[:_MOST_NAME_LETTERS] or "song"


async def receive_upload(
    pieces: AsyncIterator[bytes], content_type: str, target: Path, *, most_bytes: int
) -> Upload:
    """Write the form's file to `target`.

    Raises:
        RefusalError: it is no form, has no or several files, or the file is empty or too large.
    """
    kind, parameters = parse_options_header(content_type.encode("latin-1"))
    if kind != b"multipart/form-data" or not parameters.get(b"boundary"):
        raise RefusalError(
            415,
            f"the body is {content_type[:100]!r}; send multipart/form-data, or a path as JSON to "
            "/api/v1/jobs/path",
        )
    with target.open("xb") as file:
        form = _Form(file, most_bytes)
        try:
            parser = MultipartParser(parameters[b"boundary"], form.callbacks())  # type: ignore[arg-type]
            async for piece in pieces:
                parser.write(piece)
                if form.is_heavy:
                    await run_in_threadpool(form.flush)
            parser.finalize()
        except FormParserError as error:
            raise RefusalError(400, f"the form cannot be read: {error}") from error
        await run_in_threadpool(form.flush)
    return form.result()


class _Form:
    """Collects what the parser finds."""

    def __init__(self, file: BinaryIO, most_bytes: int) -> None:
        self._file = file
        self._most_bytes = most_bytes
        self._waiting = io.BytesIO()
        self._header, self._value = b"", b""
        self._disposition = b""
        self._name = ""
        self._is_file = False
        self._n_files = 0
        self._song_name = ""
        self._n_bytes = 0
        self._fields: dict[str, bytearray] = {}
        self._is_complete = False

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._take_header,
            "on_header_value": self._take_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._take_data,
            "on_end": self._end,
        }

    @property
    def is_heavy(self) -> bool:
        return self._waiting.tell() >= _WRITE_BYTES

    def flush(self) -> None:
        self._file.write(self._waiting.getbuffer())
        self._waiting = io.BytesIO()

    def result(self) -> Upload:
        if not self._is_complete:
            raise RefusalError(400, "the form is cut off; send it again")
        if self._n_files != 1:
            raise RefusalError(
                422, f"the form has {self._n_files} files named 'file'; send one song in a job"
            )
        if not self._n_bytes:
            raise RefusalError(422, "the song is empty (0 bytes); get it anew")
        options = self._fields.get("options", bytearray(b"{}"))
        try:
            text = options.decode()
        except UnicodeDecodeError as error:
            raise RefusalError(422, "the options are no UTF-8; send JSON") from error
        return Upload(display_name(self._song_name), text or "{}", self._n_bytes)

    def _begin(self) -> None:
        self._header, self._value, self._disposition = b"", b"", b""

    def _take_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _take_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header, self._value = b"", b""

    def _end_headers(self) -> None:
        _, parameters = parse_options_header(self._disposition)
        self._name = parameters.get(b"name", b"").decode("utf-8", "replace")
        file_name = parameters.get(b"filename")
        self._is_file = self._name == "file"
        if self._is_file:
            self._n_files += 1
            given = (file_name or b"song").decode("utf-8", "replace")
            for escaped, letter in _FORM_ESCAPES:
                given = given.replace(escaped, letter)
            self._song_name = given
        elif self._name == "options":
            self._fields["options"] = bytearray()
        else:
            raise RefusalError(
                422, f"the form has no field {self._name[:50]!r}; send file and options"
            )

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if not self._is_file:
            field = self._fields[self._name]
            field += data[start:end]
            if len(field) > _MOST_FIELD_BYTES:
                raise RefusalError(413, f"the options have more than {_MOST_FIELD_BYTES} bytes")
            return
        self._n_bytes += end - start
        if self._n_bytes > self._most_bytes:
            raise RefusalError(
                413,
                f"the song has more than {self._most_bytes} bytes, which is all that this server "
                "takes; compress or cut it",
            )
        if self._n_files == 1:
            self._waiting.write(data[start:end])

    def _end(self) -> None:
        self._is_complete = True
