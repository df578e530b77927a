"""How much sound a file may hold: what its bytes can, and what the caller allows.

A header may claim anything, so nothing is made of a claim before it is compared with the size of
the file. No encoder packs music as densely as silence, of which FLAC makes 340 samples of a byte,
Opus 480, WavPack 690; files that claim or give more were made to fill a disk.
"""

from __future__ import annotations

import math
from typing import BinaryIO

from stemlight.audio.decoding import AudioInfo
from stemlight.audio.files import ReadableFile
from stemlight.errors import InputError, UsageError

__all__ = ["LengthLimit", "check_most_seconds", "copy_pipe"]

_MOST_SAMPLES_PER_BYTE = 1000
_FREE_SAMPLES = 1 << 20  # short files are mostly header, and do no harm

# Of music; resampling what claims 1 Hz would make a song of every sample.
_LEAST_RATE_HZ, _MOST_RATE_HZ = 1000, 768_000
_MOST_CHANNELS = 256

_PIPE_BYTES_PER_SECOND = 16_000_000  # a film on a disc has 16, eight channels of float at 192 kHz 6
_FREE_PIPE_BYTES = 64_000_000  # pictures and tags
_PIECE_BYTES = 1 << 20


class LengthLimit:
    """Ends the reading of a file that holds more sound than it may.

    Raises:
        InputError: the file claims more, or a sample rate or number of channels that no music has.
    """

    def __init__(self, info: AudioInfo, n_file_bytes: int, most_seconds: float | None) -> None:
        self._info = info
        self._n_file_bytes = n_file_bytes
        self._most_seconds = most_seconds
        self._n_possible = _MOST_SAMPLES_PER_BYTE * n_file_bytes + _FREE_SAMPLES
        self._n_allowed = math.inf
        if most_seconds is not None:
            self._n_allowed = most_seconds * info.sample_rate_hz
        self._refuse_odd_layout()
        if info.n_samples is not None:
            self.refuse_beyond(info.n_samples)
        elif most_seconds is not None and (info.duration_seconds or 0) > most_seconds:
            raise self._too_long(f"{info.duration_seconds:.1f} s")

    def refuse_beyond(self, n_samples: int) -> None:
        """Refuse to go on if that is more than there may be.

        Raises:
            InputError: it is.
        """
        if n_samples > self._n_possible:
            raise InputError(
                f"{self._info.path} is damaged, or made to fill disks: it claims "
                f"{n_samples} samples or more, but {self._n_file_bytes} bytes hold at most "
                f"{self._n_possible}; get it anew"
            )
        if n_samples > self._n_allowed:
            is_told = self._info.n_samples is not None
            seconds = f"{n_samples / self._info.sample_rate_hz:.1f} s"
            raise self._too_long(seconds if is_told else f"{seconds} or more")

    def _refuse_odd_layout(self) -> None:
        info = self._info
        if not _LEAST_RATE_HZ <= info.sample_rate_hz <= _MOST_RATE_HZ:
            raise InputError(
                f"{info.path} has a sample rate of {info.sample_rate_hz} Hz, but it must lie in "
                f"{_LEAST_RATE_HZ}..{_MOST_RATE_HZ} Hz; convert it, or correct its header"
            )
        if not 1 <= info.n_channels <= _MOST_CHANNELS:
            raise InputError(
                f"{info.path} has {info.n_channels} channels, but they must lie in "
                f"1..{_MOST_CHANNELS}; take some of them out with another program"
            )

    def _too_long(self, seconds: str) -> InputError:
        return InputError(
            f"{self._info.path} lasts {seconds}, but at most {self._most_seconds:.1f} s are "
            "allowed; cut it, or allow more (max_duration_seconds, --max-duration)"
        )


def check_most_seconds(most_seconds: float | None) -> None:
    """Refuse a limit that is none.

    Raises:
        UsageError: it is not above 0.
    """
    if most_seconds is not None and not most_seconds > 0:
        raise UsageError(f"max_duration_seconds must be above 0, not {most_seconds}")


def copy_pipe(
    pipe: ReadableFile, file: BinaryIO, name: str, *, most_seconds: float | None = None
) -> None:
    """Copy what comes out of a pipe, as far as so many seconds of any music could reach.

    Raises:
        InputError: there comes more.
        OSError: what the files' own methods raised.
    """
    n_left = math.inf
    if most_seconds is not None:
        n_left = _FREE_PIPE_BYTES + most_seconds * _PIPE_BYTES_PER_SECOND
    n_copied = 0
    while piece := pipe.read(_PIECE_BYTES):
        n_copied += len(piece)
        if n_copied > n_left:
            raise InputError(
                f"{name} gives more than {n_left / 1e6:.0f} MB, which no music of the allowed "
                f"{most_seconds:.1f} s needs; cut it, or allow more (max_duration_seconds, "
                "--max-duration)"
            )
        file.write(piece)
