"""Takes a song's file to files of its stems, block by block: all stems of a song, or none.

The stems are written into a hidden folder, `.stemlight-<random>.part`, beside the one they are for,
or in it where it exists already. When all are complete they get their place together; a failure
removes the hidden folder and all folders that were made for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemlight.audio import AudioInfo, AudioWriter, open_audio
from stemlight.audio.files import ReadableFile
from stemlight.audio.wording import reason, shown
from stemlight.errors import InputError, OutputError
from stemlight.separation.separator import Separator
from stemlight.separation.streaming import SeparationStream
from stemlight.shapes import Float32

__all__ = ["Progress", "SongOptions", "SongReport", "StemReport", "separate_file"]

Progress = Callable[[int, int | None], None]
"""Called with the samples read so far and how many there are, about: None if nobody knows."""


@dataclass(frozen=True, kw_only=True)
class SongOptions:
    """What to make of a song.

    `sources` and `complement` are those of `Separator.stream`, `format` and `bit_depth` those of
    `AudioWriter`. Without `overwrite`, a folder that holds one of the stems already is refused.

    Raises:
        UsageError: no such format or bit depth, or they do not go together.
    """

    sources: Sequence[str] | None = None
    complement: str | None = None
    format: str = "wav"
    bit_depth: str | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        # Making a writer touches no file, and checks what does not depend on the song.
        AudioWriter(
            f"stem.{self.format}",
            sample_rate_hz=44_100,
            n_channels=2,
            format=self.format,
            bit_depth=self.bit_depth,
        )


@dataclass(frozen=True, kw_only=True)
class StemReport:
    """One written stem."""

    path: Path
    level_db: float
    """Root mean square of all channels against full scale; minus infinity is silence."""
    n_clipped: int
    """Samples that 16 or 24 bits could not hold and that saturated."""


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
            }
            for name, stem in self.stems.items()
        }
        plain = {entry.name: getattr(self, entry.name) for entry in dataclasses.fields(self)}
        return plain | {
            "folder": str(self.folder),
            "stems": stems,
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

    Raises:
        InputError: the song cannot be read to its end, or holds no sound.
        OutputError: the stems cannot be written, or exist already.
        UsageError: the model has no such source, or the format cannot hold the song's sample rate
            or number of channels.
    """
    options = options or SongOptions()
    started = time.perf_counter()
    with open_audio(song) as reader:
        info = reader.info
        stream = separator.stream(
            channels=info.n_channels,
            sources=options.sources,
            sample_rate_hz=info.sample_rate_hz,
            complement=options.complement,
        )
        files = {name: f"{name}.{options.format}" for name in stream.stems}
        with _placed_together(folder, list(files.values()), overwrite=options.overwrite) as part:
            paths = {name: part / file for name, file in files.items()}
            with _opened_stems(paths, info, options) as stems, stream:
                n_samples = _run(stream, reader.blocks(), stems, _reported(info, on_progress))
                if n_samples == 0:
                    raise InputError(f"{info.path} holds no samples")
    return SongReport(
        input=str(song) if isinstance(song, Path) else info.path,
        folder=folder,
        duration_seconds=n_samples / info.sample_rate_hz,
        sample_rate_hz=info.sample_rate_hz,
        n_channels=info.n_channels,
        stems={name: stem.report(folder / files[name]) for name, stem in stems.items()},
        elapsed_seconds=time.perf_counter() - started,
    )


@dataclass
class _OpenStem:
    """A stem that is being written, and its energy so far."""

    writer: AudioWriter
    energy: float = 0.0
    n_values: int = 0

    def write(self, block: Float32[np.ndarray, "channels samples"]) -> None:
        self.writer.write(block)
        self.energy += float(np.square(block, dtype=np.float64).sum())
        self.n_values += block.size

    def report(self, path: Path) -> StemReport:
        level_db = 10 * math.log10(self.energy / self.n_values) if self.energy else -math.inf
        return StemReport(path=path, level_db=level_db, n_clipped=self.writer.n_clipped)


@contextlib.contextmanager
def _opened_stems(
    paths: Mapping[str, Path], info: AudioInfo, options: SongOptions
) -> Iterator[dict[str, _OpenStem]]:
    with contextlib.ExitStack() as writers:
        yield {
            name: _OpenStem(
                writers.enter_context(
                    AudioWriter(
                        path,
                        sample_rate_hz=info.sample_rate_hz,
                        n_channels=info.n_channels,
                        format=options.format,
                        bit_depth=options.bit_depth,
                    )
                )
            )
            for name, path in paths.items()
        }


