"""Makes packets of samples with FFmpeg's encoders, in frames whose size does not depend on blocks.

Encoders are told to be bit-exact, which keeps their version and the like out of the packets.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from stemlight.audio.pcm import to_pcm
from stemlight.shapes import Float32

__all__ = ["LAYOUTS", "PacketEncoder", "configure", "open_codec"]

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
"""FFmpeg's names for so many channels in the order of WAV."""


# Stems are added and processed further, so AAC is told to stay close to the samples: no noise of
# the decoder's own in the place of the sound's, no channel made of the other one, and of its
# searches the quick one. At 256 kbit/s its error lies 1 dB (a mixture) to 10 dB (noise) below that
# of the usual settings, with which equal channels came out different.
_OPTIONS = {"aac": {"aac_coder": "fast", "aac_pns": "0", "aac_is": "0"}}


def open_codec(
    name: str, *, sample_rate_hz: int, layout: str, sample_format: str, bit_rate_kbps: int | None
) -> Any:
    """Open an encoder whose headers lie beside the packets, as MP4 wants them."""
    import av  # here, to keep `import stemlight` cheap
    from av.codec.context import Flags

    context = av.CodecContext.create(name, "w")
    configure(context, sample_rate_hz, layout, sample_format, bit_rate_kbps)
    context.options = _OPTIONS.get(name, {})
    context.flags |= Flags.global_header | Flags.bitexact
    context.open()
    return context


def configure(
    context: Any,
    sample_rate_hz: int,
    layout: str,
    sample_format: str,
    bit_rate_kbps: int | None,
) -> None:
    """Set what an encoder must know before it is opened."""
    context.sample_rate = sample_rate_hz
    context.layout = layout
    context.format = sample_format
    context.time_base = Fraction(1, sample_rate_hz)
    if bit_rate_kbps is not None:
        context.bit_rate = 1000 * bit_rate_kbps


class PacketEncoder:
    """Cuts a signal into the frames of an opened encoder; the last one may be shorter."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._frame = np.empty((context.layout.nb_channels, context.frame_size), np.float32)
        self._n_waiting = 0
        self._n_sent = 0

    def push(self, block: Float32[np.ndarray, "channels samples"]) -> Iterator[Any]:
        """Take samples and yield the packets that are ready."""
        n_taken, n_frame = 0, self._frame.shape[1]
        while n_taken < block.shape[1]:
            n_piece = min(block.shape[1] - n_taken, n_frame - self._n_waiting)
            piece = block[:, n_taken : n_taken + n_piece]
            self._frame[:, self._n_waiting : self._n_waiting + n_piece] = piece
            self._n_waiting += n_piece
            n_taken += n_piece
            if self._n_waiting == n_frame:
                yield from self._send()

    def flush(self) -> Iterator[Any]:
        """End the signal and yield all packets that are left."""
        if self._n_waiting:
            yield from self._send()
        yield from self._context.encode(None)

    def _send(self) -> Iterator[Any]:
        import av

        context = self._context
        samples = _as_format(self._frame[:, : self._n_waiting], context.format.name)
        frame = av.AudioFrame.from_ndarray(
            samples, format=context.format.name, layout=context.layout.name
        )
        frame.sample_rate = context.sample_rate
        frame.time_base = Fraction(1, context.sample_rate)
        frame.pts = self._n_sent
        self._n_sent += self._n_waiting
        self._n_waiting = 0
        yield from context.encode(frame)


def _as_format(samples: Float32[np.ndarray, "channels samples"], name: str) -> np.ndarray:
    if name == "s16p":
        return np.ascontiguousarray(to_pcm(samples, 16), dtype=np.int16)
    if name == "s32p":
        return np.ascontiguousarray(to_pcm(samples, 24) << 8)  # the upper 24 of 32 bits
    if name == "flt":
        return np.ascontiguousarray(samples.T).reshape(1, -1)
    assert name == "fltp", name
    return np.ascontiguousarray(samples)
