"""Writes sound files that are either complete under their name or not there at all."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np

from stemlight.audio.files import FullWrites, WritableFile
from stemlight.audio.formats import (
    check_bit_depth,
    check_bit_rate,
    check_format,
    check_layout,
)
from stemlight.audio.mp4_encoder import Mp4Encoder
from stemlight.audio.opus_encoder import OpusEncoder
from stemlight.audio.pcm import n_outside_full_scale
from stemlight.audio.pending import PendingFile
from stemlight.audio.sndfile_encoder import SndfileEncoder
from stemlight.audio.tag_writing import write_tags_into
from stemlight.audio.tags import Tags
from stemlight.audio.wav import WavEncoder
from stemlight.errors import OutputError, UsageError
from stemlight.shapes import Float32

__all__ = ["AudioWriter", "check_finite"]

_SLICE_SAMPLES = 65536  # a longer block goes in slices, whose copies alone cost memory


class AudioWriter:
    """Writes blocks into a file that gets its name when the `with` block ends well.

    Until then the samples are in a hidden file beside it, `.<name>.<random>.part`, which an
    exception removes: nothing is ever half written. `bit_depth` is "24" for wav and flac; m4a is
    AAC unless a bit depth makes it lossless (ALAC). 16 and 24 bits round to the nearest; what they
    cannot hold saturates and is counted in `n_clipped`. `bit_rate_kbps` is that of all channels;
    without it mp3 has the highest there is and, of two channels, ogg about 240, opus 192 and m4a
    256. Opus makes 48 kHz of what it cannot keep (`OPUS_RATES_HZ`): `output_samples` many, without
    lag.

    The same samples and tags give the same bytes, however they were divided into blocks; a WAV
    that outgrows 4 GiB becomes RF64.

    Raises:
        UsageError: format, bit depth, bit rate, sample rate and channels do not fit together.
    """

    # Eight keywords, each one property of the file; a settings object would only rename them.
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sample_rate_hz: int,
        n_channels: int,
        format: str | None = None,
        bit_depth: str | None = None,
        bit_rate_kbps: int | None = None,
        tags: Tags | None = None,
        overwrite: bool = True,
    ) -> None:
        self._format = check_format(format, Path(path))
        self._bit_depth = check_bit_depth(bit_depth, self._format)
        is_lossless = self._bit_depth is not None
        check_layout(
            self._format,
            sample_rate_hz=sample_rate_hz,
            n_channels=n_channels,
            is_lossless=is_lossless,
        )
        if is_lossless and bit_rate_kbps is not None:
            raise UsageError(f"lossless {self._format} has no bit rate to choose; leave it out")
        check_bit_rate(
            bit_rate_kbps, self._format, sample_rate_hz=sample_rate_hz, n_channels=n_channels
        )
        self._sample_rate_hz = sample_rate_hz
        self._n_channels = n_channels
        self._bit_rate_kbps = bit_rate_kbps
        self._tags = tags
        self._n_samples = 0
        self._n_clipped = 0
        self._notes: tuple[str, ...] = ()
        self._pending = PendingFile(path, overwrite=overwrite)
        self._file: FullWrites | None = None
        self._encoder: _Encoder | None = None

    @property
    def n_samples(self) -> int:
        """Samples of each channel written so far."""
        return self._n_samples

    @property
    def n_clipped(self) -> int:
        """Samples outside [-1, 1) that saturated; 0 for float and lossy sound, which hold them."""
        return self._n_clipped

    @property
    def bit_depth(self) -> str | None:
        """What a sample becomes, "16", "24" or "float"; None in a lossy format."""
        return self._bit_depth

    @property
    def notes(self) -> tuple[str, ...]:
        """Which tags could not be written, each in one line; known after the `with` block."""
        return self._notes

    def __enter__(self) -> AudioWriter:
        """Open the hidden file.

        Raises:
            OutputError: the file exists and must not be overwritten, or cannot be made.
        """
        try:
            self._file = self._pending.open()
            self._encoder = self._open_encoder(self._file)
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            self._discard()
            raise self._pending.error(error) from error
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, block: Float32[np.ndarray, "channels samples"]) -> None:
        """Append samples.

        Raises:
            OutputError: the file cannot be written on, or a sample is NaN or infinite.
            UsageError: the block has another number of channels, or the writer is not entered.
        """
        name = self._pending.name
        if self._encoder is None:
            raise UsageError(f"the writer of {name} is not open; use `with AudioWriter(...)`")
        if block.ndim != 2 or block.shape[0] != self._n_channels:
            raise UsageError(
                f"the block has the shape {block.shape} but {name} was opened for "
                f"{self._n_channels} channels: (channels, samples)"
            )
        for first in range(0, block.shape[1], _SLICE_SAMPLES):
            piece = block[:, first : first + _SLICE_SAMPLES]
            check_finite(piece, name, self._n_samples, self._sample_rate_hz)
            try:
                self._encoder.write(piece)
            except OSError as error:
                raise self._pending.error(error) from error
            self._n_samples += piece.shape[1]
            if self._bit_depth in ("16", "24"):
                self._n_clipped += n_outside_full_scale(piece)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._discard()
            return
        assert self._encoder is not None
        assert self._file is not None
        try:
            if self._n_samples == 0:  # FLAC and MP3 would have no bytes either
                raise OutputError(f"cannot write {self._pending.name}: no samples were given")
            self._encoder.finish()
            self._encoder = None
            if self._tags:
                self._notes = write_tags_into(self._file, self._tags, self._pending.name)
            self._pending.place()
        except OSError as failure:
            self._discard()
            raise self._pending.error(failure) from failure
        except BaseException:  # an interrupt, too, must leave nothing behind
            self._discard()
            raise

    def _open_encoder(self, file: WritableFile) -> _Encoder:
        layout = {"sample_rate_hz": self._sample_rate_hz, "n_channels": self._n_channels}
        if self._format == "wav":
            assert self._bit_depth is not None
            return WavEncoder(file, **layout, bit_depth=self._bit_depth)
        if self._format == "opus":
            return OpusEncoder(file, **layout, bit_rate_kbps=self._bit_rate_kbps)
        if self._format == "m4a":
            return Mp4Encoder(
                file, **layout, bit_depth=self._bit_depth, bit_rate_kbps=self._bit_rate_kbps
            )
        return SndfileEncoder(
            file,
            **layout,
            format=self._format,
            bit_depth=self._bit_depth,
            bit_rate_kbps=self._bit_rate_kbps,
        )

    def _discard(self) -> None:
        if self._encoder is not None:
            self._encoder.abandon()
            self._encoder = None
        self._pending.discard()


class _Encoder(Protocol):
    def write(self, block: Float32[np.ndarray, "channels samples"]) -> None: ...
    def finish(self) -> None: ...
    def abandon(self) -> None: ...


def check_finite(
    piece: Float32[np.ndarray, "channels samples"], name: str, n_before: int, sample_rate_hz: int
) -> None:
    """Refuse samples that are no numbers.

    Raises:
        OutputError: with the place of the first one.
    """
    finite = np.isfinite(piece).all(axis=0)
    if not finite.all():
        index = n_before + int(np.argmin(finite))
        raise OutputError(
            f"cannot write {name}: sample {index} ({index / sample_rate_hz:.2f} s) "
            "is NaN or infinite"
        )
