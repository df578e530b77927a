"""Where stems go: a file for each, or one STEM file with the mixture."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stemlight.audio import STEM_MP4_STEMS, AudioInfo, AudioWriter, StemFileWriter, Tags
from stemlight.audio.stem_mp4 import MIXTURE_STREAM
from stemlight.separation.exact_sum import SumRounder
from stemlight.shapes import Float32

__all__ = ["Piece", "StemFile", "StemPlan", "StemWriters", "stem_mp4_order"]


@dataclass(frozen=True)
class Piece:
    """The next finished samples of all stems, and of the mixture where it is needed."""

    stems: Float32[np.ndarray, "stems channels samples"]
    mixture: Float32[np.ndarray, "channels samples"] | None = None


@dataclass(frozen=True, kw_only=True)
class StemPlan:
    """Which files to write, and how."""

    part: Path
    """Folder for the files while they are written."""
    files: Mapping[str, str]
    """Their names, by stem."""
    info: AudioInfo
    """Of the song."""
    format: str
    bit_depth: str | None
    """None where sound is lossy."""
    bit_rate_kbps: int | None = None
    tags: Tags = field(default_factory=Tags)
    """Of the song; the stems get them with their name behind the title."""
    track: str = ""
    """The title of a song whose tags have none."""
    is_one_file: bool = False
    """A STEM file, which holds the mixture, too."""
    guards: bool
    """Whether a gain keeps whole numbers from clipping."""
    main_stem: int | None = None
    adds_up: bool = False

    @property
    def has_mixture(self) -> bool:
        """Whether pieces come with the mixture."""
        return self.adds_up or self.is_one_file

    @property
    def is_integer(self) -> bool:
        """Whether samples outside full scale cannot be held."""
        return self.bit_depth in ("16", "24")

    def rounder(self) -> SumRounder | None:
        """Return what makes the stems add up, where they shall."""
        if not self.adds_up:
            return None
        assert self.bit_depth is not None, "lossy formats were refused"
        return SumRounder(self.bit_depth, main_stem=self.main_stem)


def stem_mp4_order(stems: Sequence[str]) -> tuple[str, ...]:
    """Return the stems in the order of a STEM file: the usual one, where they are the usual."""
    return STEM_MP4_STEMS if set(stems) == set(STEM_MP4_STEMS) else tuple(stems)


class StemWriters:
    """A file for each stem, opened on the stack."""

    def __init__(self, plan: StemPlan, stack: contextlib.ExitStack) -> None:
        self._writers = [
            stack.enter_context(
                AudioWriter(
                    plan.part / file,
                    sample_rate_hz=plan.info.sample_rate_hz,
                    n_channels=plan.info.n_channels,
                    format=plan.format,
                    bit_depth=plan.bit_depth,
                    bit_rate_kbps=plan.bit_rate_kbps,
                    tags=plan.tags.with_title(f" ({name})", of=plan.track) if plan.tags else None,
                )
            )
            for name, file in plan.files.items()
        ]

    @property
    def lengths(self) -> set[int]:
        """How many samples were written of each: one number, if all is well."""
        return {writer.n_samples for writer in self._writers}

    @property
    def notes(self) -> tuple[str, ...]:
        """Which tags could not be written, each in one line; known when all is closed."""
        return tuple(note for writer in self._writers for note in writer.notes)

    def write(
        self,
        stems: Float32[np.ndarray, "stems channels samples"],
        mixture: Float32[np.ndarray, "channels samples"] | None,
    ) -> None:
        """Append samples; the mixture is not needed."""
        for writer, stem in zip(self._writers, stems, strict=True):
            writer.write(stem)


class StemFile:
    """One file for all stems and the mixture, opened on the stack."""

    def __init__(self, plan: StemPlan, stack: contextlib.ExitStack) -> None:
        self._names = tuple(plan.files)
        (name,) = set(plan.files.values())
        self._writer = stack.enter_context(
            StemFileWriter(
                plan.part / name,
                sample_rate_hz=plan.info.sample_rate_hz,
                n_channels=plan.info.n_channels,
                stems=stem_mp4_order(self._names),
                bit_depth=plan.bit_depth,
                bit_rate_kbps=plan.bit_rate_kbps,
                tags=plan.tags or None,
            )
        )

    @property
    def lengths(self) -> set[int]:
        """How many samples were written of each: one number, if all is well."""
        return {self._writer.n_samples}

    @property
    def notes(self) -> tuple[str, ...]:
        """Which tags could not be written, each in one line; known when all is closed."""
        return self._writer.notes

    def write(
        self,
        stems: Float32[np.ndarray, "stems channels samples"],
        mixture: Float32[np.ndarray, "channels samples"] | None,
    ) -> None:
        """Append samples."""
        assert mixture is not None
        blocks = dict(zip(self._names, stems, strict=True))
        self._writer.write({**blocks, MIXTURE_STREAM: mixture})
