"""Writes tags and cover art into finished files of the formats that we write, with mutagen.

No sample changes, and the same tags give the same bytes: nothing carries a time or a random number.
"""

# mypy: disable-error-code="no-untyped-call"
# (mutagen says that it is typed, but its classes are not)

from __future__ import annotations

import base64
import contextlib
import io
import os
import re
from pathlib import Path
from typing import Any

from stemlight.audio.files import FullWrites
from stemlight.audio.tags import TEXT_FIELDS, Picture, Tags
from stemlight.audio.wav_tags import write_wav_chunks
from stemlight.audio.wording import shown

__all__ = ["write_tags", "write_tags_into"]

_VORBIS_NAMES = {
    "title": "TITLE",
    "artist": "ARTIST",
    "album": "ALBUM",
    "album_artist": "ALBUMARTIST",
    "track_number": "TRACKNUMBER",
    "date": "DATE",
    "genre": "GENRE",
    "comment": "COMMENT",
}
_MP4_NAMES = {
    "title": "\xa9nam",
    "artist": "\xa9ART",
    "album": "\xa9alb",
    "album_artist": "aART",
    "date": "\xa9day",
    "genre": "\xa9gen",
    "comment": "\xa9cmt",
}
_ID3_NAMES = {
    "title": "TIT2",
    "artist": "TPE1",
    "album": "TALB",
    "album_artist": "TPE2",
    "track_number": "TRCK",
    "date": "TDRC",
    "genre": "TCON",
}
_ID3_DATE = re.compile(r"\d{4}(-\d\d(-\d\d)?)?")
_UTF_16 = 1  # which every version of ID3 knows


def write_tags(path: str | os.PathLike[str], tags: Tags) -> tuple[str, ...]:
    """Give a wav, flac, mp3, ogg, opus, m4a or stem.mp4 these tags, in place of those it had.

    Other entries stay. Returns what could not be written, each in one line for people. The change
    is made in place: after an `OSError` the file may be damaged, so write into a file that has not
    got its name yet, as `AudioWriter(..., tags=...)` does.

    Raises:
        OSError: the file cannot be opened or written on.
    """
    with Path(path).open("r+b", buffering=0) as file:
        return write_tags_into(FullWrites(file), tags, shown(path))


def write_tags_into(file: FullWrites, tags: Tags, name: str) -> tuple[str, ...]:
    """Do what `write_tags` does, with an open file."""
    kept = _FaultKeeper(file)
    notes: list[str] = []
    try:
        _write(kept, tags, notes)
    except Exception as error:  # mutagen has many kinds
        if kept.fault is not None:
            raise kept.fault from error
        notes.append(f"tags were not written ({' '.join(str(error).split()) or repr(error)})")
    return tuple(f"{name}: {note}" for note in notes)


def _write(file: _FaultKeeper, tags: Tags, notes: list[str]) -> None:
    file.seek(0)
    start = file.read(64)
    file.seek(0)
    if start[:4] in (b"RIFF", b"RF64"):
        texts = {field: getattr(tags, field) for field in TEXT_FIELDS}
        failure = write_wav_chunks(file, texts, _id3_bytes(tags, notes))
        if failure is not None:
            notes.append(f"tags were not written: {failure}")
    elif start[:4] == b"fLaC":
        _write_flac(file, tags)
    elif start[:4] == b"OggS":
        _write_ogg(file, tags, is_opus=b"OpusHead" in start)
    elif start[4:8] == b"ftyp":
        _write_mp4(file, tags, notes)
    elif start[:3] == b"ID3" or (start[:1] == b"\xff" and start[1] >= 0xE0):
        _write_mp3(file, tags, notes)
    else:
        notes.append("tags were not written: it is no wav, flac, mp3, ogg, opus or m4a")


def _no_padding(_: Any) -> int:
    return 0


# Vorbis comments


def _write_flac(file: _FaultKeeper, tags: Tags) -> None:
    from mutagen.flac import FLAC

    flac = FLAC(file)
    if flac.tags is None:
        flac.add_tags()
    _set_comments(flac, tags)
    flac.clear_pictures()
    for picture in tags.pictures:
        flac.add_picture(_picture_block(picture))
    file.seek(0)
    flac.save(file, padding=_no_padding)


def _write_ogg(file: _FaultKeeper, tags: Tags, *, is_opus: bool) -> None:
    from mutagen.oggopus import OggOpus
    from mutagen.oggvorbis import OggVorbis

    ogg = (OggOpus if is_opus else OggVorbis)(file)
    _set_comments(ogg, tags)
    blocks = [_picture_block(picture).write() for picture in tags.pictures]
    _set(ogg, "METADATA_BLOCK_PICTURE", [base64.b64encode(block).decode() for block in blocks])
    file.seek(0)
    ogg.save(file, padding=_no_padding)


