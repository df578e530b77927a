"""MP3, MP4, Matroska, WMA, videos and all that libsndfile does not read, through FFmpeg (PyAV).

FFmpeg takes away what encoders put before the first sample (MP3 with a LAME tag, Opus, AAC in MP4
with an edit list), so that decoded sound has no lag against its source. MP3 without such a tag, AAC
without a container (.aac), AC-3, and streams of broadcasting (.ts, .flv) say nothing about it and
start some hundred samples late, in every player: 1105 of LAME's, 1024 or more of AAC. Stems are
in time with what the players play.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from stemlight.audio.decoding import AudioInfo, NotDecodableError, damaged, wrong_stream
from stemlight.audio.files import SourceFile
from stemlight.audio.mp4_length import mp4_duration
from stemlight.errors import InputError
from stemlight.shapes import Float32

__all__ = ["FfmpegDecoder"]

# Play lists and the like name further files; without this one could make a server read any of its
# own files, or of its network.
_NO_OTHER_FILES = {"protocol_whitelist": "none"}

# Edit lists of AAC are mostly in milliseconds, and FFmpeg drops a last frame that begins within
# such a rounding of the end. In its simpler way it skips the beginning only.
_EDITS_OF_BEGINNING = {"advanced_editlist": "0"}

_MOST_BAD_PACKETS_AT_END = 3  # an incomplete last frame, a tag that looks like one
# PyAV looks for the end of the list of planes beyond it, and crashes, if a frame has 8 or more.
_UNSAFE_PLANES = 8
# Formats that PyAV makes no arrays of, and what to turn them into. WAV may have 64 bits.
_UNKNOWN_TO_NUMPY = {"s64": "dbl", "s64p": "dbl"}

_SHORT_MP3_BYTES = 20_000
_TOLERATED_SHORTFALL_SECONDS = 0.25  # lengths in MP4 are rounded, and may include what is skipped
_SHORT_NAMES = {"mov,mp4,m4a,3gp,3g2,mj2": "mp4", "matroska,webm": "matroska", "asf": "wma"}


class FfmpegDecoder:
    """Decodes one audio stream of a seekable file.

    Raises:
        NotDecodableError: FFmpeg does not know the content.
        InputError: there is no such audio stream, or nothing in it can be decoded.
    """

    def __init__(self, file: SourceFile, name: str, stream: int) -> None:
        import av  # here, to keep `import stemlight` cheap

        self._name = name
        self._failure = av.error.FFmpegError
        self._interleaver: Any = None
        self._exact_seconds = mp4_duration(file, stream)
        # Some hundred samples of MP3 look like a raw film, or like nothing, to FFmpeg.
        format = "mp3" if _is_short_mp3(file) else None
        edits = {} if self._exact_seconds is None else _EDITS_OF_BEGINNING
        self._container: Any = self._opened(file, format, edits)
        try:
            self._stream = self._chosen(stream)
            if edits and self._stream.codec_context.name != "aac":
                self.close()
                self._container = self._opened(file, format, {})
                self._stream = self._chosen(stream)
            self._frames = self._decoded_frames()
            # What a header says may be wrong (AAC with band replication doubles its rate), so the
            # first frame decides.
            self._first_frame: Any = next(self._frames, None)
            if self._first_frame is None:
                raise InputError(f"{name} holds no samples")
            self.info = self._read_info()
        except BaseException:
            self.close()
            raise

    def blocks(self, block_samples: int) -> Iterator[Float32[np.ndarray, "channels samples"]]:
        """Yield all samples in blocks of equal length, the last one perhaps shorter."""
        waiting: list[Float32[np.ndarray, "channels samples"]] = []
        n_waiting = 0
        for piece in self._without_padding(self._pieces()):
            waiting.append(piece)
            n_waiting += piece.shape[1]
            if n_waiting >= block_samples:
                joined = np.concatenate(waiting, axis=1)
                n_whole = n_waiting - n_waiting % block_samples
                for first in range(0, n_whole, block_samples):
                    yield np.ascontiguousarray(joined[:, first : first + block_samples])
                waiting, n_waiting = [joined[:, n_whole:]], n_waiting - n_whole
        if n_waiting:
            yield np.concatenate(waiting, axis=1)

    def close(self) -> None:
        """Free FFmpeg's part."""
        self._container.close()

    def _opened(self, file: SourceFile, format: str | None, options: dict[str, str]) -> Any:
        import av

        file.seek(0)
        options = _NO_OTHER_FILES | options
        try:
            # Tags in other encodings than UTF-8 are common and no reason to fail.
            return av.open(file, format=format, metadata_errors="replace", options=options)
        except self._failure as error:
            raise NotDecodableError(error.strerror) from error

    def _chosen(self, stream: int) -> Any:
        streams = self._container.streams.audio
        if not streams:
            raise InputError(f"{self._name} holds no audio track; give a file with sound")
        if stream >= len(streams):
            raise wrong_stream(self._name, stream, len(streams))
        if streams[stream].codec_context is None:
            raise InputError(f"{self._name} holds audio of an unknown codec; convert it to WAV")
        return streams[stream]

    def _read_info(self) -> AudioInfo:
        container_format = self._container.format.name
        duration_seconds = None
        if self._exact_seconds is not None:
            duration_seconds = float(self._exact_seconds)
        elif self._stream.duration is not None:
            duration_seconds = float(self._stream.duration * self._stream.time_base)
        elif self._container.duration is not None:
            duration_seconds = self._container.duration / 1e6
        if duration_seconds is not None and duration_seconds <= 0:  # tags that lie
            duration_seconds = None
        return AudioInfo(
            path=self._name,
            format=_SHORT_NAMES.get(container_format, container_format),
            codec=self._stream.codec_context.codec.canonical_name,
            sample_rate_hz=self._first_frame.sample_rate,
            n_channels=self._first_frame.layout.nb_channels,
            n_samples=None,
            duration_seconds=duration_seconds,
            n_streams=len(self._container.streams.audio),
        )

    def _pieces(self) -> Iterator[Float32[np.ndarray, "channels samples"]]:
        """Yield all frames as arrays, the last one without its padding."""
        n_samples, layout = 0, (self.info.n_channels, self.info.sample_rate_hz)
        last = self._first_frame
        for frame in self._frames:
            yield self._samples_of(last)
            n_samples += last.samples
            if (frame.layout.nb_channels, frame.sample_rate) != layout:
                raise InputError(
                    f"{self._name} changes from {layout[0]} channels at {layout[1]} Hz to "
                    f"{frame.layout.nb_channels} at {frame.sample_rate} Hz after "
                    f"{n_samples / layout[1]:.2f} s; cut it there, or convert it to WAV"
                )
            last = frame
        # Of the last frame's samples only so many are sound as the container gives it time for,
        # but FFmpeg hands out all. Coarser clocks than the sample rate cannot tell.
        exact_clock = last.time_base == Fraction(1, layout[1])
        n_last = last.duration if exact_clock and 0 < last.duration < last.samples else last.samples
        yield self._samples_of(last)[:, :n_last]

    def _samples_of(self, frame: Any) -> Float32[np.ndarray, "channels samples"]:
        is_unsafe = frame.format.is_planar and frame.layout.nb_channels >= _UNSAFE_PLANES
        if is_unsafe or frame.format.name in _UNKNOWN_TO_NUMPY:
            if self._interleaver is None:
                import av

                format = _UNKNOWN_TO_NUMPY.get(frame.format.name, frame.format.packed)
                self._interleaver = av.AudioResampler(format=format)
            frames = [_as_float(packed) for packed in self._interleaver.resample(frame)]
            return np.concatenate(frames, axis=1)
        return _as_float(frame)

    def _without_padding(
        self, pieces: Iterator[Float32[np.ndarray, "channels _"]]
    ) -> Iterator[Float32[np.ndarray, "channels samples"]]:
        """Cut off what an MP4's codec put behind the last sample to fill its frame.

        All pieces are decoded, even so: damage behind the end is damage.
        """
        if self._exact_seconds is None:
            yield from pieces
            return
        n_left = round(self._exact_seconds * self.info.sample_rate_hz)
        for piece in pieces:
            if n_left > 0:
                yield piece[:, :n_left]
            n_left -= piece.shape[1]

    def _decoded_frames(self) -> Iterator[Any]:
        """Yield decoded frames with samples in them.

        Packets that cannot be decoded are passed over before the first frame (a stream that was cut
        out of another) and at the end (an incomplete frame), as every player does.
        """
        n_samples, n_bad_before, n_bad, end_pts = 0, 0, 0, None
        for packet in self._packets():
            if packet is None:
                raise self._damaged(n_samples)
            try:
                frames = [frame for frame in packet.decode() if frame.samples]
            except MemoryError as error:  # passing over it would leave out sound that is there
                raise self._damaged(n_samples) from error
            except self._failure:
                n_bad_before += n_samples == 0
                n_bad += n_samples > 0
                continue
            if packet.pts is not None:
                end_pts = packet.pts + (packet.duration or 0)
            is_flush = not packet.size
            if n_bad > _MOST_BAD_PACKETS_AT_END or (n_bad and frames and not is_flush):
                raise self._damaged(n_samples)
            for frame in frames:
                n_samples += frame.samples
                yield frame
        if n_samples == 0 and n_bad_before:
            raise NotDecodableError("nothing in it can be decoded")
        if n_bad > _MOST_BAD_PACKETS_AT_END or self._is_cut_off(end_pts):
            raise self._damaged(n_samples)

    def _packets(self) -> Iterator[Any]:
        """Yield packets, and None where FFmpeg cannot find the next one."""
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except self._failure:
                yield None
                return
            except IndexError:
                # PyAV comes to streams that broadcasting (.ts) added on the way, behind ours.
                return
            if packet is None:
                return
            yield packet

    def _is_cut_off(self, end_pts: int | None) -> bool:
        """Tell whether the last packet ends before the end that an MP4's table promises.

        Other containers promise nothing that one could rely on: lengths of MP3, AAC and WMA are
        guesses, that of Matroska is the length of the longest stream.
        """
        stream = self._stream
        if "mp4" not in self._container.format.name or stream.duration is None or end_pts is None:
            return False
        missing_pts = (stream.start_time or 0) + stream.duration - end_pts
        return float(missing_pts * stream.time_base) > _TOLERATED_SHORTFALL_SECONDS

    def _damaged(self, n_samples: int) -> InputError:
        stream, rate_hz = self._stream, self._stream.codec_context.sample_rate
        promised = self._exact_seconds or (stream.duration and stream.duration * stream.time_base)
        return damaged(self._name, n_samples, rate_hz or 1, float(promised) if promised else None)


def _is_short_mp3(file: SourceFile) -> bool:
    """Tell whether it is a few frames of MP3, with the tag that encoders put first."""
    n_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(64)
    is_frame = len(start) == 64 and start[0] == 0xFF and start[1] & 0xE6 == 0xE2  # layer III
    return n_bytes < _SHORT_MP3_BYTES and is_frame and (b"Xing" in start or b"Info" in start)


def _as_float(frame: Any) -> Float32[np.ndarray, "channels samples"]:
    """Return a frame of any sample format as float32 of full scale -1 to 1."""
    samples: np.ndarray = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        samples = samples.astype(np.int16) - 128
        full_scale = 128.0
    elif np.issubdtype(samples.dtype, np.integer):
        full_scale = 2.0 ** (8 * samples.dtype.itemsize - 1)
    else:
        full_scale = 1.0
    # What damage makes of numbers may be beyond float32 or none; blocks with such are refused.
    with np.errstate(over="ignore", invalid="ignore"):
        # A power of two, so that multiplying rounds nothing.
        return np.asarray(samples.astype(np.float32) * np.float32(1 / full_scale))
