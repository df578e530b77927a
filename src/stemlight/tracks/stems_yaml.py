"""Reads `stems.yaml`, which says which files of a track's folder are which source.

    vocals: vox.wav
    drums: [kick.wav, snare.wav, "oh_*.wav"]    # summed
    bass: []                                     # there is none: known to be silent
    mixture: master.wav                          # without it the mixture is the sum of the stems

In a track's folder it speaks of that track, and each name must match a file. Beside many track
folders it speaks of all that have none of their own; those may lack some of the files.

Material of one kind needs no folder for each track:

    every_file: drums                            # in and below this folder, each a track of its own
    vocals: []
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NoReturn

from stemlight.audio.wording import reason, shown
from stemlight.errors import InputError, MissingExtraError
from stemlight.tracks.files import MIXTURE, SoundFile, StemSource
from stemlight.tracks.walking import walk

__all__ = [
    "AUDIO_SUFFIXES",
    "STEMS_YAML",
    "Patterns",
    "StemsYaml",
    "match_every_file",
    "match_files",
    "read_stems_yaml",
]

STEMS_YAML = "stems.yaml"
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aiff", ".opus")
"""What is taken for a stem where no file name is spelled out."""

Patterns = Mapping[str, tuple[str, ...]]
"""File names and globs of each source; none for one that is known to be silent."""

_EVERY_FILE = "every_file"
_ALLOWED = "allowed is `source: file` or `source: [file, glob, ...]`, such as drums: [kick.wav]"


@dataclass(frozen=True, kw_only=True)
class StemsYaml:
    """What the file says."""

    patterns: Patterns
    every_file: str | None = None  # what each file is: a source, or the mixture


def read_stems_yaml(path: Path) -> StemsYaml:
    """Read the file names of each source.

    Raises:
        InputError: the file cannot be read, or is no mapping of sources to names and globs of files
            in or below its folder.
        MissingExtraError: PyYAML is not installed.
    """
    content = _parsed(path)
    if not isinstance(content, Mapping) or not content:
        got = "nothing" if not content else f"a {type(content).__name__}"
        raise InputError(f"{shown(path)} holds {got}; {_ALLOWED}")
    every_file = None
    if _EVERY_FILE in content:
        every_file = _source(path, content[_EVERY_FILE])
    patterns = {
        _source(path, name): _names(path, name, value)
        for name, value in content.items()
        if name != _EVERY_FILE
    }
    _refuse_nonsense(path, patterns, every_file)
    return StemsYaml(patterns=patterns, every_file=every_file)


def match_every_file(folder: Path, content: StemsYaml) -> list[tuple[str, dict[str, StemSource]]]:
    """Return name and stems of the track that each audio file in and below `folder` is, sorted.

    Raises:
        InputError: there is none.
    """
    assert content.every_file is not None
    paths = _sounds_below(folder)
    if not paths:
        raise InputError(
            f"{shown(folder / STEMS_YAML)}: {_EVERY_FILE} is {content.every_file!r}, but there is "
            f"no file with one of {' '.join(AUDIO_SUFFIXES)}; put it into the folder of the files"
        )
    kind, silent = content.every_file, dict.fromkeys(content.patterns, StemSource(files=()))
    return [
        (
            path.relative_to(folder).with_suffix("").as_posix(),
            {kind: StemSource(files=(SoundFile(path=path),))} | silent,
        )
        for path in paths
    ]


def match_files(folder: Path, patterns: Patterns, *, own: bool) -> dict[str, StemSource]:
    """Find the files of each source in `folder`, sources without a file left out.

    Those that are known to be silent are in the result if there is a file of any other.

    Raises:
        InputError: `own`, so that the names were meant for this folder, and one matches nothing;
            or the folder cannot be read.
    """
    stems = {}
    for source, names in patterns.items():
        files: dict[Path, None] = {}  # those that two globs match count once
        for name in names:
            found = _matches(folder, name)
            if own and not found:
                raise InputError(
                    f"{shown(folder / STEMS_YAML)}: no file matches {name!r} of {source!r}; "
                    "correct the name or take it out"
                )
            files |= dict.fromkeys(found)
        if files or not names:
            stems[source] = StemSource(files=tuple(SoundFile(path=path) for path in files))
    return {} if all(stem.is_known_silent for stem in stems.values()) else stems


def _parsed(path: Path) -> Any:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"reading {shown(path)} needs {error.name}, which is not installed; "
            "run: pip install 'stemlight[train]'"
        ) from error
    try:
        # The base loader leaves all scalars text, as names of files are: `1.10` and `no`, too.
        return yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader)
    except OSError as error:
        raise InputError(f"cannot read {shown(path)}: {reason(error)}") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:  # ValueError: no UTF-8
        why = " ".join(str(error).split())
        raise InputError(f"{shown(path)} is no readable YAML ({why}); {_ALLOWED}") from error


def _source(path: Path, name: Any) -> str:
    # Names become columns of tables, and names of files.
    if not isinstance(name, str) or not name or not name.isprintable() or "/" in name:
        raise InputError(f"{shown(path)}: {name!r} is no name of a source; {_ALLOWED}")
    return name


def _names(path: Path, source: str, value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not all(isinstance(name, str) and name for name in names):
        raise InputError(f"{shown(path)}: {source!r} has {value!r}; {_ALLOWED}")
    for name in names:
        parts = PurePath(name).parts
        if PurePath(name).is_absolute() or not parts or ".." in parts or "\0" in name:
            raise InputError(
                f"{shown(path)}: {name!r} of {source!r} must be a file in or below the track's "
                "folder"
            )
        if any("**" in part and part != "**" for part in parts):
            raise InputError(
                f"{shown(path)}: {name!r} of {source!r} has ** beside other letters; "
                "write `*`, or `**` between slashes"
            )
    return tuple(names)


def _refuse_nonsense(path: Path, patterns: Patterns, every_file: str | None) -> None:
    if patterns.get(MIXTURE) == ():
        raise InputError(f"{shown(path)}: {MIXTURE!r} has [], but a mixture must have a sound")
    if every_file is None:
        if not any(patterns.values()):
            raise InputError(f"{shown(path)} names no file; {_ALLOWED}")
        return
    for source, names in patterns.items():
        if names or source == every_file:
            raise InputError(
                f"{shown(path)}: beside {_EVERY_FILE}: {every_file} there may be sources that are "
                f"silent alone, such as vocals: []; {source!r} is not"
            )
    if every_file == MIXTURE and not patterns:
        raise InputError(
            f"{shown(path)}: nothing is known of these mixtures; say what they lack, such as "
            "vocals: []"
        )


def _sounds_below(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> NoReturn:
        raise InputError(f"cannot read {shown(error.filename)}: {reason(error)}") from error

    return sorted(
        path
        for here, _, names in walk(folder, refuse)
        for path in (here / name for name in names)
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()
    )


def _matches(folder: Path, name: str) -> list[Path]:
    try:
        if (folder / name).is_file():  # names may hold brackets, so this comes before globs
            return [folder / name]
        return sorted(
            path
            for path in folder.glob(name)
            if path.suffix.lower() in AUDIO_SUFFIXES
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
            and path.is_file()
        )
    except OSError as error:  # a name that is too long, for example
        raise InputError(
            f"cannot look for {name!r} of {STEMS_YAML} in {shown(folder)}: {reason(error)}"
        ) from error
