from __future__ import annotations

import io
import os
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlight.audio import AudioInfo, AudioWriter, open_audio, probe, read_audio
from stemlight.errors import InputError, UsageError

from .material import (
    Pipe,
    encode,
    encode_silent_film,
    lag_samples,
    noise,
    read_in_blocks,
    signal_to_error_db,
    wav_bytes,
)

SOURCE = noise(2, 50_001)
MUSDB_TRACK = "data/musdb18-7s/train/A Classic Education - NightOwl.stem.mp4"


def in_one_piece(path: Path) -> np.ndarray:
    return read_audio(path).samples


# Formats


@pytest.mark.parametrize(
    ("format", "subtype", "error_db"),
    [
        ("WAV", "PCM_U8", 20),
        ("WAV", "PCM_16", 70),
        ("WAV", "PCM_24", 120),
        ("WAV", "PCM_32", 140),
        ("WAV", "FLOAT", np.inf),
        ("WAV", "DOUBLE", np.inf),
        ("WAVEX", "PCM_24", 120),
        ("RF64", "PCM_16", 70),
        ("W64", "PCM_16", 70),
        ("AIFF", "PCM_24", 120),
        ("AU", "PCM_16", 70),
        ("CAF", "PCM_16", 70),
        ("FLAC", "PCM_16", 70),
        ("FLAC", "PCM_24", 120),
        ("OGG", "VORBIS", 10),
    ],
)
def test_what_libsndfile_reads_has_its_length_and_no_lag(tmp_path, format, subtype, error_db):
    path = tmp_path / "x"
    soundfile.write(path, SOURCE.T, 44100, format=format, subtype=subtype)
    info = probe(path)
    assert (info.n_samples, info.n_channels, info.sample_rate_hz) == (50_001, 2, 44100)
    assert (info.path, info.n_streams, info.codec) == (str(path), 1, subtype.lower())
    assert info.duration_seconds == 50_001 / 44100
    samples = in_one_piece(path)
    assert samples.shape == SOURCE.shape
    assert samples.dtype == np.float32
    assert lag_samples(samples, SOURCE) == 0
    with np.errstate(divide="ignore"):
        assert signal_to_error_db(samples, SOURCE) >= error_db


@pytest.mark.parametrize(
    ("name", "codec", "format"),
    [
        ("x.mp3", "libmp3lame", "mp3"),
        ("x.m4a", "aac", "mp4"),
        ("x.mp4", "alac", "mp4"),
        ("x.mka", "flac", "matroska"),
        ("x.mov", "pcm_s16le", "mp4"),
    ],
)
def test_what_ffmpeg_reads_has_its_length_and_no_lag(tmp_path, name, codec, format):
    path = encode(tmp_path / name, SOURCE, codec=codec)
    info = probe(path)
    assert (info.format, info.n_channels, info.sample_rate_hz) == (format, 2, 44100)
    assert info.n_samples is None
    assert info.duration_seconds == pytest.approx(50_001 / 44100, abs=0.05)
    samples = in_one_piece(path)
    assert samples.shape == SOURCE.shape
    assert lag_samples(samples, SOURCE) == 0
    assert signal_to_error_db(samples, SOURCE) > 20


def test_aac_in_matroska_has_no_lag_but_the_rest_of_its_last_frames(tmp_path):
    samples = in_one_piece(encode(tmp_path / "x.mka", SOURCE))
    assert 0 <= samples.shape[1] - SOURCE.shape[1] < 2 * 1024  # the container does not say more
    assert lag_samples(samples, SOURCE) == 0


@pytest.mark.parametrize(("name", "format"), [("x.opus", "ogg"), ("x.webm", "matroska")])
def test_opus_has_its_length_and_no_lag(tmp_path, name, format):
    path = encode(tmp_path / name, SOURCE, codec="libopus", sample_rate_hz=48000)
    info = probe(path)
    assert (info.format, info.codec, info.sample_rate_hz) == (format, "opus", 48000)
    samples = in_one_piece(path)
    assert samples.shape == SOURCE.shape
    assert lag_samples(samples, SOURCE) == 0


def test_wma_is_read(tmp_path):
    path = encode(tmp_path / "x.wma", SOURCE, codec="wmav2")
    assert probe(path).format == "wma"
    samples = in_one_piece(path)
    # It knows whole frames only, and FFmpeg's encoder leaves out the first one.
    assert samples.shape == (2, 24 * 2048)
    assert signal_to_error_db(samples[:, :45_000], SOURCE[:, 2048 : 2048 + 45_000]) > 10


