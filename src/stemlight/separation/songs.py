"""Takes a song's file to files of its stems, block by block: all stems of a song, or none.

open_audio -> SeparationStream -> ResidualSharing -> SumRounder and guard gain -> placed together
"""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemlight.audio import AudioInfo, Tags, open_audio, read_tags
from stemlight.audio.files import ReadableFile
from stemlight.audio.wording import shown
from stemlight.separation.exact_sum import PROPORTIONAL
from stemlight.separation.placing import placed_together, remove_left_overs
from stemlight.separation.progress import Progress, expected_samples, reporter
from stemlight.separation.queues import SampleQueue
from stemlight.separation.residuals import ResidualSharing
from stemlight.separation.resume import (
    RECORD_FILE,
    SongRecord,
    hash_song,
    hash_work,
    read_record,
)
from stemlight.separation.separator import Separator
from stemlight.separation.song_options import (
    STEM_MP4,
    OnClip,
    SongOptions,
    check_options,
    is_whole,
)
from stemlight.separation.stem_files import WrittenStems, write_stems
from stemlight.separation.stem_sinks import Piece, StemPlan, stem_mp4_order
from stemlight.shapes import Float32

__all__ = [
    "OnClip",
    "Progress",
    "SongOptions",
    "SongReport",
    "StemReport",
    "check_options",
    "separate_file",
]

_Block = Float32[np.ndarray, "channels samples"]

_LONGEST_NAME_BYTES = 255  # on all common file systems


@dataclass(frozen=True, kw_only=True)
class StemReport:
    """One written stem."""

    path: Path
    level_db: float
    """Root mean square of all channels against full scale; minus infinity is silence."""
    n_clipped: int
    """Samples that 16 or 24 bits could not hold and that saturated."""
    stream: int = 0
    """Which audio stream of the file it is: the first of a STEM file is the mixture."""


@dataclass(frozen=True, kw_only=True)
class SongReport:
    """What became of a song."""

    input: str
    folder: Path
    duration_seconds: float
    sample_rate_hz: int
    n_channels: int
    stems: Mapping[str, StemReport]
    elapsed_seconds: float
    bit_depth: str | None = None
    """What a sample became: "16", "24" or "float"; None in a lossy format."""
    is_whole: bool = False
    """The stems are all of the mixture: all sources of the model, or some and the complement."""
    gain_db: float = 0.0
    """Of all stems alike, so that none of them clips; 0 unless one would."""
    exact_sum: str | None = None
    n_inexact: int = 0
    """Samples that no float stems add up to: see `stemlight.separation.exact_sum`."""
    was_done: bool = False
    """The stems were made by an earlier call and found complete; nothing was written."""
    notes: tuple[str, ...] = ()
    """Which tags could not be carried over, each in one line."""

    @property
    def real_time_factor(self) -> float:
        """Time taken for each second of music."""
        return self.elapsed_seconds / self.duration_seconds

    def to_json(self) -> dict[str, Any]:
        """Return plain values for JSON, which has no infinity: the level of silence is null."""
        stems = {
            name: {
                "path": str(stem.path),
                "level_db": stem.level_db if math.isfinite(stem.level_db) else None,
                "n_clipped": stem.n_clipped,
                "stream": stem.stream,
            }
            for name, stem in self.stems.items()
        }
        plain = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        return plain | {
            "folder": str(self.folder),
            "stems": stems,
            "notes": list(self.notes),
            "real_time_factor": self.real_time_factor,
        }


def separate_file(
    separator: Separator,
    song: Path | ReadableFile,
    folder: Path,
    *,
    options: SongOptions | None = None,
    on_progress: Progress | None = None,
) -> SongReport:
    """Write the stems of `song` as `folder/<stem>.<format>`, in memory that no length changes.

    A STEM file is one for all: `folder/<name of the folder>.stem.mp4`.

    `on_progress` gets the samples read and their number, and cancels by returning False; see
    `fraction_progress` for one that gets fraction and time left.

    Raises:
        InputError: the song cannot be read to its end, or holds no sound.
        OutputError: the stems cannot be written, or exist already.
        UsageError: the model has no such source, or the format cannot hold the song's sample rate
            or number of channels.
        CancelledError: `on_progress` returned False.
    """
    options = options or SongOptions()
    started = time.perf_counter()
    given = shown(song) if isinstance(song, Path) else "<stream>"
    # Before it is opened: a file object has one position for all.
    sha256 = "" if options.resume is None else hash_song(song, reporter(given, on_progress))
    tags = read_tags(song) if options.keep_tags else Tags()
    with open_audio(song, max_duration_seconds=options.max_duration_seconds) as reader:
        tell = reporter(reader.info.path, on_progress, expected_samples(reader.info))
        work = _SongWork(separator, reader.info, folder, options, tell)
        work.tags = tags
        remove_left_overs(folder)
        record = SongRecord() if options.resume is None else read_record(folder)
        key = work.key(sha256)
        written = record.finished(folder, key, work.still_here)
        was_done = written is not None
        if written is None:
            written = work.write(reader.blocks(), record, key)
    return SongReport(
        input=str(song) if isinstance(song, Path) else reader.info.path,
        folder=folder,
        duration_seconds=written.n_samples / reader.info.sample_rate_hz,
        sample_rate_hz=reader.info.sample_rate_hz,
        n_channels=reader.info.n_channels,
        stems={
            name: StemReport(
                path=folder / work.files[name],
                level_db=-math.inf if stem.level_db is None else stem.level_db,
                n_clipped=stem.n_clipped,
                stream=work.streams[name],
            )
            for name, stem in written.stems.items()
        },
        elapsed_seconds=time.perf_counter() - started,
        bit_depth=options.written_bit_depth,
        is_whole=work.is_whole,
        gain_db=written.gain_db,
        exact_sum=options.exact_sum,
        n_inexact=written.n_inexact,
        was_done=was_done,
        notes=(*tags.notes, *written.notes),
    )


