"""What a file claims is not believed beyond its bytes; no more is read than the caller allows."""

from __future__ import annotations

import io
import resource
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile

from stemlight.audio import open_audio, probe, read_audio, read_tags
from stemlight.errors import InputError, UsageError

from .material import Pipe, encode, noise, wav_bytes

SOURCE = noise(2, 44_100)


def flac_that_claims(n_samples: int, rate_hz: int = 44100) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, SOURCE.T, 44100, format="FLAC")
    content = bytearray(file.getvalue())
    fields = int.from_bytes(content[18:26], "big") & (1 << 44) - (1 << 36)
    content[18:26] = (fields | rate_hz << 44 | n_samples).to_bytes(8, "big")
    return bytes(content)


# What bytes can hold


@pytest.mark.parametrize("n_samples", [10**9, (1 << 36) - 1])
def test_more_samples_than_the_bytes_can_hold_are_refused_at_opening(n_samples):
    content = flac_that_claims(n_samples)
    with pytest.raises(InputError) as caught:
        open_audio(io.BytesIO(content))
    assert str(caught.value) == (
        f"<stream> is damaged, or made to fill disks: it claims {n_samples} samples or more, but "
        f"{len(content)} bytes hold at most {1000 * len(content) + (1 << 20)}; get it anew"
    )


def test_minutes_of_silence_are_no_bomb(tmp_path):
    with soundfile.SoundFile(tmp_path / "x.flac", "w", 44100, 2) as flac:
        for _ in range(50):
            flac.write(np.zeros((6 * 44100, 2), np.int16))
    assert (tmp_path / "x.flac").stat().st_size < 60_000
    with open_audio(tmp_path / "x.flac") as reader:
        assert sum(block.shape[1] for block in reader.blocks()) == 300 * 44100


def test_silence_packed_without_end_is_refused_before_it_fills_the_memory():
    n_frames = 4000
    content = bytearray(long_silence(n_frames))
    assert read_length(content, 4) == 4 * 65535
    with pytest.raises(InputError, match="made to fill disks: it claims 2621"):
        read_length(content, n_frames)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="made to fill disks"):
            read_length(content, None)  # then its decoder reads on and on
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 20e6


def long_silence(n_frames: int) -> bytes:
    """A FLAC of frames of 65535 silent samples: as many as that of a whole song in a kilobyte."""
    info = struct.pack(">HH", 65535, 65535) + bytes(6) + bytes(8) + bytes(16)
    frames = bytearray()
    for number in range(n_frames):
        header = b"\xff\xf8\x74\x08" + chr(number).encode() + b"\xff\xfe"
        frame = header + bytes([crc(header, 8, 0x07)]) + bytes(3)
        frames += frame + crc(frame, 16, 0x8005).to_bytes(2, "big")
    return b"fLaC\x80\0\0\x22" + info + bytes(frames)


def crc(content: bytes, n_bits: int, polynomial: int) -> int:
    remainder = 0
    for byte in content:
        remainder ^= byte << (n_bits - 8)
        for _ in range(8):
            remainder = remainder << 1 ^ (polynomial if remainder >> (n_bits - 1) & 1 else 0)
        remainder &= (1 << n_bits) - 1
    return remainder


def read_length(content: bytearray, n_frames: int | None) -> int:
    """Read so many frames, all of them for None, where the header says so."""
    n_bytes = 42 + sum(12 + len(chr(number).encode()) for number in range(n_frames or 0))
    fields = 8000 << 44 | 15 << 36 | (n_frames or 0) * 65535
    content[18:26] = fields.to_bytes(8, "big")
    with open_audio(io.BytesIO(content[:n_bytes] if n_frames else content)) as reader:
        return sum(block.shape[1] for block in reader.blocks())


@pytest.mark.parametrize("rate_hz", [1, 999, 768_001, (1 << 31) - 1])
def test_a_sample_rate_that_no_music_has_is_refused(rate_hz):
    content = bytearray(wav_bytes(SOURCE, subtype="PCM_16"))
    content[24:28] = rate_hz.to_bytes(4, "little")
    message = rf"has a sample rate of {rate_hz} Hz, but it must lie in 1000\.\.768000 Hz"
    with pytest.raises(InputError, match=message):
        open_audio(io.BytesIO(content))


@pytest.mark.parametrize("n_channels", [1, 8, 255, 256])
def test_many_channels_take_no_more_memory_than_a_block(n_channels):
    content = wav_bytes(np.zeros((n_channels, 3000), np.float32), subtype="PCM_16")
    assert read_audio(io.BytesIO(content)).samples.shape == (n_channels, 3000)


def test_more_channels_than_any_room_has_are_refused():
    content = wav_bytes(np.zeros((257, 10), np.float32))
    with pytest.raises(InputError, match=r"has 257 channels, but they must lie in 1\.\.256"):
        open_audio(io.BytesIO(content))


# What the caller allows


