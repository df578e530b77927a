"""Reads, resamples and writes sound, block by block, as float32 (channels, samples)."""

from stemlight.audio.reading import AudioInfo, AudioReader, open_audio, probe, read_audio
from stemlight.audio.resampling import StreamResampler, output_samples, resample
from stemlight.audio.signal import Audio
from stemlight.audio.writing import BIT_DEPTHS, FORMATS, AudioWriter

__all__ = [
    "BIT_DEPTHS",
    "FORMATS",
    "Audio",
    "AudioInfo",
    "AudioReader",
    "AudioWriter",
    "StreamResampler",
    "open_audio",
    "output_samples",
    "probe",
    "read_audio",
    "resample",
]