def _run(
    stream: SeparationStream,
    blocks: Iterator[Float32[np.ndarray, "channels samples"]],
    stems: Mapping[str, _OpenStem],
    on_progress: Callable[[int], None],
) -> int:
    """Push all blocks through the stream into the stems; return how many samples there were."""
    n_samples = 0
    for block in blocks:
        for name, finished in stream.push(block).items():
            stems[name].write(finished)
        n_samples += block.shape[1]
        on_progress(n_samples)
    for name, finished in stream.flush().items():
        stems[name].write(finished)
    for stem in stems.values():
        assert stem.writer.n_samples == n_samples, f"{stem.writer.n_samples} of {n_samples} samples"
    return n_samples


def _reported(info: AudioInfo, on_progress: Progress | None) -> Callable[[int], None]:
    """Return a callback that knows how many samples there are to come, about."""
    n_total = info.n_samples
    if n_total is None and info.duration_seconds is not None:
        n_total = round(info.duration_seconds * info.sample_rate_hz)

    def report(n_samples: int) -> None:
        if on_progress is not None:
            on_progress(n_samples, n_total)

    return report


@contextlib.contextmanager
def _placed_together(folder: Path, files: Sequence[str], *, overwrite: bool) -> Iterator[Path]:
    """Give a hidden folder whose `files` get their place in `folder` if the block ends well.

    Raises:
        OutputError: `folder` cannot be written to, or holds one of `files` and `overwrite` is off.
    """
    made: list[Path] = []
    try:
        _make_missing(folder.parent, made)
        _check_targets(folder, files, overwrite=overwrite)
        with _hidden_folder_for(folder) as part:
            yield part
            _check_targets(folder, files, overwrite=overwrite)  # again: much time has passed
            _place(part, folder, files)
    except BaseException as error:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir()  # unless another song's stems came into it meanwhile
        if isinstance(error, OSError):
            raise OutputError(f"cannot write to {shown(folder)}: {reason(error)}") from error
        raise


@contextlib.contextmanager
def _hidden_folder_for(folder: Path) -> Iterator[Path]:
    """Make a hidden folder on the file system of `folder`, and remove what is left of it."""
    name = f".stemlight-{secrets.token_hex(4)}.part"
    is_inside = folder.is_dir()
    part = folder / name if is_inside else folder.with_name(name)
    try:
        part.mkdir()  # in the block: an interrupt may come at any moment
        yield part
    except OutputError as error:  # people know the folder that they asked for, not this one
        there = (f"{os.sep}{name}", "") if is_inside else (name, folder.name)
        raise OutputError(str(error).replace(*there)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_targets(folder: Path, files: Sequence[str], *, overwrite: bool) -> None:
    """Refuse what would fail after the work: a name in use, not allowed, or too long."""
    try:
        folder.lstat()
    except FileNotFoundError:
        return
    if not folder.is_dir():
        raise OutputError(f"{shown(folder)} exists and is no folder; choose another folder")
    there = [file for file in files if (folder / file).exists()]
    if there and not overwrite:
        raise OutputError(
            f"{shown(folder)} holds {', '.join(there)} already; allow to overwrite (--overwrite), "
            "or choose another folder"
        )
    for file in there:
        if not (folder / file).is_file():
            raise OutputError(f"{shown(folder / file)} exists and is no file; rename it")


def _make_missing(folder: Path, made: list[Path]) -> None:
    """Make `folder` and its parents, and note which ones were not there."""
    if folder.is_dir():
        return
    _make_missing(folder.parent, made)
    made.append(folder)  # before it is made: an interrupt may come at any moment
    with contextlib.suppress(FileExistsError):  # another process may be working beside this one
        folder.mkdir()


def _place(part: Path, folder: Path, files: Sequence[str]) -> None:
    """Move all files into `folder`; after a failure everything is where it was."""
    if not folder.exists():
        part.rename(folder)
        return
    moved: list[tuple[Path, Path]] = []

    def move(source: Path, destination: Path) -> None:
        source.rename(destination)
        moved.append((source, destination))

    try:
        for file in files:
            if (folder / file).exists():
                move(folder / file, part / f".old-{file}")
            move(part / file, folder / file)
    except BaseException:
        for source, destination in reversed(moved):
            destination.rename(source)
        raise
