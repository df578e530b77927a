"""Finds what songs are made of: soundfonts, recorded drum kits, single sounds and a singer."""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stemlight.audio.wording import reason, shown
from stemlight.errors import InputError, UsageError
from stemlight.synthesis.kits import read_kit
from stemlight.synthesis.licences import (
    LOOPS,
    SINGER,
    SONIC_PI,
    Terms,
    terms_of_font,
    terms_of_kit,
)

__all__ = ["PACKAGES", "KitFolder", "Material", "SoundFont", "find_material", "read_presets"]

PACKAGES = (
    "fluid-soundfont-gm fluidr3mono-gm-soundfont musescore-general-soundfont "
    "avldrums.lv2-soundfont hydrogen-drumkits sonic-pi-samples"
)
"""Debian packages that bring material."""

_FONT_FOLDERS = (
    "/usr/share/sounds/sf2",
    "/usr/share/sounds/sf3",
    "/usr/share/soundfonts",
    "/usr/local/share/soundfonts",
    "~/.local/share/soundfonts",
)
_KIT_FOLDERS = ("/usr/share/hydrogen/data/drumkits", "~/.hydrogen/data/drumkits")
_SAMPLE_FOLDERS = ("/usr/share/sonic-pi/samples", "/opt/sonic-pi/etc/samples")

_DRUM_BANK = 128
_UNFIT_DRUMS = ("orch", "sfx", "marching", "drumline", "metronome", "ethnic", "concert")


@dataclass(frozen=True)
class SoundFont:
    """A soundfont file and its presets: (bank, program) to name."""

    path: Path
    presets: dict[tuple[int, int], str]
    terms: Terms

    @property
    def is_general_midi(self) -> bool:
        """Whether each of the programs is there but the noises, the last eight."""
        return all((0, program) in self.presets for program in range(120))

    @property
    def drum_presets(self) -> tuple[tuple[int, int], ...]:
        """Presets that are drum kits; all of them where the font is one of drums alone."""
        drums = {key: name.lower() for key, name in self.presets.items() if key[0] == _DRUM_BANK}
        if not drums and len(self.presets) <= 4:
            return tuple(sorted(self.presets))
        return tuple(sorted(k for k, name in drums.items() if not _has(name, _UNFIT_DRUMS)))


@dataclass(frozen=True)
class KitFolder:
    """A folder with a `drumkit.xml` of the drum machine Hydrogen and its samples."""

    path: Path
    terms: Terms


@dataclass(frozen=True)
class Material:
    """All that was found. Songs are the same for the same seed and the same material."""

    fonts: tuple[SoundFont, ...] = ()
    kits: tuple[KitFolder, ...] = ()
    samples: Path | None = None
    has_loops: bool = False  # those of the samples
    has_singer: bool = False
    missing: tuple[str, ...] = ()

    @property
    def general_midi(self) -> tuple[SoundFont, ...]:
        """The fonts with all melodic instruments."""
        return tuple(font for font in self.fonts if font.is_general_midi)

    def terms(self) -> dict[str, Terms]:
        """Return the terms of each thing, by name."""
        named = {font.path.name: font.terms for font in self.fonts}
        named |= {kit.path.name: kit.terms for kit in self.kits}
        named |= {"sonic-pi samples": SONIC_PI} if self.samples else {}
        named |= {"sonic-pi loops": LOOPS} if self.samples and self.has_loops else {}
        return named | ({"pysinsy voice": SINGER} if self.has_singer else {})


