"""Whatever codec a song came in: no lag, and its exact length where the file can tell it."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mutagen.mp4 import MP4, MP4FreeForm

from stemlight.audio import AudioWriter, read_audio
from stemlight.errors import InputError

from .material import encode, lag_samples, noise, repackage, signal_to_error_db

N_SAMPLES = 50_001
SOURCES = {n_channels: noise(n_channels, N_SAMPLES) for n_channels in (1, 2, 6)}
SURROUND = SOURCES[6]


def refuse_difference(path: Path, source: np.ndarray, rate_hz: int) -> None:
    audio = read_audio(path)
    assert audio.sample_rate_hz == rate_hz
    assert audio.samples.shape == source.shape
    assert lag_samples(audio.samples, source) == 0
    assert signal_to_error_db(audio.samples, source) > 10


# Each codec at the rates and numbers of channels that it has


@pytest.mark.parametrize(
    ("name", "codec", "rates_hz"),
    [
        ("x.mp3", "libmp3lame", (8000, 22050, 44100, 48000)),
        ("x.m4a", "aac", (8000, 22050, 44100, 48000, 96000)),
        ("x.opus", "libopus", (8000, 24000, 48000)),
        ("x.flac", "flac", (22050, 44100, 96000)),
        ("x.m4a", "alac", (44100, 96000)),
        ("x.wav", "pcm_s24le", (22050, 44100, 192_000)),
    ],
)
@pytest.mark.parametrize("n_channels", [1, 2])
def test_songs_of_any_codec_have_their_length_and_no_lag(
    tmp_path, name, codec, rates_hz, n_channels
):
    for rate_hz in rates_hz:
        path = encode(tmp_path / name, SOURCES[n_channels], codec=codec, sample_rate_hz=rate_hz)
        refuse_difference(path, SOURCES[n_channels], rate_hz)


@pytest.mark.parametrize("mode", ["CONSTANT", "AVERAGE", "VARIABLE"])
def test_mp3_of_any_kind_of_bit_rate_has_its_length_and_no_lag(tmp_path, mode):
    for rate_hz in (22050, 44100):
        with soundfile.SoundFile(
            tmp_path / "x.mp3", "w", rate_hz, 2, bitrate_mode=mode, compression_level=0.3
        ) as file:
            file.write(SOURCES[2].T)
        refuse_difference(tmp_path / "x.mp3", SOURCES[2], rate_hz)


@pytest.mark.parametrize("n_samples", [1, 2, 13, 15, 1000, 1024, 1025, 2000])
def test_sounds_shorter_than_a_frame_have_their_length(tmp_path, n_samples):
    source = SOURCES[2][:, :n_samples]
    soundfile.write(tmp_path / "x.mp3", source.T, 44100)
    encode(tmp_path / "x.m4a", source, codec="aac")
    encode(tmp_path / "x.opus", source, codec="libopus", sample_rate_hz=48000)
    lengths = {path.name: read_audio(path).samples.shape[1] for path in tmp_path.iterdir()}
    assert lengths == dict.fromkeys(("x.mp3", "x.m4a", "x.opus"), n_samples)


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("x.mp4", "aac", 44100),
        ("x.mp4", "libmp3lame", 44100),
        ("x.mp4", "libopus", 48000),
        ("x.mov", "pcm_s16le", 48000),
        ("x.mkv", "libopus", 48000),
        ("x.mkv", "flac", 44100),
        ("x.mkv", "libmp3lame", 44100),
        ("x.avi", "pcm_s16le", 44100),
    ],
)
def test_the_sound_of_a_video_has_its_length_and_no_lag(tmp_path, name, codec, rate_hz):
    path = encode(tmp_path / name, SOURCES[2], codec=codec, sample_rate_hz=rate_hz, with_video=True)
    refuse_difference(path, SOURCES[2], rate_hz)


@pytest.mark.parametrize("name", ["x.webm", "x.mkv", "y.ogg", "x.mp4"])
def test_vorbis_in_any_container_has_its_length_and_no_lag(tmp_path, name):
    soundfile.write(tmp_path / "x.ogg", SOURCES[2].T, 44100, format="OGG", subtype="VORBIS")
    refuse_difference(repackage(tmp_path / "x.ogg", tmp_path / name), SOURCES[2], 44100)


def test_opus_in_any_container_has_its_length_and_no_lag(tmp_path):
    encode(tmp_path / "x.opus", SOURCES[2], codec="libopus", sample_rate_hz=48000)
    for name in ("x.webm", "x.mka", "x.mp4"):
        refuse_difference(repackage(tmp_path / "x.opus", tmp_path / name), SOURCES[2], 48000)


# Surround


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("x.opus", "libopus", 48000),
        ("x.webm", "libopus", 48000),
        ("x.m4a", "aac", 44100),
        ("x.flac", "flac", 44100),
        ("x.wav", "pcm_s16le", 44100),
    ],
)
def test_surround_channels_come_in_the_order_of_wav(tmp_path, name, codec, rate_hz):
    path = encode(tmp_path / name, SURROUND, codec=codec, sample_rate_hz=rate_hz)
    samples = read_audio(path).samples
    assert samples.shape == SURROUND.shape
    likeness = np.corrcoef(np.concatenate([samples, SURROUND]))[:6, 6:]
    assert np.argmax(likeness, axis=1).tolist() == [0, 1, 2, 3, 4, 5]


def test_surround_vorbis_of_ours_has_its_channels_where_other_readers_expect_them(tmp_path):
    path = tmp_path / "x.ogg"
    with AudioWriter(path, sample_rate_hz=44100, n_channels=6) as writer:
        writer.write(SURROUND)
    assert signal_to_error_db(read_audio(path).samples, SURROUND) > 8
    file_order, _ = soundfile.read(path, dtype="float32")  # which knows no order
    left_centre_right = file_order.T[:3]
    assert signal_to_error_db(left_centre_right, SURROUND[[0, 2, 1]]) > 8
    with_ffmpeg = repackage(path, tmp_path / "x.mka")  # which puts them into the order of WAV
    assert signal_to_error_db(read_audio(with_ffmpeg).samples, SURROUND) > 8


# What tells the length of an MP4


def whole_frames(path: Path, *, edit_list: bool = True) -> Path:
    """Make it like those of Apple's programs, whose table of times counts whole frames only."""
    content = bytearray(path.read_bytes())
    times, media = content.index(b"stts"), content.index(b"mdhd")
    (n_entries,) = struct.unpack_from(">I", content, times + 8)
    struct.pack_into(">I", content, times + 8 + 8 * n_entries, 1024)
    struct.pack_into(">I", content, media + 20, -(-(N_SAMPLES + 1024) // 1024) * 1024)
    if not edit_list:
        content[content.index(b"edts") :][:4] = b"free"
        content = content.replace(b"edts", b"free")
    path.write_bytes(content)
    return path


def note_gaps(path: Path, *, n_before: int = 1024, n_after: int = 175, n: int = N_SAMPLES) -> Path:
    """Leave the note of Apple's programs."""
    tags = MP4(path)
    text = f" 00000000 {n_before:08X} {n_after:08X} {n:016X}" + " 00000000" * 8
    tags["----:com.apple.iTunes:iTunSMPB"] = [MP4FreeForm(text.encode())]
    tags.save()
    return path


def test_an_edit_list_as_fine_as_the_samples_tells_the_length(tmp_path):
    exact = {"movie_timescale": "44100"}
    path = encode(tmp_path / "x.m4a", SOURCES[2], container_options=exact)
    refuse_difference(whole_frames(path), SOURCES[2], 44100)


def test_an_edit_list_in_milliseconds_tells_the_length_to_a_millisecond(tmp_path):
    path = whole_frames(encode(tmp_path / "x.m4a", SOURCES[2]))
    samples = read_audio(path).samples
    assert abs(samples.shape[1] - N_SAMPLES) <= 45
    assert lag_samples(samples, SOURCES[2]) == 0


@pytest.mark.parametrize("edit_list", [True, False])
def test_the_note_of_apples_programs_tells_lag_and_length(tmp_path, edit_list):
    path = whole_frames(encode(tmp_path / "x.m4a", SOURCES[2]), edit_list=edit_list)
    refuse_difference(note_gaps(path), SOURCES[2], 44100)


def test_a_note_that_was_copied_from_another_song_is_not_believed(tmp_path):
    path = note_gaps(encode(tmp_path / "x.m4a", SOURCES[2]), n=20_000)
    refuse_difference(path, SOURCES[2], 44100)


def test_each_stream_of_an_mp4_has_a_length_of_its_own(tmp_path):
    sounds = [SOURCES[2], SOURCES[2][:, :33_333]]
    path = encode(tmp_path / "x.mp4", *sounds)
    for stream, sound in enumerate(sounds):
        assert read_audio(path, stream=stream).samples.shape == sound.shape


def test_an_edit_list_that_leaves_nothing_is_not_believed(tmp_path):
    path = encode(tmp_path / "x.m4a", SOURCES[2])
    content = bytearray(path.read_bytes())
    edit = content.index(b"elst")
    struct.pack_into(">i", content, edit + 16, 10**9)  # where the sound shall begin
    path.write_bytes(content)
    try:
        n_samples = read_audio(path).n_samples
    except InputError:
        return
    assert n_samples > 0
