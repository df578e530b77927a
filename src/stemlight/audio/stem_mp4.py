"""The STEM format of Native Instruments: an MP4 that players play and DJ software takes apart.

Its first stream is the mixture, which alone is switched on, the other four are the stems; all are
stereo. The box `stem` in the film's user data names and colours them, in JSON, and tells what to do
with their sum: nothing, here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from stemlight.audio.files import FullWrites
from stemlight.audio.formats import check_aac_rate, check_bit_depth, check_bit_rate
from stemlight.audio.mp4_boxes import box
from stemlight.audio.mp4_encoder import TrackEncoder
from stemlight.audio.mp4_muxer import Mp4Muxer
from stemlight.audio.pending import PendingFile
from stemlight.audio.tag_writing import write_tags_into
from stemlight.audio.tags import Tags
from stemlight.audio.writing import check_finite
from stemlight.errors import OutputError, UsageError
from stemlight.shapes import Float32

__all__ = [
    "MIXTURE_STREAM",
    "STEM_MP4_RATES_HZ",
    "STEM_MP4_STEMS",
    "StemFileWriter",
    "check_stem_mp4",
]

MIXTURE_STREAM = "mixture"
"""The name of the first stream's blocks."""

STEM_MP4_STEMS = ("drums", "bass", "other", "vocals")
"""The usual stems in their usual order, by which DJ software gives them their places."""

STEM_MP4_RATES_HZ = (44100, 48000)
"""Sample rates that DJ software plays."""

_COLOURS = ("#009E73", "#D55E00", "#CC79A7", "#56B4E9")  # told apart by the colour-blind, too

# Without it DJ software would compress the sum of the stems, which the mixture is already.
_NO_MASTERING = {
    "compressor": {
        "enabled": False,
        "input_gain": 0.0,
        "output_gain": 0.0,
        "threshold": 0.0,
        "dry_wet": 100,
        "attack": 0.003,
        "release": 0.3,
        "ratio": 2,
        "hp_cutoff": 20,
    },
    "limiter": {"enabled": False, "threshold": 0.0, "ceiling": 0.0, "release": 0.3},
}

_STEREO = 2
_PORTION_SAMPLES = 20480  # of one stream in a row; the codecs' frames of 1024 and 4096 divide it


