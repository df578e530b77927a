"""Sounds and sound files whose content is known."""

from __future__ import annotations

import io
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile

from stemlight.audio import AudioReader

TYPES_ARE_CHECKED = any("jaxtyping-packages" in argument for argument in sys.argv)
"""Then a wrong type is refused before our own message for it can be."""


LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def noise(n_channels: int, n_samples: int, seed: int = 0) -> np.ndarray:
    """Noise without the high frequencies that lossy codecs drop, within full scale."""
    white = np.random.default_rng(seed).standard_normal((n_channels, n_samples + 31))
    window = np.hanning(34)[1:-1]
    smooth = [np.convolve(channel, window / window.sum(), mode="valid") for channel in white]
    return np.clip(np.array(smooth), -0.99, 0.99).astype(np.float32)


def lag_samples(sound: np.ndarray, source: np.ndarray) -> int:
    """By how many samples the first channel of `sound` comes later than that of `source`."""
    n = 2 * max(sound.shape[1], source.shape[1])
    spectrum = np.fft.rfft(sound[0], n) * np.conj(np.fft.rfft(source[0], n))
    lag = int(np.argmax(np.fft.irfft(spectrum, n)))
    return lag if lag < n // 2 else lag - n


def signal_to_error_db(sound: np.ndarray, source: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(source**2) / np.sum((sound - source) ** 2)))


def wav_bytes(samples: np.ndarray, sample_rate_hz: int = 8000, subtype: str = "FLOAT") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples.T, sample_rate_hz, format="WAV", subtype=subtype)
    return file.getvalue()


def encode(
    path: Path,
    *sounds: np.ndarray,
    codec: str = "aac",
    sample_rate_hz: int = 44100,
    container_options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    with_video: bool = False,
) -> Path:
    """Encode each sound as one audio stream of the file, with FFmpeg."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        streams = []
        for sound in sounds:
            layout = LAYOUTS[sound.shape[0]]
            stream = container.add_stream(codec, rate=sample_rate_hz, layout=layout)
            stream.bit_rate = 96000 * sound.shape[0]
            stream.options = codec_options or {}
            streams.append(stream)
        if with_video:
            _add_video(container)
        for stream, sound in zip(streams, sounds, strict=True):
            layout = LAYOUTS[sound.shape[0]]
            # Some encoders (WMA) want frames of their own size only.
            resampler = av.AudioResampler(
                format=stream.codec_context.format, layout=layout, rate=sample_rate_hz
            )
            for first in range(0, sound.shape[1], 2048):
                piece = np.ascontiguousarray(sound[:, first : first + 2048])
                frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout=layout)
                frame.sample_rate = sample_rate_hz
                frame.pts, frame.time_base = first, Fraction(1, sample_rate_hz)
                for converted in resampler.resample(frame):
                    for packet in stream.encode(converted):
                        container.mux(packet)
            for packet in stream.encode(None):
                container.mux(packet)
    return path


def repackage(source: Path, path: Path) -> Path:
    """Put the encoded sound of a file into another container, as it is."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(old.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return path


def encode_silent_film(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        _add_video(container)
    return path


def _add_video(container) -> None:
    stream = container.add_stream("mpeg4", rate=10)
    stream.width = stream.height = 32
    stream.pix_fmt = "yuv420p"
    black = np.zeros((32, 32, 3), np.uint8)
    for _ in range(3):
        for packet in stream.encode(av.VideoFrame.from_ndarray(black, format="rgb24")):
            container.mux(packet)
    for packet in stream.encode(None):
        container.mux(packet)


def read_in_blocks(reader: AudioReader, block_samples: int) -> np.ndarray:
    with reader:
        return np.concatenate(list(reader.blocks(block_samples)), axis=1)


class Pipe(io.RawIOBase):
    """A binary stream that cannot seek, like standard input behind `|`."""

    def __init__(self, content: bytes) -> None:
        self._content = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._content.readinto(buffer)