def find_material(folders: Sequence[Path] = (), *, permissive_only: bool = False) -> Material:
    """Search the system's usual folders, and `folders` with all below, for material.

    Args:
        folders: more places with `.sf2` or `.sf3` files, or folders with a `drumkit.xml`.
        permissive_only: leave out what is not under CC0 or MIT terms, as far as known, and recorded
            loops.

    Raises:
        UsageError: one of `folders` is no folder; or nothing at all was found.
        InputError: a soundfont or a kit in one of `folders` cannot be read, or has a name that is
            no text of one line.
    """
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(
                f"{shown(folder)} is not a folder; give --soundfonts folders with .sf2 files"
            )
    fonts = _fonts(folders)
    kits = [KitFolder(path, terms_of_kit(path)) for path in _kit_paths(folders)]
    samples = next((path for path in _existing(_SAMPLE_FOLDERS) if any(path.glob("*.flac"))), None)
    has_singer = importlib.util.find_spec("pysinsy") is not None
    has_renderer = importlib.util.find_spec("tinysoundfont") is not None
    fonts = fonts if has_renderer else []
    if permissive_only:
        fonts = [font for font in fonts if font.terms.is_permissive]
        kits = [kit for kit in kits if kit.terms.is_permissive]
        has_singer = has_singer and SINGER.is_permissive
    wanted = {
        "tinysoundfont (pip install --no-deps tinysoundfont)": has_renderer,
        "General MIDI soundfonts": any(font.is_general_midi for font in fonts),
        "recorded drum kits": bool(kits),
        "sonic-pi samples": samples is not None,
        "the singing synthesiser (pip install pysinsy)": has_singer or permissive_only,
    }
    if not fonts and not kits and not samples:
        raise UsageError(
            "no soundfonts, drum kits or samples were found; install some "
            f"(Debian: apt install {PACKAGES}) or give --soundfonts FOLDER"
        )
    return Material(
        fonts=tuple(fonts),
        kits=tuple(kits),
        samples=samples,
        has_loops=not permissive_only or LOOPS.is_permissive,
        has_singer=has_singer,
        missing=tuple(name for name, is_there in wanted.items() if not is_there),
    )


def _existing(folders: Iterable[str]) -> Iterator[Path]:
    for folder in folders:
        path = Path(folder).expanduser()
        if path.is_dir():
            yield path


def _fonts(folders: Sequence[Path]) -> list[SoundFont]:
    """Read each font once, also where several links lead to it; sorted by name."""
    found: dict[Path, SoundFont] = {}
    for folder in [*folders, *_existing(_FONT_FOLDERS)]:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in (".sf2", ".sf3") or not path.is_file():
                continue
            real = path.resolve()
            if real in found:
                continue
            try:
                _check_name(real)
                presets = read_presets(real)
            except InputError:
                if folder in folders:
                    raise
                continue
            found[real] = SoundFont(real, presets, terms_of_font(real))
    return sorted(found.values(), key=lambda font: font.path.name)


def _kit_paths(folders: Sequence[Path]) -> list[Path]:
    """Find kits that can be read; sorted by name, and by place where two have one name."""
    found: set[Path] = set()
    for folder in [*folders, *_existing(_KIT_FOLDERS)]:
        for path in (xml.parent.resolve() for xml in folder.rglob("drumkit.xml")):
            try:
                _check_name(path)
                read_kit(path)
            except InputError:
                if folder in folders:
                    raise
                continue
            found.add(path)
    return sorted(found, key=lambda path: (path.name, path))


def _check_name(path: Path) -> None:
    """Refuse what libraries cannot open, or a list of what was used cannot hold."""
    if not str(path).isprintable():
        raise InputError(f"{shown(path)} has line breaks or no text in its name; rename it")


def read_presets(path: Path) -> dict[tuple[int, int], str]:
    """Read which (bank, program) a soundfont has, without its samples.

    Raises:
        InputError: it is no soundfont.
    """
    try:
        with path.open("rb") as file:
            return _read_presets(file)
    except (OSError, struct.error, _NoSoundFontError) as error:
        why = reason(error) if isinstance(error, OSError) else error
        raise InputError(f"{shown(path)} cannot be read as a soundfont: {why}") from error


class _NoSoundFontError(Exception):
    pass


def _read_presets(file: BinaryIO) -> dict[tuple[int, int], str]:
    riff, _, kind = struct.unpack("<4sI4s", file.read(12))
    if (riff, kind) != (b"RIFF", b"sfbk"):
        raise _NoSoundFontError("it does not start as one")
    while header := file.read(8):
        name, size = struct.unpack("<4sI", header)
        end = file.tell() + size
        if name == b"LIST" and file.read(4) == b"pdta":
            name, size = struct.unpack("<4sI", file.read(8))
            if name != b"phdr":
                break
            records = file.read(size)
            presets = {}
            for record in list(struct.iter_unpack("<20sHHHIII", records))[:-1]:  # the last ends it
                text = record[0].split(b"\0")[0].decode("latin-1").strip()
                presets[record[2], record[1]] = text
            return presets
        file.seek(end)
        if size % 2 and file.read(1) != b"\0":  # the padding that some writers forget
            file.seek(end)
    raise _NoSoundFontError("it has no list of presets")


def _has(name: str, parts: Iterable[str]) -> bool:
    return any(part in name for part in parts)
