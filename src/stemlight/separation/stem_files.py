"""Writes the stems of one song, and all of them again, quieter, where one would clip.

Whole numbers hold samples in [-1, 1) only. Until the last sample nobody knows whether one lies
outside, so the stems (and the mixture, if they add up to it) are also kept as float32 in a
temporary file without a name in the folder of the stems: 4 bytes for each sample, channel and stem,
a third more than 24 bits take. At the first sample outside, the finished part is given up; when the
song has ended, everything is written again out of that file with one gain for all stems.

`on_clip="clip"` needs no such file: samples outside saturate and are counted. Floats hold them.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from stemlight.audio.pcm import n_outside_full_scale
from stemlight.audio.wording import shown
from stemlight.errors import InputError
from stemlight.separation.spool import Spool
from stemlight.separation.stem_sinks import Piece, StemFile, StemPlan, StemWriters

__all__ = ["StemFacts", "WrittenStems", "write_stems"]


@dataclass(frozen=True, kw_only=True)
class StemFacts:
    """What was written of one stem."""

    level_db: float | None
    """Root mean square of all channels against full scale; None is silence."""
    n_clipped: int


@dataclass(frozen=True, kw_only=True)
class WrittenStems:
    """What was written of a song."""

    n_samples: int
    gain_db: float
    n_inexact: int
    stems: dict[str, StemFacts]
    notes: tuple[str, ...] = ()
    """Which tags could not be written, each in one line."""


def write_stems(
    pieces: Iterator[Piece], plan: StemPlan, *, on_rewrite: Callable[[], None]
) -> WrittenStems:
    """Write all pieces; `on_rewrite` is called now and then where it is done a second time.

    Raises:
        InputError: there are no samples.
        OutputError: the files cannot be written.
        UsageError: the format cannot hold the song's sample rate or number of channels.
    """
    if not (plan.guards and plan.is_integer):
        with _opened(plan) as files:
            for piece in pieces:
                files.write(piece)
        return files.result()
    with Spool(plan) as spool:
        try:
            with _opened(plan) as files:
                for piece in pieces:
                    spool.look_at(piece)
                    if spool.is_too_loud:
                        spool.write(piece)
                        raise _TooLoudError
                    files.write(piece)
                    spool.write(piece)
            return files.result()
        except _TooLoudError:
            for piece in pieces:
                spool.look_at(piece)
                spool.write(piece)
        gain = _guard_gain(spool.peak, int(plan.bit_depth or "24"))
        with _opened(plan) as files:
            for piece in spool.pieces(gain):
                files.write(piece)
                on_rewrite()
        return files.result(gain)


class _TooLoudError(Exception):
    """Removes the files that were begun."""


def _guard_gain(peak: float, n_bits: int) -> np.float32:
    """Return the gain that brings `peak` to the largest number there is, rounded down."""
    exact = (1 - 2.0 ** (1 - n_bits)) / peak
    gain = np.float32(exact)
    return gain if gain <= exact else np.nextafter(gain, np.float32(0))


class _OpenFiles:
    """The files while they are written, and what is known of them afterwards."""

    def __init__(self, plan: StemPlan, sink: StemWriters | StemFile) -> None:
        self._plan = plan
        self._sink = sink
        self._rounder = plan.rounder()
        self._energies = [0.0] * len(plan.files)
        self._n_clipped = [0] * len(plan.files)
        self.n_samples = 0

    def write(self, piece: Piece) -> None:
        stems = piece.stems
        if self._rounder is not None:
            assert piece.mixture is not None
            stems = self._rounder.round(stems, piece.mixture)
        self._sink.write(stems, piece.mixture)
        for index, (before, after) in enumerate(zip(piece.stems, stems, strict=True)):
            self._energies[index] += float(np.square(after, dtype=np.float64).sum())
            if self._plan.is_integer:
                self._n_clipped[index] += n_outside_full_scale(before)
        self.n_samples += stems.shape[-1]

    def result(self, gain: np.floating | float = 1.0) -> WrittenStems:
        n_values = self.n_samples * self._plan.info.n_channels
        assert self._sink.lengths == {self.n_samples}, f"{self._sink.lengths} samples were written"
        return WrittenStems(
            n_samples=self.n_samples,
            gain_db=20 * math.log10(gain),
            n_inexact=0 if self._rounder is None else self._rounder.n_inexact,
            stems={
                name: StemFacts(
                    level_db=10 * math.log10(energy / n_values) if energy else None,
                    n_clipped=n_clipped,
                )
                for name, energy, n_clipped in zip(
                    self._plan.files, self._energies, self._n_clipped, strict=True
                )
            },
            # Names in the hidden folder mean nothing afterwards.
            notes=tuple(
                note.replace(f"{shown(self._plan.part)}{os.sep}", "") for note in self._sink.notes
            ),
        )


@contextlib.contextmanager
def _opened(plan: StemPlan) -> Iterator[_OpenFiles]:
    with contextlib.ExitStack() as stack:
        files = _OpenFiles(plan, (StemFile if plan.is_one_file else StemWriters)(plan, stack))
        yield files
        if files.n_samples == 0:
            raise InputError(f"{plan.info.path} holds no samples")
