"""Opens any sound file and gives its samples in blocks.

The content chooses the decoder, never the suffix: libsndfile for WAV, AIFF, FLAC and Ogg, FFmpeg
for everything else and for what libsndfile refuses.

Files that are not whole, by what their format promises:

- WAV, RF64, AIFF: the header says how many samples there are; with fewer, opening fails. Headers
  of programs that wrote to a pipe say nothing; then what is there is read.
- FLAC and MP4 (m4a, video): reading fails where the samples end before the promised length, or
  opening fails if the table of contents is what is missing.
- MP3, Ogg, AAC, Matroska, WMA: there is no length to rely on (tags of MP3 are often stale), so what
  is there is read, as every player does. So it is of rare formats (AU, CAF, W64).

Data that cannot be decoded with data behind it that can is an error in every format. No sample is
made up, none passed over. What a file claims to hold is not believed beyond what its bytes can:
see `limits`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

import numpy as np

from stemlight.audio.decoding import AudioInfo, NotDecodableError
from stemlight.audio.ffmpeg_decoder import FfmpegDecoder
from stemlight.audio.files import ReadableFile, SourceFile
from stemlight.audio.limits import LengthLimit, check_most_seconds, copy_pipe
from stemlight.audio.resampling import StreamResampler
from stemlight.audio.signal import Audio
from stemlight.audio.sndfile_decoder import SndfileDecoder
from stemlight.audio.wording import reason, shown
from stemlight.errors import InputError, UsageError
from stemlight.shapes import Float32

__all__ = ["AudioInfo", "AudioReader", "open_audio", "probe", "read_audio"]

_BLOCK_SAMPLES = 65536


class AudioReader:
    """An opened audio stream; `open_audio` makes it, `with` closes it."""

    def __init__(
        self,
        decoder: SndfileDecoder | FfmpegDecoder,
        file: SourceFile,
        owned_file: BinaryIO | None,
        limit: LengthLimit,
    ) -> None:
        self._decoder = decoder
        self._file = file
        self._owned_file = owned_file
        self._limit = limit
        self._started = False

    @property
    def info(self) -> AudioInfo:
        """What the file says about itself."""
        return self._decoder.info

    def blocks(
        self, block_samples: int = _BLOCK_SAMPLES
    ) -> Iterator[Float32[np.ndarray, "channels samples"]]:
        """Return all samples, once, in blocks of equal length, the last one perhaps shorter.

        Together they are `info.n_samples` long, where that is known. Every block is a new array.

        Raises:
            InputError: while iterating: the file is cut off or damaged, longer than allowed, or a
                sample is NaN or infinite.
            UsageError: the blocks were asked for before, or `block_samples` is below 1.
        """
        if block_samples < 1:
            raise UsageError(f"block_samples must be at least 1, not {block_samples}")
        if self._started:
            raise UsageError(f"{self.info.path} can be read only once; open it again")
        self._started = True
        return self._checked_blocks(block_samples)

    def close(self) -> None:
        """Close the file, unless it was given as a file object."""
        self._decoder.close()
        if self._owned_file is not None:
            self._owned_file.close()

    def __enter__(self) -> AudioReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _checked_blocks(
        self, block_samples: int
    ) -> Iterator[Float32[np.ndarray, "channels samples"]]:
        n_read = 0
        blocks = self._decoder.blocks(block_samples)
        while (block := self._next_block(blocks)) is not None:
            self._limit.refuse_beyond(n_read + block.shape[1])
            _refuse_not_finite(block, n_read, self.info)
            n_read += block.shape[1]
            yield block
        if not n_read:  # as tables that lie about the length have it
            raise InputError(f"{self.info.path} holds no samples")

    def _next_block(
        self, blocks: Iterator[Float32[np.ndarray, "channels samples"]]
    ) -> Float32[np.ndarray, "channels samples"] | None:
        try:
            block = next(blocks, None)
        except InputError:
            _refuse_fault(self._file, self.info.path)  # which is then the cause
            raise
        _refuse_fault(self._file, self.info.path)
        return block


def open_audio(
    source: str | os.PathLike[str] | ReadableFile,
    *,
    stream: int = 0,
    max_duration_seconds: float | None = None,
) -> AudioReader:
    """Open a sound file, or a binary file object such as `sys.stdin.buffer`, from its beginning.

    `stream` chooses among several audio streams (a STEM mp4 has five), counted from 0. A file
    object stays open; one that cannot seek is copied to a temporary file first. Sound that starts
    later than a video's picture is given from its own start.

    What lasts longer than `max_duration_seconds` is refused: at once if the file says so, even if
    that is an estimate; otherwise when so much was read. Of a pipe no more is copied than such a
    sound could need.

    Raises:
        InputError: there is no such file, it cannot be read, it holds no such audio, or more than
            is allowed or than its bytes can hold.
        UsageError: `stream` is negative, `max_duration_seconds` is not above 0, or the file object
            gives text.
    """
    if stream < 0:
        raise UsageError(f"stream must be at least 0, not {stream}")
    check_most_seconds(max_duration_seconds)
    name = _name_of(source)
    try:
        opened, owned_file, n_bytes = _opened(source, name, max_duration_seconds)
    except (OSError, ValueError) as error:  # ValueError: closed, or a zero byte in the name
        raise InputError(f"cannot read {name}: {reason(error)}") from error
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    file = SourceFile(opened, path if path is not None and path.is_file() else None)
    try:
        decoder = _decoder_for(file, name, stream)
        try:
            limit = LengthLimit(decoder.info, n_bytes, max_duration_seconds)
        except InputError:
            decoder.close()
            raise
        return AudioReader(decoder, file, owned_file, limit)
    except BaseException:
        if owned_file is not None:
            owned_file.close()
        _refuse_fault(file, name)  # which is then the cause
        raise


def probe(source: str | os.PathLike[str] | ReadableFile, *, stream: int = 0) -> AudioInfo:
    """Return what a sound file says about itself; arguments and errors as of `open_audio`."""
    with open_audio(source, stream=stream) as reader:
        return reader.info


def read_audio(
    source: str | os.PathLike[str] | ReadableFile,
    *,
    sample_rate_hz: int | None = None,
    channels: int | None = None,
    stream: int = 0,
    max_duration_seconds: float | None = None,
) -> Audio:
    """Read a whole sound file, resampled to `sample_rate_hz` and brought to `channels` if given.

    `channels=1` is the mean of all channels, `channels=2` of mono sound has it twice.

    Raises:
        InputError: as `open_audio` and `AudioReader.blocks`; or the file's channels cannot become
            `channels`.
        UsageError: `sample_rate_hz`, `channels`, `stream` or `max_duration_seconds` is out of
            range.
    """
    with open_audio(source, stream=stream, max_duration_seconds=max_duration_seconds) as reader:
        info = reader.info
        n_channels = info.n_channels if channels is None else channels
        _check_channels(info, n_channels)
        rate_hz = info.sample_rate_hz if sample_rate_hz is None else sample_rate_hz
        resampler = StreamResampler(n_channels, info.sample_rate_hz, rate_hz)
        blocks = [resampler.push(_with_channels(block, n_channels)) for block in reader.blocks()]
        blocks.append(resampler.flush())
    return Audio(np.concatenate(blocks, axis=1), rate_hz)


def _name_of(source: str | os.PathLike[str] | ReadableFile) -> str:
    if isinstance(source, str | os.PathLike):
        return shown(source)
    name = getattr(source, "name", None)
    return shown(name) if isinstance(name, str) and name else "<stream>"


def _opened(
    source: str | os.PathLike[str] | ReadableFile, name: str, most_seconds: float | None
) -> tuple[ReadableFile, BinaryIO | None, int]:
    """Return a seekable file that is not empty, again where we must close it, and its length."""
    if not isinstance(source, str | os.PathLike):
        file, owned_file = source, None
    elif Path(source).is_dir():
        raise InputError(f"{name} is a folder; give a sound file")
    else:
        file = owned_file = cast(BinaryIO, Path(source).open("rb"))  # noqa: SIM115 - outlives us
    try:
        if not isinstance(file.read(0), bytes):
            raise UsageError(f"{name} gives text; open it in binary mode, or give its .buffer")
        if not file.seekable():
            file, pipe = cast(BinaryIO, tempfile.TemporaryFile()), file  # noqa: SIM115 - outlives us
            with owned_file or contextlib.nullcontext():
                owned_file = file
                copy_pipe(pipe, file, name, most_seconds=most_seconds)
        n_bytes = file.seek(0, os.SEEK_END)
        if n_bytes == 0:
            raise InputError(f"{name} is empty (0 bytes); get it anew")
    except BaseException:
        if owned_file is not None:
            owned_file.close()
        raise
    return file, owned_file, n_bytes


def _decoder_for(file: SourceFile, name: str, stream: int) -> SndfileDecoder | FfmpegDecoder:
    try:
        return SndfileDecoder(file, name, stream)
    except NotDecodableError:
        pass
    try:
        return FfmpegDecoder(file, name, stream)
    except NotDecodableError as error:
        raise InputError(
            f"{name} is no audio, or cut off or damaged ({error}); give a file that plays, "
            "or convert it to WAV"
        ) from error


def _refuse_fault(file: SourceFile, name: str) -> None:
    if file.fault is not None:
        raise InputError(f"cannot read {name}: {reason(file.fault)}") from file.fault


def _refuse_not_finite(
    block: Float32[np.ndarray, "channels samples"], n_before: int, info: AudioInfo
) -> None:
    finite = np.isfinite(block).all(axis=0)
    if not finite.all():
        index = n_before + int(np.argmin(finite))
        n_bad = int(np.count_nonzero(~finite))
        raise InputError(
            f"{info.path} has NaN or infinite samples, the first at sample {index} "
            f"({index / info.sample_rate_hz:.2f} s), {n_bad} in this block of {block.shape[1]}; "
            "repair or export it anew"
        )


def _check_channels(info: AudioInfo, n_channels: int) -> None:
    if n_channels < 1:
        raise UsageError(f"channels must be at least 1, not {n_channels}")
    if n_channels not in (1, info.n_channels) and (n_channels, info.n_channels) != (2, 1):
        allowed = "1 or 2" if info.n_channels == 1 else f"1 or {info.n_channels}"
        raise InputError(
            f"{info.path} has {_count(info.n_channels, 'channel')}; channels may be {allowed} for "
            f"it, not {n_channels}"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _with_channels(
    block: Float32[np.ndarray, "_ samples"], n_channels: int
) -> Float32[np.ndarray, "channels samples"]:
    if block.shape[0] == n_channels:
        return block
    if n_channels == 1:
        return np.asarray(block.mean(axis=0, keepdims=True, dtype=np.float32))
    return np.repeat(block, n_channels, axis=0)
