"""What a song is called and whose it is: tags and cover art, read from any file that FFmpeg opens.

FFmpeg reads ID3, RIFF INFO, Vorbis comments, atoms of MP4, Matroska's tags and attachments alike,
and gives them the same names. Writing is in `tag_writing`, for the formats that we write.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemlight.audio.files import ReadableFile, SourceFile
from stemlight.audio.wav import promised_samples
from stemlight.audio.wording import shown

__all__ = ["TEXT_FIELDS", "Picture", "Tags", "read_tags"]

_MOST_PICTURE_BYTES = 16_000_000  # altogether; a block of FLAC holds 16.7 MB
_MOST_CHARACTERS = 10_000  # of one text: some programs keep whole books in comments
_NO_OTHER_FILES = {"protocol_whitelist": "none"}

# FFmpeg's name of each text, and those that it leaves as they are in the file.
_NAMES_OF = {
    "title": ("title",),
    "artist": ("artist", "author"),
    "album": ("album",),
    "album_artist": ("album_artist", "albumartist", "album artist"),
    "track_number": ("track", "tracknumber"),
    "date": ("date", "year", "creation_date"),
    "genre": ("genre",),
    "comment": ("comment", "description"),
}

TEXT_FIELDS = tuple(_NAMES_OF)
"""The texts among the fields of `Tags`."""

# What a picture shows, by its number in ID3 and FLAC.
_KINDS = (
    "Other",
    "32x32 pixels 'file icon'",
    "Other file icon",
    "Cover (front)",
    "Cover (back)",
    "Leaflet page",
    "Media (e.g. label side of CD)",
    "Lead artist/lead performer/soloist",
    "Artist/performer",
    "Conductor",
    "Band/Orchestra",
    "Composer",
    "Lyricist/text writer",
    "Recording Location",
    "During recording",
    "During performance",
    "Movie/video screen capture",
    "A bright coloured fish",
    "Illustration",
    "Band/artist logotype",
    "Publisher/Studio logotype",
)
_FRONT_COVER = 3

_MAGIC_WORDS = (
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"\x89PNG", "image/png"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"RIFF", "image/webp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture in a sound file, as the bytes of an image file."""

    data: bytes
    mime: str
    kind: int = _FRONT_COVER
    """What it shows, by the numbers of ID3 and FLAC: 3 is the front cover."""
    description: str = ""

    def __repr__(self) -> str:
        return f"Picture({self.mime}, {len(self.data)} bytes, kind {self.kind})"


@dataclass(frozen=True, kw_only=True)
class Tags:
    """What a file says about its music; an empty text is one that it does not have."""

    title: str = ""
    artist: str = ""
    album: str = ""
    album_artist: str = ""
    track_number: str = ""
    """As it is written: `3` or `3/12`."""
    date: str = ""
    """As it is written: mostly `2019` or `2019-05-31`."""
    genre: str = ""
    comment: str = ""
    pictures: tuple[Picture, ...] = ()
    notes: tuple[str, ...] = ()
    """What could not be read, each in one line for people; it is never written."""

    def __bool__(self) -> bool:
        return bool(self.pictures) or any(getattr(self, name) for name in TEXT_FIELDS)

    def with_title(self, suffix: str, *, of: str = "") -> Tags:
        """Return the same with a suffix to the title, or to `of` where the song has no title."""
        return dataclasses.replace(self, title=f"{self.title or of}{suffix}")


def read_tags(source: str | os.PathLike[str] | ReadableFile) -> Tags:
    """Read texts and pictures, from any file that holds sound.

    Never fails: what cannot be read is missing, and `notes` says why. Pictures of more than 16 MB
    together are left out. A file object must be able to seek; where it stands afterwards is
    undefined.
    """
    name = shown(source) if isinstance(source, str | os.PathLike) else "<stream>"
    try:
        if not isinstance(source, str | os.PathLike):
            return _read(source, name) if source.seekable() else Tags()
        if not Path(source).is_file():  # a pipe could be read only once
            return Tags()
        with Path(source).open("rb") as file:
            return _read(file, name)
    except Exception as error:  # whatever tags hold, the music is what counts
        return Tags(notes=(f"tags of {name} cannot be read ({_line_of(error)})",))


def _read(file: ReadableFile, name: str) -> Tags:
    import av  # here, to keep `import stemlight` cheap

    promised_samples(file)  # which fails where FFmpeg would take minutes
    file.seek(0)
    with av.open(SourceFile(file), metadata_errors="replace", options=_NO_OTHER_FILES) as container:
        found = _lowered(container.metadata)
        for stream in container.streams.audio[:1]:  # Ogg has them in the stream
            found = _lowered(stream.metadata) | found
        pictures, notes = _pictures(container, name)
    texts = {field: _text(found, names) for field, names in _NAMES_OF.items()}
    return Tags(**texts, pictures=pictures, notes=notes)


def _lowered(metadata: dict[str, str]) -> dict[str, str]:
    return {key.lower(): text for key, text in metadata.items()}


def _text(found: dict[str, str], names: tuple[str, ...]) -> str:
    for name in names:
        text = found.get(name, "").replace("\0", "").strip()
        if text:
            return text[:_MOST_CHARACTERS]
    return ""


def _pictures(container: Any, name: str) -> tuple[tuple[Picture, ...], tuple[str, ...]]:
    from av.stream import Disposition

    pictures: list[Picture] = []
    notes: list[str] = []
    n_bytes = 0
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            continue
        data = _first_packet(container, stream)
        mime = next((mime for magic, mime in _MAGIC_WORDS if data.startswith(magic)), None)
        if mime is None:
            notes.append(f"{name} has a picture of an unknown kind, which is left out")
        elif n_bytes + len(data) > _MOST_PICTURE_BYTES:
            notes.append(
                f"{name} has a picture of {len(data) / 1e6:.1f} MB, which is left out: "
                f"{_MOST_PICTURE_BYTES // 1_000_000} MB of pictures are carried"
            )
        else:
            n_bytes += len(data)
            words = _lowered(stream.metadata)
            kind = words.get("comment", "")
            pictures.append(
                Picture(
                    data=data,
                    mime=mime,
                    kind=_KINDS.index(kind) if kind in _KINDS else _FRONT_COVER,
                    description=_text(words, ("title",)),
                )
            )
    return tuple(pictures), tuple(notes)


def _first_packet(container: Any, stream: Any) -> bytes:
    for packet in container.demux(stream):
        return bytes(packet)
    return b""


def _line_of(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
