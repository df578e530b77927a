"""What a worker makes of a song beside its stems: a playable original, and peaks of all."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import soundfile

from stemlight.audio import AudioWriter, open_audio, probe
from stemlight.audio.formats import check_layout
from stemlight.audio.resampling import StreamResampler
from stemlight.errors import UsageError
from stemlight.serve.peaks import PeakMaker, write_peaks

__all__ = [
    "ORIGINAL",
    "make_original",
    "measure_stem",
    "playable_format",
    "read_piece",
    "write_playable",
]

ORIGINAL = "original"
"""The name that the song itself has among its stems."""

_PLAYED_DEPTH = "16"
_EXACT_TYPES = {"PCM_16": "int16", "PCM_24": "int32", "FLOAT": "float32"}


def playable_format(sample_rate_hz: int, n_channels: int) -> str:
    """Return the format that browsers decode to the sample: FLAC where it holds the sound."""
    try:
        check_layout("flac", sample_rate_hz=sample_rate_hz, n_channels=n_channels)
    except UsageError:
        return "wav"
    return "flac"


def write_playable(
    source: Path,
    target: Path,
    *,
    sample_rate_hz: int | None = None,
    tell: Callable[[int], object] = lambda n_samples: None,
    max_seconds: float | None = None,
    peaks: PeakMaker | None = None,
) -> int:
    """Decode a sound into one that browsers play, FLAC or WAV by the suffix; return its rate.

    `sample_rate_hz` is for stems of formats that know few rates: they play at their song's.
    """
    with open_audio(source, max_duration_seconds=max_seconds) as reader:
        n_channels = reader.info.n_channels
        rate_hz = sample_rate_hz or reader.info.sample_rate_hz
        resampler = StreamResampler(n_channels, reader.info.sample_rate_hz, rate_hz)
        with AudioWriter(
            target, sample_rate_hz=rate_hz, n_channels=n_channels, bit_depth=_PLAYED_DEPTH
        ) as writer:
            for block in reader.blocks():
                if peaks is not None:
                    peaks.push(block)
                writer.write(resampler.push(block))
                tell(block.shape[1])
            writer.write(resampler.flush())
    return rate_hz


def read_piece(path: Path, first: int, count: int) -> bytes:
    """Return frames of a playable file as WAV of its own depth; past its end there are none."""
    with soundfile.SoundFile(path) as file:
        file.seek(min(first, file.frames))
        samples = file.read(count, dtype=_EXACT_TYPES[file.subtype], always_2d=True)
        rate_hz, subtype = file.samplerate, file.subtype
    piece = io.BytesIO()
    soundfile.write(piece, samples, rate_hz, format="WAV", subtype=subtype)
    return piece.getvalue()


def make_original(
    song: Path, folder: Path, *, tell: Callable[[int], object], max_seconds: float
) -> Mapping[str, Any]:
    """Write the song as it plays, and its peaks."""
    peaks = PeakMaker()
    info = probe(song)
    target = folder / f"{ORIGINAL}.{playable_format(info.sample_rate_hz, info.n_channels)}"
    rate_hz = write_playable(song, target, tell=tell, max_seconds=max_seconds, peaks=peaks)
    write_peaks(folder / f"{ORIGINAL}.peaks", *peaks.finish(rate_hz))
    return {"file": target.name, "size_bytes": target.stat().st_size, "sample_rate_hz": rate_hz}


def measure_stem(
    stem: Path, peaks_path: Path, *, tell: Callable[[int], object]
) -> Mapping[str, Any]:
    """Write a stem's peaks; return what the server tells of it."""
    peaks = PeakMaker()
    with open_audio(stem) as reader:
        rate_hz = reader.info.sample_rate_hz
        for block in reader.blocks():
            peaks.push(block)
            tell(block.shape[1])
    write_peaks(peaks_path, *peaks.finish(rate_hz))
    return {
        "file": f"{stem.parent.name}/{stem.name}",
        "size_bytes": stem.stat().st_size,
        "sample_rate_hz": rate_hz,
    }
