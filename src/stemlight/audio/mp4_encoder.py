"""M4A: AAC, or lossless ALAC, through FFmpeg's encoders in an MP4 of ours."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from stemlight.audio.ffmpeg_encoder import LAYOUTS, PacketEncoder, open_codec
from stemlight.audio.files import WritableFile
from stemlight.audio.mp4_boxes import box, full_box
from stemlight.audio.mp4_muxer import Mp4Muxer, Mp4Track
from stemlight.shapes import Float32

__all__ = ["Mp4Encoder", "TrackEncoder"]

_KBPS_OF_A_CHANNEL = 128
_MOST_KBPS_PER_KHZ = 6  # 6144 bits for 1024 samples of a channel
_SAMPLE_FORMATS = {None: "fltp", "16": "s16p", "24": "s32p"}


class TrackEncoder:
    """Encodes blocks into one stream of a muxer, which is made after it from its `track`.

    With a bit depth it is lossless, without one AAC.
    """

    def __init__(
        self,
        *,
        sample_rate_hz: int,
        n_channels: int,
        bit_depth: str | None,
        bit_rate_kbps: int | None,
        is_enabled: bool = True,
    ) -> None:
        import av  # here, to keep `import stemlight` cheap

        self._failure = av.error.FFmpegError
        codec, kbps = "alac", None
        if bit_depth is None:
            most_kbps = _MOST_KBPS_PER_KHZ * sample_rate_hz * n_channels // 1000
            codec = "aac"
            kbps = bit_rate_kbps or min(_KBPS_OF_A_CHANNEL * n_channels, most_kbps)
        context: Any = open_codec(
            codec,
            sample_rate_hz=sample_rate_hz,
            layout=LAYOUTS[n_channels],
            sample_format=_SAMPLE_FORMATS[bit_depth],
            bit_rate_kbps=kbps,
        )
        self._packets = PacketEncoder(context)
        self._n_samples = 0
        self.track = Mp4Track(
            codec=codec,
            extradata=bytes(context.extradata),
            sample_rate_hz=sample_rate_hz,
            n_channels=n_channels,
            frame_samples=context.frame_size,
            n_bits=int(bit_depth or 16),
            bit_rate_kbps=kbps or 0,
            is_enabled=is_enabled,
        )

    def write(self, muxer: Mp4Muxer, block: Float32[np.ndarray, "channels samples"]) -> None:
        """Append samples.

        Raises:
            OSError: the file cannot be written on.
        """
        self._n_samples += block.shape[1]
        try:
            for packet in self._packets.push(block):
                self._mux(muxer, packet)
        except self._failure as error:
            raise OSError(f"FFmpeg failed ({error})") from error

    def finish(self, muxer: Mp4Muxer) -> None:
        """Write what the encoder still holds.

        Raises:
            OSError: the file cannot be written on.
        """
        if self.track.codec == "alac" and self._n_samples == 1:
            # FFmpeg takes frames of one sample for something else; a second one is not played.
            self.write(muxer, np.zeros((self.track.n_channels, 1), np.float32))
            self.track.n_padding = 1
        try:
            for packet in self._packets.flush():
                self._mux(muxer, packet)
        except self._failure as error:
            raise OSError(f"FFmpeg failed ({error})") from error

    def _mux(self, muxer: Mp4Muxer, packet: Any) -> None:
        if not self.track.sizes:
            self.track.n_priming = -packet.pts
        muxer.write(self.track, bytes(packet), packet.duration)


class Mp4Encoder:
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
        bit_depth: str | None,
        bit_rate_kbps: int | None,
    ) -> None:
        self._encoder = TrackEncoder(
            sample_rate_hz=sample_rate_hz,
            n_channels=n_channels,
            bit_depth=bit_depth,
            bit_rate_kbps=bit_rate_kbps,
        )
        self._muxer = Mp4Muxer(file, [self._encoder.track])

    def write(self, block: Float32[np.ndarray, "channels samples"]) -> None:
        """Append samples."""
        self._encoder.write(self._muxer, block)

    def finish(self) -> None:
        """Write what the encoder still holds, and the tables."""
        self._encoder.finish(self._muxer)
        track = self._encoder.track
        self._muxer.finish(_gap_note(track) if track.codec == "aac" else b"")

    def abandon(self) -> None:
        """Leave the file as it is."""


def _gap_note(track: Mp4Track) -> bytes:
    """Return Apple's note about priming and padding, which its programs trust more than tables."""
    n_all = len(track.sizes) * track.frame_samples
    n_after = n_all - track.n_decoded
    numbers = f" 00000000 {track.n_priming:08X} {n_after:08X} {track.n_samples:016X}"
    text = (numbers + " 00000000" * 8).encode()
    note = box(
        b"----",
        full_box(b"mean", b"com.apple.iTunes"),
        full_box(b"name", b"iTunSMPB"),
        box(b"data", struct.pack(">II", 1, 0), text),
    )
    handler = full_box(b"hdlr", struct.pack(">I4s4s8x", 0, b"mdir", b"appl"), b"\0")
    return full_box(b"meta", handler, box(b"ilst", note))
