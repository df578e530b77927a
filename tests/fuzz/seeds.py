"""Small valid files of every format that the reader knows, from which damaged ones are made."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soundfile
from mutagen.flac import FLAC
from mutagen.flac import Picture as FlacPicture
from mutagen.id3 import APIC, ID3, TIT2
from mutagen.mp4 import MP4, MP4Cover

from stemlight.audio.ogg import set_serial_number

RATE_HZ = 44100
N_SAMPLES = 6000
PICTURE = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU"
    b"\0\0\0\nIDATx\x9cc`\0\0\0\2\0\1H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82"
)

_SNDFILE = {  # name: (suffix, format, subtype)
    "wav-u8": ("wav", "WAV", "PCM_U8"),
    "wav-16": ("wav", "WAV", "PCM_16"),
    "wav-24": ("wav", "WAVEX", "PCM_24"),
    "wav-32": ("wav", "WAV", "PCM_32"),
    "wav-float": ("wav", "WAV", "FLOAT"),
    "wav-double": ("wav", "WAV", "DOUBLE"),
    "wav-ulaw": ("wav", "WAV", "ULAW"),
    "wav-adpcm": ("wav", "WAV", "IMA_ADPCM"),
    "rf64": ("wav", "RF64", "PCM_16"),
    "w64": ("w64", "W64", "PCM_16"),
    "aiff-16": ("aiff", "AIFF", "PCM_16"),
    "aiff-float": ("aiff", "AIFF", "FLOAT"),
    "au": ("au", "AU", "PCM_16"),
    "caf": ("caf", "CAF", "PCM_16"),
    "flac": ("flac", "FLAC", "PCM_16"),
    "flac-24": ("flac", "FLAC", "PCM_24"),
    "ogg": ("ogg", "OGG", "VORBIS"),
    "opus": ("opus", "OGG", "OPUS"),
}
_FASTSTART = {"movflags": "faststart"}
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
_FFMPEG: dict[str, tuple[str, str, int, dict[str, str], bool]] = {
    # name: (suffix, codec, sample rate, options of the container, with video)
    "m4a": ("m4a", "aac", 44100, {}, False),
    "alac": ("m4a", "alac", 44100, _FASTSTART, False),
    "mp4-video": ("mp4", "aac", 44100, _FASTSTART, True),
    "mp4-fragments": ("mp4", "aac", 44100, _FRAGMENTS, False),
    "mp4-opus": ("mp4", "libopus", 48000, {}, False),
    "mov-pcm": ("mov", "pcm_s16le", 44100, {}, False),
    "mkv-video": ("mkv", "libmp3lame", 44100, {}, True),
    "mkv-pcm": ("mkv", "pcm_s16le", 44100, {}, False),
    "mka-flac": ("mka", "flac", 44100, {}, False),
    "webm-opus": ("webm", "libopus", 48000, {}, False),
    "aac": ("aac", "aac", 44100, {}, False),
    "ac3": ("ac3", "ac3", 44100, {}, False),
    "wma": ("wma", "wmav2", 44100, {}, False),
    "tta": ("tta", "tta", 44100, {}, False),
    "wavpack": ("wv", "wavpack", 44100, {}, False),
    "avi": ("avi", "pcm_s16le", 44100, {}, True),
    "ts": ("ts", "aac", 44100, {}, False),
    "flv": ("flv", "aac", 44100, {}, False),
}
_MP3 = {"mp3-cbr": "CONSTANT", "mp3-vbr": "VARIABLE"}
_WITH_PICTURES = ("mp3-picture", "flac-picture", "m4a-picture")

SUFFIXES: dict[str, str] = {
    **{name: row[0] for name, row in _SNDFILE.items()},
    **{name: row[0] for name, row in _FFMPEG.items()},
    **dict.fromkeys(_MP3, "mp3"),
    **{name: name.split("-")[0] for name in _WITH_PICTURES},
}
"""All formats by name, and the suffix that each usually has."""


def valid_files() -> dict[str, bytes]:
    """Make a file of each format; the same bytes each time."""
    with tempfile.TemporaryDirectory() as folder:
        files = dict(_all_files(Path(folder)))
    assert set(files) == set(SUFFIXES)
    return files


def _all_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    sound = _sound()
    for name, (_, format, subtype) in _SNDFILE.items():
        file = io.BytesIO()
        rate_hz = 48000 if subtype == "OPUS" else RATE_HZ
        soundfile.write(file, sound.T, rate_hz, format=format, subtype=subtype)
        yield name, _without_time(file)
    for name, mode in _MP3.items():
        path = folder / f"{name}.mp3"
        options = {"bitrate_mode": mode, "compression_level": 0.3}
        with soundfile.SoundFile(path, "w", RATE_HZ, 2, **options) as mp3:
            mp3.write(sound.T)
        yield name, path.read_bytes()
    for name, (suffix, codec, rate_hz, options, with_video) in _FFMPEG.items():
        path = folder / f"{name}.{suffix}"
        _encode(path, sound, codec, rate_hz, options, with_video=with_video)
        yield name, path.read_bytes()
    yield from _files_with_pictures(folder, sound)


def _without_time(file: io.BytesIO) -> bytes:
    """Take away what libsndfile makes of the clock, so that all runs damage the same files."""
    content = file.getvalue()
    if content.startswith(b"OggS"):
        set_serial_number(file)
        return file.getvalue()
    at = content.find(b"PEAK") + 12
    return content if at < 12 else content[:at] + bytes(4) + content[at + 4 :]


def _sound() -> np.ndarray:
    rng = np.random.default_rng(7)
    tone = 0.3 * np.sin(np.arange(N_SAMPLES) * 2 * np.pi * 440 / RATE_HZ)
    return (tone + rng.uniform(-0.1, 0.1, (2, N_SAMPLES))).astype(np.float32)


def _encode(
    path: Path,
    sound: np.ndarray,
    codec: str,
    rate_hz: int,
    options: dict[str, str],
    *,
    with_video: bool,
) -> None:
    with av.open(str(path), "w", options={**options, "fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=rate_hz, layout="stereo")
        stream.bit_rate = 128_000
        film = container.add_stream("mpeg4", rate=10) if with_video else None
        if film is not None:
            film.width = film.height = 32
            film.pix_fmt = "yuv420p"
        resampler = av.AudioResampler(
            format=stream.codec_context.format, layout="stereo", rate=rate_hz
        )
        for first in range(0, sound.shape[1], 2048):
            piece = np.ascontiguousarray(sound[:, first : first + 2048])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            frame.sample_rate = rate_hz
            frame.pts, frame.time_base = first, Fraction(1, rate_hz)
            for converted in resampler.resample(frame):
                for packet in stream.encode(converted):
                    container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
        if film is not None:
            black = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            for packet in (*film.encode(black), *film.encode(None)):
                container.mux(packet)


def _files_with_pictures(folder: Path, sound: np.ndarray) -> Iterator[tuple[str, bytes]]:
    path = folder / "picture.mp3"
    soundfile.write(path, sound.T, RATE_HZ)
    id3 = ID3()
    id3.add(TIT2(encoding=3, text="A title"))
    id3.add(APIC(encoding=3, mime="image/png", type=3, desc="cover", data=PICTURE))
    id3.save(path)
    yield "mp3-picture", path.read_bytes()

    path = folder / "picture.flac"
    soundfile.write(path, sound.T, RATE_HZ)
    flac = FLAC(path)
    picture = FlacPicture()
    picture.type, picture.mime, picture.data = 3, "image/png", PICTURE
    flac.add_picture(picture)
    flac["title"] = "A title"
    flac.save()
    yield "flac-picture", path.read_bytes()

    path = folder / "picture.m4a"
    _encode(path, sound, "aac", RATE_HZ, {}, with_video=False)
    m4a = MP4(path)
    m4a["\xa9nam"] = "A title"
    m4a["covr"] = [MP4Cover(PICTURE, MP4Cover.FORMAT_PNG)]
    m4a.save()
    yield "m4a-picture", path.read_bytes()
