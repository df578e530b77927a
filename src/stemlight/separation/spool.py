"""All samples of a song's stems in a file without a name, to be written a second time."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import BinaryIO, cast

import numpy as np

from stemlight.audio.files import FullWrites
from stemlight.audio.pcm import n_outside_full_scale
from stemlight.audio.wording import reason, shown
from stemlight.errors import OutputError
from stemlight.separation.stem_sinks import Piece, StemPlan

__all__ = ["Spool"]

_SPOOL_SAMPLES = 65536  # read back at once


class Spool(contextlib.ExitStack):
    """All samples so far, and how loud they are; leaving it frees the file.

    Raises:
        OutputError: here and in all methods: the file cannot be written or read.
    """

    def __init__(self, plan: StemPlan) -> None:
        super().__init__()
        self._n_channels = plan.info.n_channels
        self._n_rows = len(plan.files) + plan.has_mixture
        self._has_mixture = plan.has_mixture
        self._name = shown(plan.part)
        self.peak = 0.0
        self.is_too_loud = False
        with self._telling():
            file = tempfile.TemporaryFile(dir=plan.part, buffering=0)  # noqa: SIM115 - outlives us
            self._file = cast(BinaryIO, self.enter_context(file))

    def look_at(self, piece: Piece) -> None:
        """Note how loud a piece is: what is outside of full scale makes `is_too_loud` true."""
        for block in (*piece.stems, *([] if piece.mixture is None else [piece.mixture])):
            self.peak = max(self.peak, float(block.max(initial=0)), -float(block.min(initial=0)))
            self.is_too_loud = self.is_too_loud or n_outside_full_scale(block) > 0

    def write(self, piece: Piece) -> None:
        """Append a piece."""
        rows = piece.stems
        if piece.mixture is not None:
            rows = np.concatenate([rows, piece.mixture[np.newaxis]])
        frames = rows.reshape(self._n_rows * self._n_channels, rows.shape[-1]).T
        with self._telling():
            FullWrites(self._file).write(np.ascontiguousarray(frames).tobytes())

    def pieces(self, gain: np.float32) -> Iterator[Piece]:
        """Give back all samples, times the gain."""
        n_values = self._n_rows * self._n_channels
        with self._telling():
            self._file.seek(0, os.SEEK_SET)
        while True:
            with self._telling():
                content = _read_full(self._file, 4 * n_values * _SPOOL_SAMPLES)
            if not content:
                return
            frames = np.frombuffer(content, np.float32).reshape(-1, n_values)
            rows = np.ascontiguousarray(frames.T) * gain
            rows = rows.reshape(self._n_rows, self._n_channels, -1)
            yield Piece(rows[:-1], rows[-1]) if self._has_mixture else Piece(rows)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"cannot keep the samples of the stems in {self._name}: {reason(error)}; free some "
                "space or choose another folder, or on_clip='clip' (--on-clip clip), which keeps "
                "none"
            ) from error


def _read_full(file: BinaryIO, n_bytes: int) -> bytes:
    """Read as much as there is: an unbuffered file may give less than was asked."""
    parts = []
    while n_bytes and (part := file.read(n_bytes)):
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)
