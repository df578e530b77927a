"""Finds tracks below a folder, whatever they are stored in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from stemlight.audio.wording import reason, shown
from stemlight.errors import InputError
from stemlight.tracks.files import MIXTURE, SoundFile, StemSource, TrackFiles
from stemlight.tracks.stems_yaml import (
    AUDIO_SUFFIXES,
    STEMS_YAML,
    StemsYaml,
    match_every_file,
    match_files,
    read_stems_yaml,
)
from stemlight.tracks.walking import walk

__all__ = ["STEM_MP4_ORDER", "find_tracks", "raise_refused"]

STEM_MP4_ORDER = (MIXTURE, "drums", "bass", "other", "vocals")
"""Order of the audio streams in the STEM mp4 files of MUSDB18."""

_STEM_MP4_SUFFIX = ".stem.mp4"


def raise_refused(error: InputError) -> None:
    """Take nothing that was refused."""
    raise error


def find_tracks(
    root: Path,
    *,
    sources: Iterable[str],
    renamed: Mapping[str, str] | None = None,
    on_refused: Callable[[InputError], None] = raise_refused,
) -> list[TrackFiles]:
    """Find all tracks below `root` that have one of the `sources`, sorted by name.

    `renamed` maps file stems to source names, for material that is named otherwise: with
    `{"guitar": "other"}` the file `guitar.ogg` serves as `other`. Where a `stems.yaml` speaks of a
    folder, it alone does, and what lies below the folder belongs to its track. Hidden files and
    folders, whose names begin with a dot, are no tracks; links to folders are followed.

    `on_refused` is told of a folder that cannot be read or whose `stems.yaml` is wrong; if it
    returns, the search goes on.

    Raises:
        InputError: `root` is no folder, or holds no track; its own `stems.yaml` is wrong.
        MissingExtraError: there is a `stems.yaml`, and PyYAML is not installed.
    """
    if not root.is_dir():
        raise InputError(f"{shown(root)} is not a folder; give a folder of tracks with stems")
    search = _Search(root, tuple(sources), renamed or {}, on_refused)
    tracks = sorted(search.tracks(), key=lambda track: track.name)
    if not tracks:
        raise InputError(
            f"{shown(root)} holds no tracks; expected *{_STEM_MP4_SUFFIX} files, folders with "
            f"{', '.join(sorted(search.stem_of_file))} as audio files, or a {STEMS_YAML} that "
            "names their files"
        )
    return tracks


class _Search:
    def __init__(
        self,
        root: Path,
        sources: tuple[str, ...],
        renamed: Mapping[str, str],
        on_refused: Callable[[InputError], None],
    ) -> None:
        self.root = root
        self.sources = sources
        self.stem_of_file = {name: name for name in sources} | dict(renamed)
        self.has_own_mixtures = not renamed
        self.on_refused = on_refused
        path = root / STEMS_YAML
        self.yaml_of_root = read_stems_yaml(path) if path.is_file() else StemsYaml(patterns={})

    def tracks(self) -> Iterator[TrackFiles]:
        for folder, folders, names in walk(self.root, self._refuse):
            files = [folder / name for name in names]
            try:
                mapped = self._mapped(folder, has_own=STEMS_YAML in names)
                named = {} if mapped else self._named(files)
            except InputError as error:
                self.on_refused(error)
                folders.clear()
                continue
            if mapped:
                folders.clear()  # what lies below are its parts
            else:
                yield from map(_stem_mp4, filter(_is_stem_mp4, files))
                mapped = [(_name_of(folder), named)]
            for name, stems in mapped:
                if track := self._track(name, stems):
                    yield track

    def _mapped(self, folder: Path, *, has_own: bool) -> list[tuple[str, dict[str, StemSource]]]:
        """Return name and stems of each track that a `stems.yaml` makes of the folder."""
        content, own = self.yaml_of_root, False
        if has_own and folder != self.root:
            content, own = read_stems_yaml(folder / STEMS_YAML), True
        if content.every_file is not None:
            return match_every_file(folder, content)
        stems = match_files(folder, content.patterns, own=own)
        return [(_name_of(folder), stems)] if stems else []

    def _named(self, files: list[Path]) -> dict[str, StemSource]:
        names = dict(self.stem_of_file)
        if self.has_own_mixtures:
            names[MIXTURE] = MIXTURE
        found: dict[str, Path] = {}
        for path in files:
            stem = names.get(path.stem.lower())
            if stem is None or path.suffix.lower() not in AUDIO_SUFFIXES:
                continue
            if stem in found:
                raise InputError(
                    f"{shown(path.parent)} has both {shown(found[stem].name)} and "
                    f"{shown(path.name)} for {stem}; remove one, or say in {STEMS_YAML} which to "
                    "take"
                )
            found[stem] = path
        return {stem: StemSource(files=(SoundFile(path=path),)) for stem, path in found.items()}

    def _track(self, name: str, stems: dict[str, StemSource]) -> TrackFiles | None:
        mixture = stems.pop(MIXTURE, None)
        if not any(source in stems for source in self.stem_of_file.values()):
            return None
        return TrackFiles(name=name, stems=stems, mixture=mixture)

    def _refuse(self, error: OSError) -> None:
        self.on_refused(InputError(f"cannot read {shown(error.filename)}: {reason(error)}"))


def _name_of(folder: Path) -> str:
    return folder.name or folder.resolve().name  # the current folder is called ""


def _is_stem_mp4(path: Path) -> bool:
    return path.name.endswith(_STEM_MP4_SUFFIX)


def _stem_mp4(path: Path) -> TrackFiles:
    streams = {
        name: StemSource(files=(SoundFile(path=path, stream=i),))
        for i, name in enumerate(STEM_MP4_ORDER)
    }
    mixture = streams.pop(MIXTURE)
    return TrackFiles(name=path.name.removesuffix(_STEM_MP4_SUFFIX), stems=streams, mixture=mixture)