def test_a_file_that_says_that_it_is_too_long_is_refused_at_opening(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(wav_bytes(SOURCE, 44100))
    assert read_audio(path, max_duration_seconds=1).samples.shape == SOURCE.shape
    with pytest.raises(InputError) as caught:
        open_audio(path, max_duration_seconds=0.9)
    assert str(caught.value) == (
        f"{path} lasts 1.0 s, but at most 0.9 s are allowed; cut it, or allow more "
        "(max_duration_seconds, --max-duration)"
    )


@pytest.mark.parametrize("name", ["x.mp3", "x.m4a", "x.mka", "x.aac", "x.opus"])
def test_an_estimated_length_is_refused_at_opening_and_the_true_one_while_reading(tmp_path, name):
    sound = noise(2, 480_000)
    codec = {"mp3": "libmp3lame", "m4a": "aac", "mka": "aac"}.get(name[2:], f"{name[2:]}")
    codec = "libopus" if codec == "opus" else codec
    path = encode(tmp_path / name, sound, codec=codec, sample_rate_hz=48000)
    told = probe(path).duration_seconds
    assert told is not None
    assert read_audio(path, max_duration_seconds=20).n_samples >= 480_000
    with pytest.raises(InputError, match=r"lasts \d+\.\d s, but at most 5\.0 s are allowed"):
        open_audio(path, max_duration_seconds=5)


def test_a_file_that_does_not_tell_its_length_is_read_as_far_as_allowed():
    content = flac_that_claims(0)
    assert probe(io.BytesIO(content)).duration_seconds is None
    with open_audio(io.BytesIO(content), max_duration_seconds=0.5) as reader:
        blocks = reader.blocks(10_000)
        assert [next(blocks).shape[1] for _ in range(2)] == [10_000, 10_000]
        with pytest.raises(InputError, match=r"lasts 0\.7 s or more, but at most 0\.5 s are"):
            next(blocks)


def test_no_more_of_a_pipe_is_copied_than_the_allowed_length_could_need():
    class Endless(Pipe):
        n_given = 0

        def readinto(self, buffer) -> int:
            self.n_given += len(buffer)
            return len(buffer)

    endless = Endless(b"")
    message = r"gives more than 80 MB, which no music of the allowed 1\.0 s needs; cut it"
    with pytest.raises(InputError, match=message):
        open_audio(endless, max_duration_seconds=1)
    assert endless.n_given < 90e6
    assert read_audio(Pipe(wav_bytes(SOURCE, 44100)), max_duration_seconds=1).n_samples == 44_100


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_limit_that_is_none_is_wrong_usage(seconds):
    with pytest.raises(UsageError, match=f"must be above 0, not {seconds}"):
        open_audio(io.BytesIO(wav_bytes(SOURCE)), max_duration_seconds=seconds)


# What the fuzzers found


def test_a_chunk_that_ends_beyond_all_places_is_one_line(capfd):
    content = bytearray(wav_bytes(SOURCE, subtype="PCM_16"))
    content[:4], sizes = b"RF64", struct.pack("<4sIQQQI", b"ds64", 28, 0, (1 << 63) - 1, 0, 0)
    content[12:12] = sizes
    content[content.index(b"data") + 4 :][:4] = b"\xff" * 4
    with pytest.raises(InputError):
        read_audio(io.BytesIO(content))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("form", ["WAV", "AIFF"])
def test_a_hundred_thousand_chunks_are_refused_at_once(form):
    file = io.BytesIO()
    soundfile.write(file, SOURCE.T, 44100, format=form)
    content = file.getvalue()
    flood = content[:12] + b"JUNK\0\0\0\0" * 100_000 + content[12:]
    started = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with pytest.raises(
        InputError, match=r"damaged \(more than 1000 chunks before the sound\); get"
    ):
        open_audio(io.BytesIO(flood))
    assert "1000 chunks" in read_tags(io.BytesIO(flood)).notes[0]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - started < 0.2


def test_a_clock_that_makes_the_sound_shorter_than_a_sample_is_an_error(tmp_path):
    content = bytearray(encode(tmp_path / "x.m4a", SOURCE).read_bytes())
    at = content.index(b"mdhd") + 16
    content[at : at + 4] = b"\xff\xff\xff\xff"  # ticks per second
    with pytest.raises(InputError, match="<stream> holds no samples"):
        read_audio(io.BytesIO(content))


def test_a_stale_tag_of_an_mp3_makes_no_negative_length(tmp_path):
    content = bytearray(encode(tmp_path / "x.mp3", SOURCE, codec="libmp3lame").read_bytes())
    at = content.index(b"Xing" if b"Xing" in content else b"Info") + 8
    content[at : at + 4] = b"\0\0\0\1"  # frames
    assert probe(io.BytesIO(content)).duration_seconds is None
    assert read_audio(io.BytesIO(content)).n_samples > 40_000


@pytest.mark.parametrize("number", [1e300, -1e39, np.inf, np.nan])
def test_numbers_beyond_float32_are_errors_and_no_warnings(number):
    samples = np.zeros(1000)
    samples[500] = number
    header = struct.pack("<4sI4s4sIHHIIHH", b"RIFF", 0, b"WAVE", b"fmt ", 16, 3, 1, 8000, 1, 8, 64)
    endless = header + struct.pack("<4sI", b"data", 0xFFFFFFFF) + samples.tobytes()
    for content in (endless, wav_bytes(samples[np.newaxis], subtype="DOUBLE")):
        with pytest.raises(InputError, match="NaN or infinite samples, the first at sample 500"):
            read_audio(io.BytesIO(content))


def test_whole_numbers_of_64_bits_are_read():
    numbers = np.round(SOURCE.T.astype(np.float64) * 2.0**63).astype("<i8")
    header = struct.pack(
        *("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + numbers.nbytes, b"WAVE", b"fmt ", 16, 1, 2, 8000),
        *(8000 * 16, 16, 64, b"data", numbers.nbytes),
    )
    samples = read_audio(io.BytesIO(header + numbers.tobytes())).samples
    np.testing.assert_allclose(samples, SOURCE, atol=1e-7)


def test_streams_that_begin_on_the_way_do_not_end_it(tmp_path):
    one = encode(tmp_path / "one.ts", SOURCE).read_bytes()
    two = encode(tmp_path / "two.ts", SOURCE, SOURCE, SOURCE, with_video=True).read_bytes()
    for content in (one + two, one * 20 + two * 2, two + one):
        assert read_audio(io.BytesIO(content)).n_samples >= 44_100
