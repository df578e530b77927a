"""A static page of separated songs, like the demonstration pages of papers.

It has no scripts and needs nothing from elsewhere, so any web host can show it, and so can a
browser that opens the file. Names of songs are text in it and never parts of paths.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemlight._version import __version__
from stemlight.audio import Audio, open_audio
from stemlight.audio.formats import check_layout
from stemlight.audio.pending import PendingFile
from stemlight.audio.wording import shown
from stemlight.errors import InputError, OutputError, UsageError

__all__ = ["ORIGINAL", "Excerpt", "GalleryTrack", "add_track", "check_gallery_folder", "write_page"]

ORIGINAL = "original"
"""The column of the songs as they came."""

_PAGE = "index.html"
_BIT_RATE_KBPS = 192

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 90rem; margin: 0 auto; padding: 2rem 1.25rem }
h1 { font-size: 1.6rem } p { max-width: 46rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .6rem .75rem; border-bottom: 1px solid #8884 }
tbody th { font-weight: 600; overflow-wrap: anywhere; min-width: 9rem }
audio { width: 100%; min-width: 9rem; height: 40px; display: block }
td > span { display: none }
footer { margin-top: 2rem; font-size: .875rem; opacity: .75 }
@media (max-width: 60rem) {
  thead { display: none }
  tr, th, td { display: block; border: 0; padding: .2rem 0 }
  tr { padding: .8rem 0; border-bottom: 1px solid #8884 }
  td > span { display: block; font-size: .8125rem; opacity: .75 }
}
"""


@dataclass(frozen=True, kw_only=True)
class Excerpt:
    """Which part of every song is shown.

    Raises:
        UsageError: it starts before the song, or has no length.
    """

    start_seconds: float = 0.0
    seconds: float | None = 30.0
    """None is all of the rest."""

    def __post_init__(self) -> None:
        if not self.start_seconds >= 0:
            raise UsageError(f"an excerpt starts at 0 s or later, not at {self.start_seconds:g} s")
        if self.seconds is not None and not self.seconds > 0:
            raise UsageError(f"an excerpt must be longer than 0 s, not {self.seconds:g} s")

    def read(self, song: Path) -> Audio:
        """Read this part of a song, and no more of it.

        Raises:
            InputError: the song cannot be read, or ends before the excerpt starts.
        """
        blocks, n_read = [], 0
        with open_audio(song) as reader:
            rate_hz = reader.info.sample_rate_hz
            first = round(self.start_seconds * rate_hz)
            end = None if self.seconds is None else first + max(1, round(self.seconds * rate_hz))
            for block in reader.blocks():
                stop = None if end is None else end - n_read
                blocks.append(block[:, max(0, first - n_read) : stop].copy())  # the rest can go
                n_read += block.shape[1]
                if end is not None and n_read >= end:
                    break
        samples = np.concatenate(blocks, axis=1)
        if not samples.shape[1]:
            raise InputError(
                f"{shown(song)} has {n_read / rate_hz:g} s, so no excerpt of it starts at "
                f"{self.start_seconds:g} s; choose an earlier --start"
            )
        return Audio(samples, rate_hz)


@dataclass(frozen=True)
class GalleryTrack:
    """A row of the page: a name, and for each column the file that it plays."""

    name: str
    files: Mapping[str, str]
    """By `original` and the stems' names; paths relative to the page."""


def check_gallery_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that already holds a page.

    Raises:
        OutputError: it does, and `overwrite` is false.
    """
    if (folder / _PAGE).exists() and not overwrite:
        raise OutputError(
            f"{shown(folder / _PAGE)} exists already; add --overwrite, or choose another folder"
        )


def add_track(
    song: Path,
    folder: Path,
    *,
    number: int,
    separate: Callable[[Audio], Mapping[str, Audio]],
    excerpt: Excerpt,
) -> GalleryTrack:
    """Separate an excerpt of a song, and write what the page plays into a folder of its number.

    Sound is MP3, or WAV of 16 bits where MP3 cannot hold it.

    Raises:
        InputError: the song cannot be read.
        OutputError: a file cannot be written.
    """
    original = excerpt.read(song)
    files = {}
    for name, audio in {ORIGINAL: original, **separate(original)}.items():
        path = Path(f"{number:03d}") / f"{name}.{_format(audio)}"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".mp3":
            audio.save(folder / path, bit_rate_kbps=_bit_rate_kbps(audio))
        else:
            audio.save(folder / path, bit_depth="16")
        files[name] = path.as_posix()
    return GalleryTrack(song.stem, files)


def write_page(tracks: Sequence[GalleryTrack], folder: Path, *, title: str, about: str) -> Path:
    """Write the page of all tracks, at once or not at all; return its path.

    Raises:
        OutputError: it cannot be written.
    """
    pending = PendingFile(folder / _PAGE, overwrite=True)
    try:
        pending.open().write(_page(tracks, title, about).encode())
        pending.place()
    except OSError as error:
        raise pending.error(error) from error
    finally:
        pending.discard()
    return folder / _PAGE


def _format(audio: Audio) -> str:
    try:
        check_layout("mp3", sample_rate_hz=audio.sample_rate_hz, n_channels=audio.n_channels)
    except UsageError:
        return "wav"
    return "mp3"


def _bit_rate_kbps(audio: Audio) -> int | None:
    """Return the page's bit rate where MP3 has it: the low sample rates end at 160."""
    return _BIT_RATE_KBPS if audio.sample_rate_hz >= 32000 else None


def _page(tracks: Sequence[GalleryTrack], title: str, about: str) -> str:
    columns = list(dict.fromkeys(column for track in tracks for column in track.files))
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    rows = "\n".join(_row(track, columns) for track in tracks)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{html.escape(title)}</h1>
<p>{html.escape(about)}</p>
<table>
<thead><tr><th scope="col">track</th>{head}</tr></thead>
<tbody>
{rows}
</tbody>
</table>
<footer>Made by stemlight {__version__}</footer>
</body>
</html>
"""


def _row(track: GalleryTrack, columns: Sequence[str]) -> str:
    cells = []
    for column in columns:
        file = track.files.get(column)
        label = html.escape(f"{track.name}: {column}")
        player = (
            "–"
            if file is None
            else f'<audio controls preload="none" src="{html.escape(file)}" aria-label="{label}">'
            "</audio>"
        )
        cells.append(f"<td><span>{html.escape(column)}</span>{player}</td>")
    return f'<tr><th scope="row">{html.escape(track.name)}</th>{"".join(cells)}</tr>'