@pytest.mark.parametrize(
    ("name", "codec"),
    [("x.flac", None), ("x.ogg", None), ("x.mp3", "libmp3lame"), ("x.m4a", "aac")],
)
@pytest.mark.parametrize("block_samples", [1, 999, 16384, 10**9])
def test_blocks_of_any_size_are_the_same_samples(tmp_path, name, codec, block_samples):
    source = SOURCE[:, :3000] if block_samples == 1 else SOURCE
    if codec is None:
        soundfile.write(tmp_path / name, source.T, 44100)
    else:
        encode(tmp_path / name, source, codec=codec)
    with open_audio(tmp_path / name) as reader:
        blocks = list(reader.blocks(block_samples))
    assert {block.shape[1] for block in blocks[:-1]} <= {block_samples}
    assert all(block.flags.c_contiguous and block.flags.writeable for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks, axis=1), in_one_piece(tmp_path / name))


@settings(deadline=None, max_examples=60)
@given(
    n_channels=st.integers(1, 8),
    n_samples=st.integers(1, 4000),
    sample_rate_hz=st.integers(8000, 192_000),
    block_samples=st.integers(1, 5000),
)
def test_a_float_wav_is_read_bit_for_bit(n_channels, n_samples, sample_rate_hz, block_samples):
    source = noise(n_channels, n_samples)
    file = io.BytesIO(wav_bytes(source, sample_rate_hz))
    reader = open_audio(file)
    assert reader.info.n_samples == n_samples
    assert reader.info.sample_rate_hz == sample_rate_hz
    np.testing.assert_array_equal(read_in_blocks(reader, block_samples), source)


def test_the_content_chooses_the_decoder_and_not_the_suffix(tmp_path):
    soundfile.write(tmp_path / "mp3.wav", SOURCE.T, 44100, format="MP3")
    soundfile.write(tmp_path / "flac.mp3", SOURCE.T, 44100, format="FLAC")
    soundfile.write(tmp_path / "wav.raw", SOURCE.T, 44100, format="WAV")
    encode(tmp_path / "x.m4a", SOURCE).rename(tmp_path / "m4a.flac")
    found = {path.name: probe(path).format for path in tmp_path.iterdir()}
    assert found == {"mp3.wav": "mp3", "flac.mp3": "flac", "wav.raw": "wav", "m4a.flac": "mp4"}


# MP3


def without_length_tag(mp3: bytes) -> bytes:
    """Take away the first frame, whose content is the number of all frames (Xing, LAME)."""
    assert b"Xing" in mp3[:100] or b"Info" in mp3[:100]
    return mp3[mp3.index(mp3[:2], 100) :]


def test_an_mp3_of_variable_bit_rate_without_length_tag_is_read_to_its_end(tmp_path):
    # libsndfile guesses from the first frames, which are small here, and stops too early.
    source = np.concatenate([0.001 * SOURCE, SOURCE, 0.001 * SOURCE], axis=1)
    with soundfile.SoundFile(
        tmp_path / "x.mp3", "w", 44100, 2, bitrate_mode="VARIABLE", compression_level=0.2
    ) as file:
        file.write(source.T)
    path = tmp_path / "tagless.mp3"
    path.write_bytes(without_length_tag((tmp_path / "x.mp3").read_bytes()))
    samples = in_one_piece(path)
    assert 0 <= samples.shape[1] - source.shape[1] < 3 * 1152
    assert lag_samples(samples, source) == 1105  # only the tag knows what the encoder put first


def test_tags_before_an_mp3_and_in_another_encoding_do_no_harm(tmp_path):
    soundfile.write(tmp_path / "x.mp3", SOURCE.T, 44100)
    title = b"TIT2\0\0\0\x05\0\0\0Caf\xe9"
    padding = bytes(20_000)
    size = len(title) + len(padding)
    header = b"ID3\x03\0\0" + bytes(
        [size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127]
    )
    path = tmp_path / "tagged.mp3"
    path.write_bytes(
        header + title + padding + (tmp_path / "x.mp3").read_bytes() + b"TAG" + b"\xe9" * 125
    )
    np.testing.assert_array_equal(in_one_piece(path), in_one_piece(tmp_path / "x.mp3"))


# Streams


def test_one_of_several_audio_streams_is_chosen(tmp_path):
    sounds = [noise(2, 30_000, seed) for seed in range(3)]
    path = encode(tmp_path / "x.stem.mp4", *sounds)
    for stream, sound in enumerate(sounds):
        assert probe(path, stream=stream).n_streams == 3
        samples = read_audio(path, stream=stream).samples
        assert lag_samples(samples, sound) == 0
        assert signal_to_error_db(samples, sound) > 20
    np.testing.assert_array_equal(in_one_piece(path), read_audio(path, stream=0).samples)


