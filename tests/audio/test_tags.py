"""Tags and cover art: from any format to any that we write, with no sample changed."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import av
import mutagen
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stemlight.audio import FORMATS, AudioWriter, Picture, Tags, read_audio, read_tags, write_tags
from stemlight.audio.tags import TEXT_FIELDS

from .material import Pipe, encode, noise, wav_bytes

SOUND = noise(2, 20_001)
PNG = (
    b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 1, 1, 8, 2, 0, 0, 0) + bytes(200)
)
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(300) + b"\xff\xd9"
COVER = Picture(data=PNG, mime="image/png", description="sleeve")
TAGS = Tags(
    title="Où est la mélodie? 노래",
    artist="The Band",
    album="Songs",
    album_artist="Various",
    track_number="3/12",
    date="2019-05-31",
    genre="Rock",
    comment="first line\nsecond line",
    pictures=(COVER,),
)


def written(path: Path, **arguments) -> Path:
    with AudioWriter(path, sample_rate_hz=48000, n_channels=2, **arguments) as writer:
        writer.write(SOUND)
    return path


def texts_of(tags: Tags) -> dict[str, str]:
    return {name: getattr(tags, name) for name in TEXT_FIELDS}


@pytest.fixture(scope="module")
def songs(tmp_path_factory) -> dict[str, Path]:
    """The same sound with the same tags in every format of ours."""
    folder = tmp_path_factory.mktemp("songs")
    return {format: written(folder / f"x.{format}", tags=TAGS) for format in FORMATS}


# There and back


@pytest.mark.parametrize("format", FORMATS)
def test_all_texts_and_the_cover_come_back(songs, format):
    tags = read_tags(songs[format])
    assert texts_of(tags) == texts_of(TAGS)
    [picture] = tags.pictures
    assert (picture.data, picture.mime, picture.kind) == (PNG, "image/png", 3)
    assert tags.notes == ()


@pytest.mark.parametrize("format", FORMATS)
def test_no_sample_changes(songs, tmp_path, format):
    plain = read_audio(written(tmp_path / f"x.{format}")).samples
    np.testing.assert_array_equal(read_audio(songs[format]).samples, plain)


@pytest.mark.parametrize("format", FORMATS)
def test_the_same_tags_give_the_same_bytes_once_or_twice(songs, tmp_path, format):
    path = written(tmp_path / f"x.{format}")
    assert write_tags(path, TAGS) == ()
    once = path.read_bytes()
    assert once == songs[format].read_bytes()
    write_tags(path, TAGS)
    assert path.read_bytes() == once


@pytest.mark.parametrize("format", FORMATS)
def test_new_tags_take_the_place_of_old_ones(songs, tmp_path, format):
    path = tmp_path / f"x.{format}"
    path.write_bytes(songs[format].read_bytes())
    write_tags(path, Tags(title="Other", pictures=(Picture(data=JPEG, mime="image/jpeg"),)))
    tags = read_tags(path)
    assert texts_of(tags) == texts_of(Tags(title="Other"))
    assert [picture.data for picture in tags.pictures] == [JPEG]
    write_tags(path, Tags())
    assert not read_tags(path)
    samples = read_audio(songs[format]).samples
    np.testing.assert_array_equal(read_audio(path).samples, samples)


@pytest.mark.parametrize("format", FORMATS)
def test_several_pictures_are_kept_with_what_they_show(tmp_path, format):
    pictures = (COVER, Picture(data=JPEG, mime="image/jpeg", kind=4), COVER)
    path = written(tmp_path / f"x.{format}", tags=Tags(pictures=pictures))
    found = read_tags(path).pictures
    assert [x.data for x in found] == [PNG, JPEG, PNG]
    expected = [3, 3, 3] if format == "m4a" else [3, 4, 3]  # m4a does not say what they show
    assert [x.kind for x in found] == expected


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("x.mp3", "libmp3lame"),
        ("x.m4a", "aac"),
        ("x.mkv", "aac"),
        ("x.flac", "flac"),
        ("x.opus", "libopus"),
        ("x.wma", "wmav2"),
        ("x.wav", "pcm_s16le"),
    ],
)
def test_tags_of_other_programs_are_read(tmp_path, name, codec):
    encode(tmp_path / name, SOUND, codec=codec, sample_rate_hz=48000)
    with (
        av.open(str(tmp_path / name)) as old,
        av.open(str(tmp_path / f"tagged-{name}"), "w") as new,
    ):
        new.metadata.update(title="Song", artist="The Band")
        stream = new.add_stream_from_template(old.streams.audio[0])
        for packet in old.demux(old.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    tags = read_tags(tmp_path / f"tagged-{name}")
    assert (tags.title, tags.artist) == ("Song", "The Band")


def test_other_readers_find_the_texts(songs):
    assert mutagen.File(songs["flac"])["TITLE"] == [TAGS.title]
    assert mutagen.File(songs["ogg"])["TITLE"] == [TAGS.title]
    assert mutagen.File(songs["opus"])["TITLE"] == [TAGS.title]
    assert mutagen.File(songs["mp3"])["TIT2"].text == [TAGS.title]
    assert mutagen.File(songs["wav"])["TIT2"].text == [TAGS.title]
    assert mutagen.File(songs["m4a"])["\xa9nam"] == [TAGS.title]
    with soundfile.SoundFile(songs["wav"]) as file:
        assert file.title == TAGS.title  # which reads the INFO list


def test_the_title_gets_a_suffix():
    assert TAGS.with_title(" (vocals)").title == f"{TAGS.title} (vocals)"
    assert Tags().with_title(" (vocals)", of="song").title == "song (vocals)"


# WAV


def test_tags_of_a_wav_stand_behind_the_sound_and_its_size_is_right(songs):
    content = songs["wav"].read_bytes()
    assert int.from_bytes(content[4:8], "little") == len(content) - 8
    assert content.index(b"data") < content.index(b"LIST") < content.index(b"id3 ")


def test_older_tags_before_the_sound_become_fillers(tmp_path):
    old = b"INFOINAM\x04\0\0\0Old\0"
    content = wav_bytes(SOUND, 48000)
    content = content[:12] + struct.pack("<4sI", b"LIST", len(old)) + old + content[12:]
    path = tmp_path / "x.wav"
    path.write_bytes(content)
    assert read_tags(path).title == "Old"
    write_tags(path, Tags(title="New"))
    assert read_tags(path).title == "New"
    np.testing.assert_array_equal(read_audio(path).samples, SOUND)


def test_rf64_gets_tags_too(tmp_path):
    soundfile.write(tmp_path / "x.wav", SOUND.T, 48000, format="RF64", subtype="FLOAT")
    assert write_tags(tmp_path / "x.wav", TAGS) == ()
    assert read_tags(tmp_path / "x.wav").title == TAGS.title
    np.testing.assert_array_equal(read_audio(tmp_path / "x.wav").samples, SOUND)


def test_a_wav_that_would_outgrow_its_limit_gets_none(tmp_path):
    path = tmp_path / "x.wav"
    header = written(path).read_bytes()[:80]
    with path.open("r+b") as file:
        file.truncate(0xFFFFFFFF + 8 - 100)  # a hole takes no space
    assert write_tags(path, TAGS) == (
        f"{path}: tags were not written: the file would outgrow the 4 GiB of a WAV",
    )
    assert path.read_bytes()[:80] == header if path.stat().st_size < 1e6 else True


# What cannot be carried


def test_pictures_of_more_than_16_mb_are_left_out_with_a_note(tmp_path):
    huge = Picture(data=PNG + bytes(17_000_000), mime="image/png")
    path = written(tmp_path / "x.mp3", tags=Tags(title="Song", pictures=(COVER, huge)))
    tags = read_tags(path)
    assert (tags.title, len(tags.pictures)) == ("Song", 1)
    assert tags.notes == (
        f"{path} has a picture of 17.0 MB, which is left out: 16 MB of pictures are carried",
    )


def test_what_a_format_cannot_hold_is_noted_and_the_rest_is_written(tmp_path):
    webp = Picture(data=b"RIFF\x10\0\0\0WEBP" + bytes(30), mime="image/webp")
    tags = Tags(title="Song", track_number="B2", date="May 2019", pictures=(webp,))
    path = written(tmp_path / "x.m4a")
    assert write_tags(path, tags) == (
        f"{path}: the track number was not written: 'B2' is no number",
        f"{path}: a picture was not written: MP4 holds JPEG and PNG only",
    )
    assert read_tags(path).title == "Song"
    path = written(tmp_path / "x.mp3")
    assert write_tags(path, tags) == (
        f"{path}: of the date only nothing was written: ID3 holds 2019-05-31",
    )
    assert read_tags(path).track_number == "B2"


def test_a_file_of_another_format_is_left_alone(tmp_path):
    (tmp_path / "x.txt").write_bytes(b"no sound" * 100)
    [note] = write_tags(tmp_path / "x.txt", TAGS)
    assert note.endswith("tags were not written: it is no wav, flac, mp3, ogg, opus or m4a")
    assert (tmp_path / "x.txt").read_bytes() == b"no sound" * 100


# Nothing breaks


@pytest.mark.parametrize("format", FORMATS)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_damaged_tags_never_raise(songs, format, data):
    content = bytearray(songs[format].read_bytes())
    for _ in range(data.draw(st.integers(1, 20))):
        # Mostly where tags are: at one of the ends.
        place = data.draw(st.integers(-1500, 1500)) % len(content)
        content[place] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.sampled_from([len(content), len(content) // 2, 100, 9]))]
    tags = read_tags(io.BytesIO(content))
    assert all("\n" not in note for note in tags.notes)
    path = songs[format].with_name(f"damaged.{format}")
    path.write_bytes(content)
    assert all("\n" not in note for note in write_tags(path, TAGS))


def test_what_is_no_sound_has_no_tags(tmp_path):
    (tmp_path / "x.mp3").write_bytes(os.urandom(5000))
    assert not read_tags(tmp_path / "x.mp3")
    assert not read_tags(tmp_path / "missing.mp3")
    assert not read_tags(tmp_path)
    assert not read_tags(Pipe(wav_bytes(SOUND)))


def test_an_error_of_the_disk_is_one_of_the_disk(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_tags(tmp_path / "missing.mp3", TAGS)


@pytest.mark.parametrize("format", FORMATS)
def test_a_disk_that_is_full_of_tags_leaves_nothing(tmp_path, format):
    import resource

    from stemlight.errors import OutputError

    large = Picture(data=PNG + bytes(2_000_000), mime="image/png")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, old[1]))
    try:
        with pytest.raises(OutputError, match=r"cannot write .*: File too large; the file system"):
            written(tmp_path / f"x.{format}", tags=Tags(pictures=(large,)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert list(tmp_path.iterdir()) == []
