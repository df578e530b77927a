"""Ogg Opus through FFmpeg, with the length and the start of the sound in its pages.

Opus works at 48 kHz and knows four lower rates; a sound of any other is resampled to 48 kHz. Its
encoder starts some milliseconds early; the header says so, and every reader leaves them out.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from stemlight.audio.ffmpeg_encoder import LAYOUTS, PacketEncoder, configure
from stemlight.audio.files import FaultKeeper, WritableFile
from stemlight.audio.formats import OPUS_RATES_HZ
from stemlight.audio.ogg import set_serial_number
from stemlight.audio.resampling import StreamResampler
from stemlight.shapes import Float32

__all__ = ["OpusEncoder"]

_FULL_RATE_HZ = 48000
_KBPS_OF_A_CHANNEL = 96
_LAYOUTS = LAYOUTS | {4: "quad", 8: "7.1"}


class OpusEncoder:
    """Writes blocks into a seekable binary file; how they were divided changes no byte.

    Raises:
        OSError: what the file's own methods raised, here and in all methods.
    """

    def __init__(
        self,
        file: WritableFile,
        *,
        sample_rate_hz: int,
        n_channels: int,
        bit_rate_kbps: int | None,
    ) -> None:
        import av  # here, to keep `import stemlight` cheap

        self._file = FaultKeeper(file)
        self._failure = av.error.FFmpegError
        rate_hz = sample_rate_hz if sample_rate_hz in OPUS_RATES_HZ else _FULL_RATE_HZ
        self._resampler = StreamResampler(n_channels, sample_rate_hz, rate_hz)
        # The flag keeps the muxer from drawing a number by chance and from naming its version.
        options = {"fflags": "+bitexact"}
        self._container: Any = av.open(self._file, "w", format="opus", options=options)
        stream: Any = self._container.add_stream("libopus", rate=rate_hz)
        kbps = bit_rate_kbps or _KBPS_OF_A_CHANNEL * n_channels
        configure(stream.codec_context, rate_hz, _LAYOUTS[n_channels], "flt", kbps)
        stream.codec_context.open()
        self._stream = stream
        self._packets = PacketEncoder(stream.codec_context)

    def write(self, block: Float32[np.ndarray, "channels samples"]) -> None:
        """Append samples."""
        self._write_resampled(self._resampler.push(block))

    def finish(self) -> None:
        """Write what the encoder still holds."""
        self._write_resampled(self._resampler.flush())
        try:
            for packet in self._packets.flush():
                self._mux(packet)
            self._container.close()
        except self._failure as error:
            self._fail(error)
        self._file.raise_fault()
        set_serial_number(self._file.file)

    def abandon(self) -> None:
        """Free FFmpeg's part, which writes once more when it is closed."""
        self._file.closed_to_writing = True
        with contextlib.suppress(self._failure, OSError):
            self._container.close()

    def _write_resampled(self, block: Float32[np.ndarray, "channels samples"]) -> None:
        try:
            for packet in self._packets.push(block):
                self._mux(packet)
        except self._failure as error:
            self._fail(error)
        self._file.raise_fault()

    def _mux(self, packet: Any) -> None:
        packet.stream = self._stream
        self._container.mux(packet)

    def _fail(self, error: Exception) -> None:
        self._file.raise_fault()
        raise OSError(f"FFmpeg failed ({error})") from error