def _set_comments(comments: Any, tags: Tags) -> None:
    for field, name in _VORBIS_NAMES.items():
        text = getattr(tags, field)
        _set(comments, name, [text] if text else [])


def _set(entries: Any, name: str, values: list[Any]) -> None:
    if values:
        entries[name] = values
    else:
        with contextlib.suppress(KeyError):
            del entries[name]


def _picture_block(picture: Picture) -> Any:
    from mutagen.flac import Picture as PictureBlock

    block = PictureBlock()
    block.data, block.mime = picture.data, picture.mime
    block.type, block.desc = picture.kind, picture.description
    return block


# ID3


def _write_mp3(file: _FaultKeeper, tags: Tags, notes: list[str]) -> None:
    from mutagen.id3 import ID3, ID3NoHeaderError

    try:
        id3 = ID3(file)
    except ID3NoHeaderError:
        id3 = ID3()
    _set_frames(id3, tags, notes)
    file.seek(0)
    id3.save(file, v2_version=3, padding=_no_padding)


def _id3_bytes(tags: Tags, notes: list[str]) -> bytes:
    """Return a whole ID3 tag, or nothing for empty tags."""
    from mutagen.id3 import ID3

    if not tags:
        return b""
    id3 = ID3()
    _set_frames(id3, tags, notes)
    file = io.BytesIO()
    id3.save(file, v2_version=3, padding=_no_padding)
    return file.getvalue()


def _set_frames(id3: Any, tags: Tags, notes: list[str]) -> None:
    from mutagen.id3 import APIC, COMM, Frames

    for field, name in _ID3_NAMES.items():
        id3.delall(name)
        text = getattr(tags, field)
        if field == "date" and text and not _ID3_DATE.fullmatch(text):
            year = re.match(r"\d{4}", text)
            text = year[0] if year else ""
            notes.append(f"of the date only {text or 'nothing'} was written: ID3 holds 2019-05-31")
        if text:
            id3.add(Frames[name](encoding=_UTF_16, text=[text]))
    id3.delall("COMM")
    if tags.comment:
        id3.add(COMM(encoding=_UTF_16, lang="eng", desc="", text=[tags.comment]))
    id3.delall("APIC")
    for number, picture in enumerate(tags.pictures):
        # Pictures of one kind and description would replace each other.
        is_double = any(
            (other.kind, other.description) == (picture.kind, picture.description)
            for other in tags.pictures[:number]
        )
        description = f"{picture.description}{number + 1}" if is_double else picture.description
        id3.add(
            APIC(
                encoding=_UTF_16,
                mime=picture.mime,
                type=picture.kind,
                desc=description,
                data=picture.data,
            )
        )
    id3.update_to_v23()


# Atoms of MP4


def _write_mp4(file: _FaultKeeper, tags: Tags, notes: list[str]) -> None:
    from mutagen.mp4 import MP4, MP4Cover

    mp4 = MP4(file)
    if mp4.tags is None:
        mp4.add_tags()
    for field, name in _MP4_NAMES.items():
        text = getattr(tags, field)
        _set(mp4, name, [text] if text else [])
    track = re.fullmatch(r"(\d{1,4})(?:/(\d{1,4}))?", tags.track_number)
    _set(mp4, "trkn", [(int(track[1]), int(track[2] or 0))] if track else [])
    if tags.track_number and not track:
        notes.append(f"the track number was not written: {tags.track_number!r} is no number")
    formats = {"image/jpeg": MP4Cover.FORMAT_JPEG, "image/png": MP4Cover.FORMAT_PNG}
    covers = [x for x in tags.pictures if x.mime in formats]
    _set(mp4, "covr", [MP4Cover(cover.data, formats[cover.mime]) for cover in covers])
    if len(covers) < len(tags.pictures):
        notes.append("a picture was not written: MP4 holds JPEG and PNG only")
    file.seek(0)
    mp4.save(file, padding=_no_padding)


class _FaultKeeper:
    """A file that remembers the error which mutagen turns into one of its own."""

    def __init__(self, file: FullWrites) -> None:
        self._file = file
        self.fault: OSError | None = None

    def read(self, n_bytes: int = -1, /) -> bytes:
        return self._file.read(n_bytes)

    def write(self, content: bytes, /) -> int:
        try:
            return self._file.write(content)
        except OSError as error:
            self.fault = error
            raise

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        """Do nothing: there is no buffer."""

    def truncate(self, n_bytes: int | None = None) -> int:
        return self._file.truncate(n_bytes)