class _SongWork:
    """One song on its way into one folder."""

    def __init__(
        self,
        separator: Separator,
        info: AudioInfo,
        folder: Path,
        options: SongOptions,
        on_progress: Callable[[int], None],
    ) -> None:
        self._stream = separator.stream(
            channels=info.n_channels,
            sources=options.sources,
            sample_rate_hz=info.sample_rate_hz,
            complement=options.complement,
        )
        self._stems = self._stream.stems
        check_options(options, separator)
        self.is_whole = is_whole(options, separator)
        self.files = {name: f"{name}.{options.format}" for name in self._stems}
        self.streams = dict.fromkeys(self._stems, 0)
        if options.format == STEM_MP4:
            name = _shortened(folder.name, f".{STEM_MP4}")
            self.files = dict.fromkeys(self._stems, name)
            self.streams = {
                name: 1 + index for index, name in enumerate(stem_mp4_order(self._stems))
            }
        self.tags = Tags()
        self._info = info
        self._folder = folder
        self._options = options
        self._on_progress = on_progress
        self._n_read = 0

    def still_here(self) -> None:
        """Tell that work goes on where the song does not, so that it can be cancelled."""
        self._on_progress(self._n_read)

    def key(self, song_sha256: str) -> str:
        """Hash all that the bytes of the stems depend on."""
        options: dict[str, object] = {
            "stems": self._stems,
            "complement": self._options.complement,
            "format": self._options.format,
            "bit_depth": self._options.written_bit_depth,
            "bit_rate_kbps": self._options.bit_rate_kbps,
            "keep_tags": self._options.keep_tags,
            "exact_sum": self._options.exact_sum,
            "on_clip": self._options.on_clip,
        }
        if self._options.format == STEM_MP4 or (self.tags and not self.tags.title):
            options["track"] = self._folder.name
        return hash_work(song_sha256, self._options.resume or "", options)

    def write(self, blocks: Iterator[_Block], record: SongRecord, key: str) -> WrittenStems:
        """Separate the song into its files; the record says which of those there are its own."""
        names = list(dict.fromkeys(self.files.values()))
        keeps_record = self._options.resume is not None
        replaceable = {RECORD_FILE, *(names if self._options.overwrite else record.files)}
        # The record comes first: then it knows the stems of a process that was killed in between.
        placed = [RECORD_FILE, *names] if keeps_record else names
        with placed_together(self._folder, placed, replaceable=replaceable) as part:
            written = write_stems(
                self._pieces(blocks), self._plan(part), on_rewrite=self.still_here
            )
            if keeps_record:
                paths = [part / name for name in names]
                record.with_song(key, paths, written, self.still_here).write(part)
        return written

    def _plan(self, part: Path) -> StemPlan:
        options = self._options
        is_named = options.exact_sum not in (None, PROPORTIONAL)
        return StemPlan(
            part=part,
            files=self.files,
            info=self._info,
            format=options.format,
            bit_depth=options.written_bit_depth,
            bit_rate_kbps=options.bit_rate_kbps,
            tags=self.tags,
            track=self._folder.name,
            is_one_file=options.format == STEM_MP4,
            guards=options.on_clip == "guard",
            adds_up=options.exact_sum is not None,
            main_stem=self._stems.index(options.exact_sum) if is_named else None,
        )

    def _pieces(self, blocks: Iterator[_Block]) -> Iterator[Piece]:
        """Yield all finished samples, with those of the mixture if the stems shall add up."""
        if self._options.exact_sum is None and self._options.format != STEM_MP4:
            yield from (Piece(finished) for finished in self._finished(blocks, None))
            return
        n_channels = self._info.n_channels
        mixture = SampleQueue(n_channels)
        # The complement lacks nothing but rounding errors, which have no bands to be shared by.
        is_shared = self._options.exact_sum == PROPORTIONAL and self._options.complement is None
        sharing = ResidualSharing(len(self._stems), n_channels) if is_shared else None
        for finished in self._finished(blocks, mixture):
            same = mixture.pop(finished.shape[-1]).copy()
            if sharing is None:
                yield Piece(finished, same)
            else:
                yield from (Piece(*piece) for piece in sharing.push(finished, same))
        if sharing is not None:
            yield from (Piece(*piece) for piece in sharing.flush())

    def _finished(
        self, blocks: Iterator[_Block], mixture: SampleQueue | None
    ) -> Iterator[Float32[np.ndarray, "stems channels samples"]]:
        with self._stream as stream:
            for block in blocks:
                if mixture is not None:
                    mixture.push(block)
                yield np.stack(list(stream.push(block).values()))
                self._n_read += block.shape[1]
                self._on_progress(self._n_read)
            yield np.stack(list(stream.flush().values()))


def _shortened(name: str, suffix: str) -> str:
    """Append the suffix to a name, shortening that to what file systems allow."""
    room = _LONGEST_NAME_BYTES - len(suffix)
    return os.fsencode(name)[:room].decode("utf-8", "ignore") + suffix
