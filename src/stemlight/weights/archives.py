"""Takes single files out of zip archives that nobody has vouched for."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from stemlight.errors import DownloadError
from stemlight.weights.checksums import Checksum

__all__ = ["extract_member"]

_CHUNK_BYTES = 2**20
_MOST_BYTES = 2**31  # of a member whose size is not known: no model here comes near


def extract_member(
    archive: Path,
    member: str,
    destination: Path,
    *,
    expected: Checksum,
    n_bytes: int | None = None,
) -> Path:
    """Write one member to `destination`, verified, in one step; return `destination`.

    `member` is a path in the archive, or a file name that occurs once in whatever folder. Paths of
    the archive lead nowhere else, and no more is unpacked than the size that is expected.

    Raises:
        DownloadError: no such member, not the expected one, or the archive is damaged.
    """
    part = destination.with_name(f"{destination.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    try:
        with zipfile.ZipFile(archive) as opened:
            _copy(opened, _find(opened, member), part, n_bytes)
        found = expected.found_in(part)
        if found != expected.digest:
            raise DownloadError(
                f"{member} in {archive.name} is not the expected file: its {expected.kind} is "
                f"{found}, expected {expected.digest}; nothing was kept, try again or report it"
            )
        part.replace(destination)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
        raise DownloadError(f"{archive.name} is no sound zip archive: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return destination


def _find(archive: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    infos = [info for info in archive.infolist() if not info.is_dir()]
    found = [info for info in infos if info.filename == member] or [
        info for info in infos if PurePosixPath(info.filename).name == member
    ]
    if len(found) != 1:
        names = ", ".join(info.filename for info in infos[:10])
        raise DownloadError(
            f"the archive has {len(found)} files {member!r}, expected 1; its files are {names}"
        )
    return found[0]


def _copy(archive: zipfile.ZipFile, info: zipfile.ZipInfo, part: Path, n_bytes: int | None) -> None:
    """Unpack no more than is expected, whatever the archive says of itself."""
    most = _MOST_BYTES if n_bytes is None else n_bytes
    if info.file_size > most:
        raise DownloadError(f"{info.filename} is unpacked {info.file_size} bytes, expected {most}")
    n_done = 0
    with archive.open(info) as packed, part.open("wb") as file:
        while chunk := packed.read(_CHUNK_BYTES):
            n_done += len(chunk)
            if n_done > most:
                raise DownloadError(f"{info.filename} unpacks to more than {most} bytes")
            file.write(chunk)
