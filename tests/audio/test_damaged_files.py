"""A result or one clear line: never a traceback of another kind, never samples made up."""

from __future__ import annotations

import errno
import io
import os
import re

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlight.audio import open_audio, probe, read_audio
from stemlight.audio.ffmpeg_decoder import FfmpegDecoder
from stemlight.errors import InputError

from .material import Pipe, encode, noise, wav_bytes

N_SAMPLES = 60_000
SOURCE = np.random.default_rng(0).uniform(-0.9, 0.9, (2, N_SAMPLES)).astype(np.float32)
RATE_HZ = 44100


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, bytes]:
    """The same sound in every format."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("wav", "aiff", "au", "flac", "ogg", "mp3"):
        soundfile.write(folder / f"x.{name}", SOURCE.T, RATE_HZ)
    soundfile.write(folder / "x.rf64", SOURCE.T, RATE_HZ, format="RF64", subtype="PCM_16")
    faststart = {"movflags": "faststart"}  # the table of contents comes first
    encode(folder / "x.m4a", SOURCE)
    encode(folder / "x.mp4", SOURCE, container_options=faststart)
    encode(folder / "x.mov", SOURCE, codec="alac", container_options=faststart)
    encode(folder / "x.mka", SOURCE)
    encode(folder / "x.aac", SOURCE)
    encode(folder / "x.opus", SOURCE, codec="libopus", sample_rate_hz=48000)
    return {path.suffix[1:]: path.read_bytes() for path in folder.iterdir()}


def message_of(content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        read_audio(io.BytesIO(content))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def refuse_several_lines(error: InputError) -> None:
    assert "\n" not in str(error)


# No file, or not that kind of file


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*/x\.wav: No such file or directory"):
        read_audio(tmp_path / "x.wav")


def test_a_closed_file_and_a_zero_byte_in_a_name_are_refused(tmp_path):
    file = io.BytesIO(b"x")
    file.close()
    with pytest.raises(InputError, match="cannot read <stream>: I/O operation on closed file"):
        read_audio(file)
    with pytest.raises(InputError, match=r"cannot read 'a\\x00b': embedded null byte"):
        read_audio("a\0b")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=rf"{tmp_path.name} is a folder; give a sound file"):
        read_audio(tmp_path)


def test_a_file_without_permission_is_refused(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(wav_bytes(SOURCE))
    path.chmod(0)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)  # nobody
    try:
        with pytest.raises(InputError, match=r"cannot read .*x\.wav: Permission denied"):
            read_audio(path)
    finally:
        if was_root:
            os.seteuid(0)


@pytest.mark.parametrize("source", [io.BytesIO(b""), Pipe(b"")])
def test_an_empty_file_is_refused(source):
    with pytest.raises(InputError, match=r"<stream> is empty \(0 bytes\); get it anew"):
        read_audio(source)


@pytest.mark.parametrize("suffix", ["mp3", "wav", "raw", "g722", "sln", "txt"])
@pytest.mark.parametrize(
    "content",
    [b"x", b"hello world\n" * 1000, bytes(5000), np.random.default_rng(1).bytes(20_000)],
    ids=["one byte", "text", "zeros", "noise"],
)
def test_what_is_no_audio_is_refused_whatever_it_is_called(tmp_path, content, suffix, capfd):
    path = tmp_path / f"x.{suffix}"
    path.write_bytes(content)
    message = rf"x\.{suffix} is (no audio, or )?cut off or damaged"
    with pytest.raises(InputError, match=message) as caught:
        read_audio(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("format", ["WAV", "OGG", "AIFF"])
def test_a_file_of_no_samples_says_so(format):
    file = io.BytesIO()
    soundfile.write(file, np.zeros((0, 2)), RATE_HZ, format=format)
    assert "holds no samples" in message_of(file.getvalue())


def test_a_picture_holds_no_audio_track(tmp_path):
    header = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\0\0\0\0:~\x9bU"
    data = b"\0\0\0\nIDATx\x9cc`\0\0\0\2\0\1H\xaf\xa4q\0\0\0\0IEND\xaeB`\x82"
    assert "holds no audio" in message_of(header + data)


# Cut off


@pytest.mark.parametrize("format", ["wav", "rf64", "aiff"])
def test_a_header_that_promises_more_than_there_is_fails_at_opening(whole, format):
    content = whole[format]
    with pytest.raises(InputError) as caught:
        open_audio(io.BytesIO(content[: len(content) // 2]))
    assert str(caught.value) == (
        "<stream> is cut off or damaged: 0.68 s of 1.36 s can be read; "
        "get it anew, or save what is left of it as WAV with another program"
    )


def test_a_wav_that_lacks_no_more_than_its_own_header_is_read(whole):
    content = bytearray(whole["wav"])
    at = content.index(b"data") + 4
    content[at : at + 4] = len(content).to_bytes(4, "little")  # a common mistake
    assert read_audio(io.BytesIO(content)).samples.shape == SOURCE.shape


@pytest.mark.parametrize("format", ["flac", "mp4", "mov"])
def test_a_file_that_ends_before_its_promised_length_fails_there(whole, format):
    content = whole[format]
    with open_audio(io.BytesIO(content[: len(content) // 2])) as reader:
        blocks = reader.blocks(1000)
        delivered = [next(blocks)]
        with pytest.raises(InputError, match=r"0\.[56]\d s of 1\.36 s can be read; get it anew"):
            delivered.extend(blocks)
    whole_sound = read_audio(io.BytesIO(content)).samples
    sound = np.concatenate(delivered, axis=1)
    np.testing.assert_array_equal(sound, whole_sound[:, : sound.shape[1]])


def test_an_m4a_that_lost_its_table_of_contents_fails_at_opening(whole):
    content = whole["m4a"]
    assert message_of(content[: len(content) // 2]) == (
        "<stream> is no audio, or cut off or damaged (Invalid data found when processing input); "
        "give a file that plays, or convert it to WAV"
    )


@pytest.mark.parametrize("format", ["mp3", "ogg", "opus", "mka", "aac", "au"])
def test_what_is_there_of_a_format_without_promise_is_read(whole, format):
    content = whole[format]
    part = read_audio(io.BytesIO(content[: len(content) * 9 // 10])).samples
    full = read_audio(io.BytesIO(content)).samples
    assert 0.6 < part.shape[1] / full.shape[1] < 0.95  # Ogg loses up to a second, a whole page
    n_same = part.shape[1] - 2048  # codecs that overlap their frames lack the next one at the end
    np.testing.assert_allclose(part[:, :n_same], full[:, :n_same], atol=1e-6)


def test_a_flac_without_length_is_read_to_its_end(whole):
    content = bytearray(whole["flac"])
    content[21] &= 0xF0  # 36 bits in the first block, STREAMINFO
    content[22:26] = bytes(4)
    assert probe(io.BytesIO(content)).n_samples is None
    np.testing.assert_array_equal(
        read_audio(io.BytesIO(content)).samples, read_audio(io.BytesIO(whole["flac"])).samples
    )


# Damaged


@pytest.mark.parametrize("format", ["flac", "mp3", "ogg", "mp4"])
def test_damage_in_the_middle_is_an_error_that_tells_where(whole, format, capfd):
    content = bytearray(whole[format])
    at = len(content) // 2
    content[at : at + 6000] = np.random.default_rng(2).bytes(6000)
    message = message_of(bytes(content))
    assert "is cut off or damaged" in message
    assert re.search(r"[01]\.\d\d s of 1\.[34]\d s can be read", message)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("block_samples", [7, 1000, 65536])
def test_a_sample_that_is_no_number_is_an_error_with_its_place(bad, block_samples):
    samples = noise(2, 40_000)
    samples[1, 22_050] = bad
    samples[:, 30_000:] = bad
    delivered = []
    with open_audio(io.BytesIO(wav_bytes(samples, RATE_HZ))) as reader:
        with pytest.raises(InputError, match=r"NaN or infinite .* sample 22050 \(0\.50 s\)"):
            delivered.extend(reader.blocks(block_samples))
        assert sum(block.shape[1] for block in delivered) == 22_050 // block_samples * block_samples


FORMATS = ("wav", "rf64", "aiff", "flac", "ogg", "mp3", "m4a", "mp4", "mka", "aac", "opus")


@settings(deadline=None, max_examples=80)
@given(format=st.sampled_from(FORMATS), kept=st.floats(0, 1))
def test_a_file_that_is_cut_anywhere_gives_its_beginning_or_one_line(whole, format, kept):
    content = whole[format][: int(kept * len(whole[format]))]
    full = read_audio(io.BytesIO(whole[format])).samples
    try:
        part = read_audio(io.BytesIO(content)).samples
    except InputError as error:
        refuse_several_lines(error)
    else:
        assert 0 < part.shape[1] <= full.shape[1] + 2048
        n_same = min(part.shape[1] - 2048, full.shape[1])
        if n_same > 0:
            np.testing.assert_allclose(part[:, :n_same], full[:, :n_same], atol=1e-6)


@settings(deadline=None, max_examples=100)
@given(
    format=st.sampled_from(FORMATS),
    changes=st.lists(
        st.tuples(st.floats(0, 0.999), st.binary(min_size=1, max_size=40)), max_size=4
    ),
)
def test_a_file_with_random_damage_gives_samples_or_one_line(whole, format, changes):
    content = bytearray(whole[format])
    for place, replacement in changes:
        at = int(place * len(content))
        content[at : at + len(replacement)] = replacement
    try:
        reader = open_audio(io.BytesIO(content))
        with reader:
            n_read = sum(block.shape[1] for block in reader.blocks())
    except InputError as error:
        refuse_several_lines(error)
    else:
        assert n_read > 0
        assert reader.info.n_samples in (None, n_read)


@pytest.mark.parametrize("format", ["wav", "flac", "ogg", "mp3", "m4a", "mp4"])
def test_an_error_of_the_disk_while_reading_is_one_line(whole, format, capfd):
    class Failing(io.BytesIO):
        def read(self, n_bytes: int | None = -1) -> bytes:
            bad_sector = len(whole[format]) // 2
            if self.tell() <= bad_sector < self.tell() + (n_bytes or 0):
                raise OSError(5, "Input/output error")
            return super().read(n_bytes)

    with pytest.raises(InputError, match=r"^cannot read <stream>: Input/output error$"):
        read_audio(Failing(whole[format]))
    assert capfd.readouterr() == ("", "")


def test_packets_that_there_is_no_memory_for_are_not_passed_over(whole, monkeypatch):
    """Damaged ones are before the first frame; here that would leave out sound that is there."""

    class Packet:
        def decode(self):
            raise av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(FfmpegDecoder, "_packets", lambda decoder: iter([Packet()]))
    with pytest.raises(InputError, match=r"0\.00 s of 1\.36 s can be read") as raised:
        open_audio(io.BytesIO(whole["m4a"]))
    assert isinstance(raised.value.__cause__, MemoryError)
