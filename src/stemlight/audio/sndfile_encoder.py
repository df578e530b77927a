"""FLAC, MP3 and Ogg Vorbis through libsndfile, with the errors that it keeps to itself."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from stemlight.audio.files import FaultKeeper, WritableFile
from stemlight.audio.ogg import set_serial_number, vorbis_places
from stemlight.audio.pcm import to_pcm
from stemlight.errors import UsageError
from stemlight.shapes import Float32

__all__ = ["SndfileEncoder"]

# Stems are added and processed further, so the lossy formats lean to quality: MP3 at the highest
# constant rate (320 kbit/s from 32 kHz on), Vorbis at about 240 kbit/s (quality 8 of 10).
_SETTINGS: dict[str, dict[str, Any]] = {
    "flac": {"format": "FLAC"},
    "mp3": {"format": "MP3", "bitrate_mode": "CONSTANT", "compression_level": 0.0},
    "ogg": {"format": "OGG", "subtype": "VORBIS", "compression_level": 0.2},
}


# libvorbis codes the same samples in other bits when they come in other portions, and keeps a
# portion on its stack, which overflowed with a million of frames.
_PORTION_SAMPLES = 16384


class SndfileEncoder:
    """Writes blocks into a seekable binary file; how they were divided changes no byte.

    Raises:
        OSError: what the file's own methods raised, here and in both methods.
        UsageError: libsndfile does not accept the sample rate or the number of channels.
    """

    def __init__(
        self,
        file: WritableFile,
        *,
        sample_rate_hz: int,
        n_channels: int,
        format: str,
        bit_depth: str | None,
        bit_rate_kbps: int | None = None,
    ) -> None:
        import soundfile  # here, to keep `import stemlight` cheap

        self._file = FaultKeeper(file)
        self._format = format
        self._bit_depth = bit_depth
        self._portion = np.empty((n_channels, _PORTION_SAMPLES), np.float32)
        self._n_waiting = 0
        # The inverse of a permutation: which of our channels comes first in the file, second ...
        self._order = np.argsort(vorbis_places(n_channels)) if format == "ogg" else None
        self._failures = (soundfile.SoundFileError, AssertionError)
        settings = dict(_SETTINGS[format])
        if bit_depth is not None:
            settings["subtype"] = f"PCM_{bit_depth}"
        if bit_rate_kbps is not None:
            settings["compression_level"] = _compression(
                format, bit_rate_kbps, sample_rate_hz=sample_rate_hz, n_channels=n_channels
            )
        try:
            self._sound = soundfile.SoundFile(
                self._file, "w", samplerate=sample_rate_hz, channels=n_channels, **settings
            )
        except soundfile.SoundFileError as error:
            self._file.raise_fault()
            raise UsageError(
                f"{format} does not hold {n_channels} channels at {sample_rate_hz} Hz; use wav"
            ) from error

    def write(self, block: Float32[np.ndarray, "channels samples"]) -> None:
        """Append samples; for FLAC they are rounded and saturate."""
        n_taken = 0
        while n_taken < block.shape[1]:
            n_piece = min(block.shape[1] - n_taken, _PORTION_SAMPLES - self._n_waiting)
            piece = block[:, n_taken : n_taken + n_piece]
            self._portion[:, self._n_waiting : self._n_waiting + n_piece] = piece
            self._n_waiting += n_piece
            n_taken += n_piece
            if self._n_waiting == _PORTION_SAMPLES:
                self._write_portion()

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._write_portion()
        try:
            self._sound.close()
        except self._failures as error:
            self._file.raise_fault()
            raise OSError(f"libsndfile failed ({error})") from error
        self._file.raise_fault()
        if self._format == "ogg":
            set_serial_number(self._file.file)

    def abandon(self) -> None:
        """Free libsndfile's part, which would otherwise write once more when it is collected."""
        self._file.closed_to_writing = True
        with contextlib.suppress(*self._failures):
            self._sound.close()

    def _write_portion(self) -> None:
        try:
            self._sound.write(self._frames(self._portion[:, : self._n_waiting]))
        except self._failures as error:
            self._file.raise_fault()
            raise OSError(f"libsndfile failed ({error})") from error
        self._file.raise_fault()
        self._n_waiting = 0

    def _frames(self, block: Float32[np.ndarray, "channels samples"]) -> np.ndarray:
        """Interleave; whole numbers are made here because libsndfile cuts off where we round."""
        if self._bit_depth == "16":
            return np.ascontiguousarray(to_pcm(block, 16).T, dtype=np.int16)
        if self._bit_depth == "24":
            return np.ascontiguousarray(to_pcm(block, 24).T) << 8  # the upper 24 of 32 bits
        return np.ascontiguousarray(block.T if self._order is None else block[self._order].T)


def _compression(format: str, kbps: int, *, sample_rate_hz: int, n_channels: int) -> float:
    """Return the number from 0 (best) to 1 that libsndfile turns into a bit rate or quality."""
    if format == "mp3":
        most, least = (320, 32) if sample_rate_hz >= 32000 else (160, 8)
        most = 64 if sample_rate_hz < 16000 else most
        return (most - kbps) / (most - least)
    # What libvorbis needs for two channels of music at the qualities 0 to 10.
    usual_kbps = [64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 500]
    return 1 - float(np.interp(2 * kbps / n_channels, usual_kbps, range(11))) / 10
