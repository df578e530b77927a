"""Hashes that name a file's whole content: sha256, or the id that git gives it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Checksum", "git_blob_id", "sha256"]

_CHUNK_BYTES = 2**20


@dataclass(frozen=True)
class Checksum:
    """What the hash of a file must be."""

    kind: Literal["sha256", "git blob id"]
    digest: str

    def found_in(self, path: Path) -> str:
        """Hash a file the same way."""
        with path.open("rb") as file:
            if self.kind == "sha256":
                return hashlib.file_digest(file, "sha256").hexdigest()
            # A blob's id covers its size, which stands before its content.
            hasher = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
            while chunk := file.read(_CHUNK_BYTES):
                hasher.update(chunk)
            return hasher.hexdigest()

    def fits(self, path: Path) -> bool:
        """Tell whether a file is there and has this hash."""
        return path.is_file() and self.found_in(path) == self.digest


def sha256(digest: str) -> Checksum:
    """Expect this sha256, in hexadecimal digits."""
    return Checksum("sha256", digest)


def git_blob_id(digest: str) -> Checksum:
    """Expect this git blob id: the SHA-1 of `blob <size>`, a zero byte and the content."""
    return Checksum("git blob id", digest)
