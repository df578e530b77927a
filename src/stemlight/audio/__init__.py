"""Reads, resamples and writes sound, block by block, as float32 (channels, samples)."""

from stemlight.audio.formats import BIT_DEPTHS, FORMATS, OPUS_RATES_HZ
from stemlight.audio.reading import AudioInfo, AudioReader, open_audio, probe, read_audio
from stemlight.audio.resampling import StreamResampler, output_samples, resample
from stemlight.audio.signal import Audio
from stemlight.audio.stem_mp4 import STEM_MP4_STEMS, StemFileWriter, check_stem_mp4
from stemlight.audio.stems import Stems
from stemlight.audio.tag_writing import write_tags
from stemlight.audio.tags import Picture, Tags, read_tags
from stemlight.audio.writing import AudioWriter

__all__ = [
    "BIT_DEPTHS",
    "FORMATS",
    "OPUS_RATES_HZ",
    "STEM_MP4_STEMS",
    "Audio",
    "AudioInfo",
    "AudioReader",
    "AudioWriter",
    "Picture",
    "StemFileWriter",
    "Stems",
    "StreamResampler",
    "Tags",
    "check_stem_mp4",
    "open_audio",
    "output_samples",
    "probe",
    "read_audio",
    "read_tags",
    "resample",
    "write_tags",
]