class StemFileWriter:
    """Writes blocks of a mixture and its four stems into a STEM file, or leaves nothing.

    It becomes complete under its name when the `with` block ends well, as by `AudioWriter`.
    `stems` are their names and places, `n_channels` is 2, or 1, which becomes both of stereo. AAC
    unless a bit depth makes it lossless (ALAC); `bit_rate_kbps` is that of each stream, 256 without
    it. The same samples and tags give the same bytes, however they were divided into blocks.

    Raises:
        UsageError: bit depth, bit rate, sample rate or channels are none of the format, or there
            are not four different stems.
    """

    # Eight keywords, each one property of the file; a settings object would only rename them.
    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        sample_rate_hz: int,
        n_channels: int = _STEREO,
        stems: Sequence[str] = STEM_MP4_STEMS,
        bit_depth: str | None = None,
        bit_rate_kbps: int | None = None,
        tags: Tags | None = None,
        overwrite: bool = True,
    ) -> None:
        check_stem_mp4(
            stems,
            sample_rate_hz=sample_rate_hz,
            n_channels=n_channels,
            bit_depth=bit_depth,
            bit_rate_kbps=bit_rate_kbps,
        )
        self._sample_rate_hz = sample_rate_hz
        self._n_channels = n_channels
        self._streams = (MIXTURE_STREAM, *stems)
        self._bit_depth = bit_depth
        self._bit_rate_kbps = bit_rate_kbps
        self._tags = tags
        self._notes: tuple[str, ...] = ()
        self._portion = np.empty((len(self._streams), _STEREO, _PORTION_SAMPLES), np.float32)
        self._n_waiting = 0
        self._n_samples = 0
        self._pending = PendingFile(path, overwrite=overwrite)
        self._file: FullWrites | None = None
        self._encoders: list[TrackEncoder] = []
        self._muxer: Mp4Muxer | None = None

    @property
    def n_samples(self) -> int:
        """Samples of each channel written so far."""
        return self._n_samples

    @property
    def notes(self) -> tuple[str, ...]:
        """Which tags could not be written, each in one line; known after the `with` block."""
        return self._notes

    def __enter__(self) -> StemFileWriter:
        """Open the hidden file.

        Raises:
            OutputError: the file exists and must not be overwritten, or cannot be made.
        """
        try:
            self._file = self._pending.open()
            self._encoders = [
                TrackEncoder(
                    sample_rate_hz=self._sample_rate_hz,
                    n_channels=_STEREO,
                    bit_depth=self._bit_depth,
                    bit_rate_kbps=self._bit_rate_kbps,
                    is_enabled=name == MIXTURE_STREAM,
                )
                for name in self._streams
            ]
            self._muxer = Mp4Muxer(self._file, [encoder.track for encoder in self._encoders])
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            self._pending.discard()
            raise self._pending.error(error) from error
        except BaseException:
            self._pending.discard()
            raise
        return self

    def write(self, blocks: Mapping[str, Float32[np.ndarray, "channels samples"]]) -> None:
        """Append samples: blocks of equal shape by the name of their stem, and "mixture".

        Raises:
            OutputError: the file cannot be written on, or a sample is NaN or infinite.
            UsageError: a block is missing, unknown or of another shape; or the writer is not
                entered.
        """
        n_block = self._checked_length(blocks)
        for name in self._streams:
            check_finite(blocks[name], self._pending.name, self._n_samples, self._sample_rate_hz)
        n_taken = 0
        while n_taken < n_block:
            n_piece = min(n_block - n_taken, _PORTION_SAMPLES - self._n_waiting)
            places = slice(self._n_waiting, self._n_waiting + n_piece)
            for stream, name in enumerate(self._streams):  # mono spreads over both channels
                self._portion[stream, :, places] = blocks[name][:, n_taken : n_taken + n_piece]
            self._n_waiting += n_piece
            self._n_samples += n_piece
            n_taken += n_piece
            if self._n_waiting == _PORTION_SAMPLES:
                try:
                    self._write_portion()
                except OSError as error:
                    raise self._pending.error(error) from error

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        muxer, self._muxer = self._muxer, None
        if kind is not None:
            self._pending.discard()
            return
        assert muxer is not None
        assert self._file is not None
        try:
            if self._n_samples == 0:
                raise OutputError(f"cannot write {self._pending.name}: no samples were given")
            self._muxer = muxer
            self._write_portion()
            self._muxer = None
            for encoder in self._encoders:
                encoder.finish(muxer)
            muxer.finish(box(b"stem", _description(self._streams[1:])))
            if self._tags:
                self._notes = write_tags_into(self._file, self._tags, self._pending.name)
            self._pending.place()
        except OSError as failure:
            self._pending.discard()
            raise self._pending.error(failure) from failure
        except BaseException:  # an interrupt, too, must leave nothing behind
            self._pending.discard()
            raise

    def _write_portion(self) -> None:
        assert self._muxer is not None
        for encoder, samples in zip(self._encoders, self._portion, strict=True):
            encoder.write(self._muxer, samples[:, : self._n_waiting])
        self._n_waiting = 0

    def _checked_length(self, blocks: Mapping[str, np.ndarray]) -> int:
        name = self._pending.name
        if self._muxer is None:
            raise UsageError(f"the writer of {name} is not open; use `with StemFileWriter(...)`")
        if set(blocks) != set(self._streams):
            raise UsageError(
                f"{name} needs blocks of {', '.join(self._streams)}, not of {', '.join(blocks)}"
            )
        shapes = {block.shape for block in blocks.values()}
        shape = blocks[MIXTURE_STREAM].shape
        if len(shapes) > 1 or len(shape) != 2 or shape[0] != self._n_channels:
            raise UsageError(
                f"the blocks have the shapes {sorted(shapes)} but {name} was opened for equal "
                f"ones of {self._n_channels} channels: (channels, samples)"
            )
        return int(shape[1])


def check_stem_mp4(
    stems: Sequence[str],
    *,
    sample_rate_hz: int,
    n_channels: int,
    bit_depth: str | None = None,
    bit_rate_kbps: int | None = None,
) -> None:
    """Refuse what a STEM file cannot hold, before any work.

    Raises:
        UsageError: with what it can hold.
    """
    n_stems = len(STEM_MP4_STEMS)
    if len(set(stems)) != n_stems or len(stems) != n_stems or MIXTURE_STREAM in stems:
        raise UsageError(
            f"stem.mp4 holds {n_stems} different stems beside the mixture, not "
            f"{', '.join(stems) or 'none'}; use another format"
        )
    if not 1 <= n_channels <= _STEREO:
        raise UsageError(f"stem.mp4 holds 1 to 2 channels, not {n_channels}; use wav")
    check_aac_rate("stem.mp4", sample_rate_hz, STEM_MP4_RATES_HZ)
    check_bit_depth(bit_depth, "m4a")
    if bit_depth is not None and bit_rate_kbps is not None:
        raise UsageError("lossless stem.mp4 has no bit rate to choose; leave it out")
    check_bit_rate(bit_rate_kbps, "m4a", sample_rate_hz=sample_rate_hz, n_channels=_STEREO)


def _description(stems: Sequence[str]) -> bytes:
    content: dict[str, Any] = {
        "mastering_dsp": _NO_MASTERING,
        "version": 1,
        "stems": [
            {"name": name.capitalize(), "color": colour}
            for name, colour in zip(stems, _COLOURS, strict=True)
        ],
    }
    return json.dumps(content, separators=(",", ":")).encode()