def test_a_stream_that_is_not_there_is_refused_with_what_is(tmp_path):
    path = encode(tmp_path / "x.mp4", SOURCE, SOURCE)
    with pytest.raises(
        InputError, match=r"x\.mp4 has 2 audio streams; stream must be 0 to 1, not 7"
    ):
        probe(path, stream=7)
    soundfile.write(tmp_path / "x.wav", SOURCE.T, 44100)
    with pytest.raises(InputError, match=r"x\.wav has 1 audio stream; stream must be 0, not 1"):
        probe(tmp_path / "x.wav", stream=1)
    with pytest.raises(UsageError, match="stream must be at least 0, not -1"):
        probe(path, stream=-1)


def test_a_track_of_musdb18_has_five_streams_of_equal_length(shared):
    path = shared(MUSDB_TRACK)
    assert probe(path).n_streams == 5
    stems = [read_audio(path, stream=stream) for stream in range(5)]
    # 6.8 s as cut; the rest of the last AAC frame (up to 300 032) is its encoder's padding.
    assert {stem.samples.shape for stem in stems} == {(2, 299_891)}
    mixture, parts = stems[0].samples, sum(stem.samples for stem in stems[1:])
    assert lag_samples(mixture, parts) == 0
    assert signal_to_error_db(parts, mixture) > 15


def test_the_sound_of_a_video_is_read(tmp_path):
    path = encode(tmp_path / "x.mp4", SOURCE, with_video=True)
    assert lag_samples(in_one_piece(path), SOURCE) == 0


def test_a_video_without_sound_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"x\.mp4 holds no audio track; give a file with sound"):
        probe(encode_silent_film(tmp_path / "x.mp4"))


def two_oggs_with_numbers_of_their_own() -> bytes:
    """soundfile draws another serial number for every file."""
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        soundfile.write(file, SOURCE.T, 44100, format="OGG")
    return b"".join(file.getvalue() for file in files)


def test_all_links_of_an_ogg_chain_are_read(tmp_path):
    path = tmp_path / "x.ogg"
    path.write_bytes(two_oggs_with_numbers_of_their_own())
    samples = in_one_piece(path)
    assert 0 <= samples.shape[1] - 2 * 50_001 < 1024  # FFmpeg gives a little more at the joint
    assert lag_samples(samples[:, :50_001], SOURCE) == 0
    assert lag_samples(samples[:, -50_001:], SOURCE) == 0


# Channels and sample rate


def test_one_channel_is_the_mean_and_two_of_mono_are_copies(tmp_path):
    source = noise(3, 1000)
    soundfile.write(tmp_path / "three.wav", source.T, 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "mono.wav", source[0], 8000, subtype="FLOAT")
    mean = read_audio(tmp_path / "three.wav", channels=1).samples
    np.testing.assert_allclose(mean, source.mean(axis=0, keepdims=True), atol=1e-7)
    np.testing.assert_array_equal(
        read_audio(tmp_path / "mono.wav", channels=2).samples, source[[0, 0]]
    )
    np.testing.assert_array_equal(read_audio(tmp_path / "three.wav", channels=3).samples, source)


def test_channels_that_cannot_be_made_are_refused_with_what_can(tmp_path):
    soundfile.write(tmp_path / "six.wav", noise(6, 10).T, 8000)
    soundfile.write(tmp_path / "mono.wav", noise(1, 10).T, 8000)
    with pytest.raises(InputError, match=r"six\.wav has 6 channels; .* 1 or 6 for it, not 2"):
        read_audio(tmp_path / "six.wav", channels=2)
    with pytest.raises(InputError, match=r"mono\.wav has 1 channel; .* 1 or 2 for it, not 3"):
        read_audio(tmp_path / "mono.wav", channels=3)
    with pytest.raises(UsageError, match="channels must be at least 1, not 0"):
        read_audio(tmp_path / "mono.wav", channels=0)


@pytest.mark.parametrize("from_hz", [8000, 44100, 192_000])
def test_a_file_is_resampled_while_it_is_read(tmp_path, from_hz):
    times = np.arange(from_hz) / from_hz
    source = np.sin(2 * np.pi * 440 * times)[np.newaxis]
    soundfile.write(tmp_path / "x.wav", source.T, from_hz, subtype="FLOAT")
    audio = read_audio(tmp_path / "x.wav", sample_rate_hz=16000, channels=2)
    assert (audio.samples.shape, audio.sample_rate_hz) == ((2, 16000), 16000)
    expected = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    assert np.abs(audio.samples - expected)[:, 4000:12000].max() < 1e-5


