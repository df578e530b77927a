"""Reads `stems.yaml`, which says which files of a track's folder are which source.

    vocals: vox.wav
    drums: [kick.wav, snare.wav, "oh_*.wav"]    # summed
    mixture: master.wav                          # without it the mixture is the sum of the stems

In a track's folder it speaks of that track, and each name must match a file. Beside many track
folders it speaks of all that have none of their own; those may lack some of the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from stemlight.audio.wording import reason, shown
from stemlight.errors import InputError, MissingExtraError
from stemlight.tracks.files import SoundFile, StemSource

__all__ = ["AUDIO_SUFFIXES", "STEMS_YAML", "Patterns", "match_files", "read_stems_yaml"]

STEMS_YAML = "stems.yaml"
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3", ".m4a", ".aiff", ".opus")
"""What is taken for a stem where no file name is spelled out."""

Patterns = Mapping[str, tuple[str, ...]]
"""File names and globs of each source."""

_ALLOWED = "allowed is `source: file` or `source: [file, glob, ...]`, such as drums: [kick.wav]"


def read_stems_yaml(path: Path) -> Patterns:
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
    return {_source(path, name): _names(path, name, value) for name, value in content.items()}


def match_files(folder: Path, patterns: Patterns, *, own: bool) -> dict[str, StemSource]:
    """Find the files of each source in `folder`, sources without a file left out.

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
        if files:
            stems[source] = StemSource(files=tuple(SoundFile(path=path) for path in files))
    return stems


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
    if not names or not all(isinstance(name, str) and name for name in names):
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


def _matches(folder: Path, name: str) -> list[Path]:
    try:
        if (folder / name).is_file():  # names may hold brackets, so this comes before globs
            return [folder / name]
        return sorted(
            path
            for path in folder.glob(name)
            if path.suffix.lower() in AUDIO_SUFFIXES
            and not path.name.startswith(".")
            and path.is_file()
        )
    except OSError as error:  # a name that is too long, for example
        raise InputError(
            f"cannot look for {name!r} of {STEMS_YAML} in {shown(folder)}: {reason(error)}"
        ) from error
