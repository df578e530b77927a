"""Writes sound files that are either complete under their name or not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, cast

import numpy as np

from stemlight.audio.files import FullWrites, WritableFile
from stemlight.audio.pcm import n_outside_full_scale
from stemlight.audio.sndfile_encoder import SndfileEncoder
from stemlight.audio.wav import WavEncoder
from stemlight.audio.wording import reason, shown
from stemlight.errors import OutputError, UsageError, did_you_mean
from stemlight.shapes import Float32

__all__ = ["BIT_DEPTHS", "FORMATS", "AudioWriter"]

FORMATS = ("wav", "flac", "mp3", "ogg")
"""Formats that `AudioWriter` knows, by name and by suffix."""

BIT_DEPTHS = ("16", "24", "float")
"""What a sample becomes in a lossless file; flac has no float, mp3 and ogg have no choice."""

_BIT_DEPTHS_OF = {"wav": BIT_DEPTHS, "flac": ("16", "24"), "mp3": (), "ogg": ()}
_MOST_CHANNELS_OF = {"wav": 1024, "flac": 8, "mp3": 2, "ogg": 255}
_MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_MOST_RATE_HZ_OF = {"wav": 2**31 - 1, "flac": 655350, "mp3": 48000, "ogg": 200000}

_SLICE_SAMPLES = 65536  # a longer block goes in slices, whose copies alone cost memory

_ADVICE = {
    errno.ENOSPC: "free some space or choose another folder",
    errno.EDQUOT: "free some space or choose another folder",
    errno.EFBIG: "the file system or a limit allows no larger file; choose another folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that you may write to",
    errno.ENOENT: "make the folder first",
    errno.ENOTDIR: "choose another folder",
    errno.ENAMETOOLONG: "choose a shorter name",
}


class AudioWriter:
    """Writes blocks into a file that gets its name when the `with` block ends well.

    Until then the samples are in a hidden file beside it, `.<name>.<random>.part`, which an
    exception removes: nothing is ever half written. `bit_depth` is "24" where there is a choice.
    16 and 24 bits round to the nearest; what they cannot hold saturates and is counted in
    `n_clipped`. The same samples give the same bytes, however they were divided into blocks; a WAV
    that outgrows 4 GiB becomes RF64.

    Raises:
        UsageError: format, bit depth, sample rate and number of channels do not fit together.
    """

    # Six keywords, each one property of the file; a settings object would only rename them.
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sample_rate_hz: int,
        n_channels: int,
        format: str | None = None,
        bit_depth: str | None = None,
        overwrite: bool = True,
    ) -> None:
        self._path = Path(path)
        self._name = shown(path)
        self._format = _checked_format(format, self._path)
        self._bit_depth = _checked_bit_depth(bit_depth, self._format)
        _check_layout(self._format, sample_rate_hz=sample_rate_hz, n_channels=n_channels)
        self._sample_rate_hz = sample_rate_hz
        self._n_channels = n_channels
        self._overwrite = overwrite
        self._n_samples = 0
        self._n_clipped = 0
        self._target: Path | None = None
        self._part: Path | None = None
        self._file: BinaryIO | None = None
        self._encoder: WavEncoder | SndfileEncoder | None = None

    @property
    def n_samples(self) -> int:
        """Samples of each channel written so far."""
        return self._n_samples

    @property
    def n_clipped(self) -> int:
        """Samples outside [-1, 1) that saturated; 0 for float, mp3 and ogg, which hold them."""
        return self._n_clipped

    def __enter__(self) -> AudioWriter:
        """Open the hidden file.

        Raises:
            OutputError: the file exists and must not be overwritten, or cannot be made.
        """
        try:
            # A link keeps pointing to its file, and a change of the current folder changes nothing.
            self._target = Path(os.path.realpath(self._path))
            self._check_target(self._target)
            self._part = _part_beside(self._target)
            # Without a buffer of Python's own an error is reported by the write that caused it.
            self._file = cast(BinaryIO, self._part.open("x+b", buffering=0))
            self._encoder = self._open_encoder(FullWrites(self._file))
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            self._discard()
            raise self._output_error(error) from error
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
        if self._encoder is None:
            raise UsageError(f"the writer of {self._name} is not open; use `with AudioWriter(...)`")
        if block.ndim != 2 or block.shape[0] != self._n_channels:
            raise UsageError(
                f"the block has the shape {block.shape} but {self._name} was opened for "
                f"{self._n_channels} channels: (channels, samples)"
            )
        for first in range(0, block.shape[1], _SLICE_SAMPLES):
            piece = block[:, first : first + _SLICE_SAMPLES]
            self._check_finite(piece)
            try:
                self._encoder.write(piece)
            except OSError as error:
                raise self._output_error(error) from error
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
        assert self._part is not None
        assert self._target is not None
        try:
            if self._n_samples == 0:  # FLAC and MP3 would have no bytes either
                raise OutputError(f"cannot write {self._name}: no samples were given")
            self._encoder.finish()
            self._encoder = None
            self._file.close()
            self._check_target(self._target)  # again: it may have come into being meanwhile
            self._part.replace(self._target)
        except OSError as failure:
            self._discard()
            raise self._output_error(failure) from failure
        except BaseException:  # an interrupt, too, must leave nothing behind
            self._discard()
            raise

    def _open_encoder(self, file: WritableFile) -> WavEncoder | SndfileEncoder:
        if self._format == "wav":
            assert self._bit_depth is not None
            return WavEncoder(
                file,
                sample_rate_hz=self._sample_rate_hz,
                n_channels=self._n_channels,
                bit_depth=self._bit_depth,
            )
        return SndfileEncoder(
            file,
            sample_rate_hz=self._sample_rate_hz,
            n_channels=self._n_channels,
            format=self._format,
            bit_depth=self._bit_depth,
        )

    def _check_target(self, target: Path) -> None:
        try:
            mode = target.stat().st_mode  # fails for names that are too long, before the work
        except FileNotFoundError:
            return
        # Renaming would put a plain file in the place of a device such as /dev/null.
        if not stat.S_ISREG(mode):
            raise OutputError(f"cannot write {self._name}: it exists and is no file; rename it")
        if not self._overwrite:
            raise OutputError(f"{self._name} exists already; allow to overwrite it, or rename it")

    def _check_finite(self, piece: Float32[np.ndarray, "channels samples"]) -> None:
        finite = np.isfinite(piece).all(axis=0)
        if not finite.all():
            index = self._n_samples + int(np.argmin(finite))
            raise OutputError(
                f"cannot write {self._name}: sample {index} ({index / self._sample_rate_hz:.2f} s) "
                "is NaN or infinite"
            )

    def _discard(self) -> None:
        """Remove the hidden file; failing at it must not hide the error that led here."""
        if self._encoder is not None:
            self._encoder.abandon()
            self._encoder = None
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
        with contextlib.suppress(OSError):
            if self._part is not None:
                self._part.unlink()

    def _output_error(self, error: OSError | ValueError) -> OutputError:
        advice = _ADVICE.get(getattr(error, "errno", None) or 0, "")
        return OutputError(
            f"cannot write {self._name}: {reason(error)}{'; ' if advice else ''}{advice}"
        )


def _part_beside(target: Path) -> Path:
    """Return a hidden name in the folder of `target` that is free and not too long itself."""
    name = target.name[:48]  # at most 192 of the 255 bytes that file systems allow
    return target.with_name(f".{name}.{secrets.token_hex(4)}.part")


def _checked_format(format: str | None, path: Path) -> str:
    if format is None:
        format = path.suffix.lower().removeprefix(".")
        if format not in FORMATS:
            ending = f"{path.suffix!r}" if path.suffix else "no suffix"
            raise UsageError(
                f"{shown(path)} has {ending}, but stemlight writes {', '.join(FORMATS)}"
                f"{did_you_mean(format, FORMATS)}"
            )
    elif format not in FORMATS:
        raise UsageError(
            f"format must be one of {', '.join(FORMATS)}, not {format!r}"
            f"{did_you_mean(format, FORMATS)}"
        )
    return format


def _checked_bit_depth(bit_depth: str | None, format: str) -> str | None:
    allowed = _BIT_DEPTHS_OF[format]
    if bit_depth is None:
        return "24" if allowed else None
    if bit_depth not in BIT_DEPTHS:
        raise UsageError(f"bit depth must be one of {', '.join(BIT_DEPTHS)}, not {bit_depth!r}")
    if not allowed:
        raise UsageError(f"{format} has no bit depth, but {bit_depth!r} was asked; leave it out")
    if bit_depth not in allowed:
        raise UsageError(f"{format} holds {' or '.join(allowed)} bits, not {bit_depth}; use wav")
    return bit_depth


def _check_layout(format: str, *, sample_rate_hz: int, n_channels: int) -> None:
    most_channels, most_rate_hz = _MOST_CHANNELS_OF[format], _MOST_RATE_HZ_OF[format]
    if not 1 <= n_channels <= most_channels:
        raise UsageError(f"{format} holds 1 to {most_channels} channels, not {n_channels}; use wav")
    if format == "mp3" and sample_rate_hz not in _MP3_RATES_HZ:
        rates = ", ".join(map(str, _MP3_RATES_HZ))
        raise UsageError(f"mp3 holds the sample rates {rates} Hz, not {sample_rate_hz}; use wav")
    if format == "flac" and sample_rate_hz > 65535 and sample_rate_hz % 10:
        raise UsageError(
            f"flac holds sample rates beyond 65535 Hz in steps of 10 Hz, not {sample_rate_hz}; "
            "use wav"
        )
    if not 1 <= sample_rate_hz <= most_rate_hz:
        raise UsageError(
            f"{format} holds sample rates of 1 to {most_rate_hz} Hz, not {sample_rate_hz}; use wav"
        )