def test_a_sample_rate_below_one_is_refused(tmp_path):
    soundfile.write(tmp_path / "x.wav", SOURCE.T, 8000)
    with pytest.raises(UsageError, match="to 0 Hz"):
        read_audio(tmp_path / "x.wav", sample_rate_hz=0)


# Where the bytes come from


@pytest.mark.parametrize(
    "name", ["노래.flac", "a b'c\".flac", "été — naïve.flac", "🎵.flac", "a\nb.flac"]
)
def test_any_name_is_read(tmp_path, name):
    soundfile.write(tmp_path / "x.flac", SOURCE.T, 44100)
    path = (tmp_path / "x.flac").rename(tmp_path / name)
    assert read_audio(str(path)).samples.shape == SOURCE.shape


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names")
def test_a_name_that_is_no_text_is_read_and_shown(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    path.write_bytes(wav_bytes(SOURCE))
    probe(path).path.encode()  # can be printed


def test_a_file_object_is_read_from_its_beginning_and_stays_open(tmp_path):
    soundfile.write(tmp_path / "x.flac", SOURCE.T, 44100)
    with (tmp_path / "x.flac").open("rb") as file:
        file.seek(100)
        assert read_audio(file).samples.shape == SOURCE.shape
        assert probe(file).path == str(tmp_path / "x.flac")
        assert not file.closed
    file = io.BytesIO(encode(tmp_path / "x.m4a", SOURCE).read_bytes())
    assert read_audio(file).samples.shape == SOURCE.shape
    assert probe(file).path == "<stream>"


@pytest.mark.parametrize("size", [None, 0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_a_wav_from_a_pipe_is_read_whatever_length_it_claims(size):
    content = bytearray(wav_bytes(SOURCE, 44100, "PCM_24"))
    if size is not None:
        at = content.index(b"data") + 4
        content[at : at + 4] = size.to_bytes(4, "little")
    audio = read_audio(Pipe(bytes(content)))
    assert audio.samples.shape == SOURCE.shape
    np.testing.assert_allclose(audio.samples, SOURCE, atol=2**-23)


def test_a_named_pipe_is_read(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(wav_bytes(SOURCE),))
    writer.start()
    samples = read_audio(path).samples
    writer.join()
    np.testing.assert_array_equal(samples, SOURCE)


def test_a_text_stream_is_refused():
    with pytest.raises(UsageError, match="<stream> gives text; open it in binary mode"):
        open_audio(io.StringIO("RIFF"))


def test_a_play_list_does_not_open_the_files_it_names(tmp_path):
    encode(tmp_path / "secret.aac", SOURCE, codec="aac")
    path = tmp_path / "list.m3u8"
    path.write_text(
        f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\n{tmp_path / 'secret.aac'}\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(InputError, match=r"list\.m3u8 is no audio"):
        probe(path)


# The reader


def test_blocks_are_given_once():
    with open_audio(io.BytesIO(wav_bytes(SOURCE))) as reader:
        list(reader.blocks())
        with pytest.raises(UsageError, match="<stream> can be read only once; open it again"):
            reader.blocks()


def test_a_block_size_below_one_is_refused():
    with (
        open_audio(io.BytesIO(wav_bytes(SOURCE))) as reader,
        pytest.raises(UsageError, match="block_samples must be at least 1, not 0"),
    ):
        reader.blocks(0)


def test_info_is_plain_data():
    info = probe(io.BytesIO(wav_bytes(noise(1, 4000), 8000, "PCM_16")))
    assert info == AudioInfo(
        path="<stream>",
        format="wav",
        codec="pcm_16",
        sample_rate_hz=8000,
        n_channels=1,
        n_samples=4000,
        duration_seconds=0.5,
        n_streams=1,
    )


@pytest.mark.parametrize("format", ["wav", "flac", "mp3", "ogg", "opus", "m4a"])
def test_memory_does_not_grow_with_the_length(tmp_path, format):
    def peak_bytes(n_samples: int) -> int:
        path = tmp_path / f"{n_samples}.{format}"
        tracemalloc.start()
        with AudioWriter(path, sample_rate_hz=44100, n_channels=2) as writer:
            for _ in range(0, n_samples, 50_000):
                writer.write(SOURCE[:, :50_000])
        with open_audio(path) as reader:
            for _ in reader.blocks():
                pass
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak_bytes(50_000)  # imports
    assert peak_bytes(450_000) < peak_bytes(150_000) + 200_000
