"""WAV, AIFF, FLAC, Ogg and their like through libsndfile."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stemlight.audio.decoding import AudioInfo, NotDecodableError, damaged, wrong_stream
from stemlight.audio.files import SourceFile
from stemlight.audio.ogg import is_chained, vorbis_places
from stemlight.audio.wav import FloodError, promised_samples
from stemlight.errors import InputError
from stemlight.shapes import Float32

__all__ = ["SndfileDecoder"]

# MP3 is not among them: without a length tag libsndfile guesses the length of a file of variable
# bit rate from its first frames and stops there (half of a song was lost in silence), and mpg123
# writes its worries to standard error.
_MAGIC_WORDS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"fLaC", b"OggS", b".snd", b"caff")

_PIECE_SAMPLES = 4096  # read at once; libsndfile loses all of a piece that has damage in it
_UNKNOWN_LENGTH = 2**62  # libsndfile says 2^63 - 1

_SLOPPY_BYTES = 1024
"""Some programs count their own header as data; a file that was cut off lacks far more."""


class SndfileDecoder:
    """Decodes the one audio stream of a seekable file.

    Raises:
        NotDecodableError: libsndfile does not know the content, or not how long it is.
        InputError: the header promises more samples than there are, or `stream` is not 0.
    """

    def __init__(self, file: SourceFile, name: str, stream: int) -> None:
        import soundfile  # here, to keep `import stemlight` cheap

        _refuse_foreign_content(file)
        try:
            n_promised = promised_samples(file)
        except FloodError as error:
            raise InputError(f"{name} is damaged ({error}); get it anew") from error
        self._name = name
        self._failure = soundfile.SoundFileError
        try:
            descriptor = file.open_descriptor()
            self._sound = soundfile.SoundFile(file if descriptor is None else descriptor)
        except soundfile.SoundFileError as error:
            raise NotDecodableError(str(error)) from error
        try:
            self.info = self._read_info(stream)
            self._refuse_cut_off(n_promised)
            n_channels = self.info.n_channels
            is_reordered = self.info.format == "ogg" and n_channels > 2
            self._places = list(vorbis_places(n_channels)) if is_reordered else None
        except BaseException:
            self.close()
            raise

    def blocks(self, block_samples: int) -> Iterator[Float32[np.ndarray, "channels samples"]]:
        """Yield all samples in blocks of equal length, the last one perhaps shorter."""
        n_read, n_samples = 0, self.info.n_samples
        assert n_samples is not None
        while n_read < n_samples:
            n_block = min(block_samples, n_samples - n_read)
            block = np.empty((self.info.n_channels, n_block), np.float32)
            n_filled = 0
            while n_filled < n_block:
                frames = self._read(min(_PIECE_SAMPLES, n_block - n_filled))
                if not len(frames):
                    raise self._damaged(n_read + n_filled)
                block[:, n_filled : n_filled + len(frames)] = frames.T
                n_filled += len(frames)
            n_read += n_block
            yield block[self._places] if self._places is not None else block

    def close(self) -> None:
        """Free libsndfile's part."""
        self._sound.close()

    def _read_info(self, stream: int) -> AudioInfo:
        n_samples = self._sound.frames
        if not 0 < n_samples < _UNKNOWN_LENGTH:
            # Streamed FLAC and WAV leave the length out; FFmpeg reads until the end.
            raise NotDecodableError("it does not tell its length")
        if stream != 0:
            raise wrong_stream(self._name, stream, 1)
        return AudioInfo(
            path=self._name,
            format=self._sound.format.lower(),
            codec=self._sound.subtype.lower(),
            sample_rate_hz=self._sound.samplerate,
            n_channels=self._sound.channels,
            n_samples=n_samples,
            duration_seconds=n_samples / self._sound.samplerate,
        )

    def _refuse_cut_off(self, n_promised: int | None) -> None:
        """Raise where libsndfile quietly shortens a file to what is there."""
        info = self.info
        assert info.n_samples is not None
        n_sloppy = _SLOPPY_BYTES // info.n_channels
        if n_promised is not None and n_promised > info.n_samples + n_sloppy:
            raise damaged(
                info.path, info.n_samples, info.sample_rate_hz, n_promised / info.sample_rate_hz
            )

    def _read(self, n_frames: int) -> np.ndarray:
        """Return the next frames, fewer at the end or before damage, and none in it."""
        try:
            frames: np.ndarray = self._sound.read(n_frames, dtype="float32", always_2d=True)
        except self._failure:
            return np.empty((0, self.info.n_channels), np.float32)
        return frames

    def _damaged(self, n_read: int) -> InputError:
        return damaged(self._name, n_read, self.info.sample_rate_hz, self.info.duration_seconds)


def _refuse_foreign_content(file: SourceFile) -> None:
    file.seek(0)
    magic = file.read(4)
    file.seek(0)
    if magic not in _MAGIC_WORDS:
        raise NotDecodableError("it is not WAV, AIFF, FLAC or Ogg")
    if magic == b"OggS" and is_chained(file):
        raise NotDecodableError("it is a chain of Ogg streams")
