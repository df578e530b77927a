"""Drum kits: how each piece sounds, soft to loud, from fonts, recordings and single sounds."""

from __future__ import annotations

import functools
import itertools
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import soundfile
import soxr

from stemlight.audio.wording import shown
from stemlight.errors import InputError
from stemlight.synthesis.effects import Samples
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, Random, choose
from stemlight.synthesis.soundfonts import strike_preset

__all__ = ["Kit", "folder_kit", "font_kit", "load_sample", "read_kit", "sample_kit", "sliced_loop"]

Kit = dict[str, list[Samples]]
"""Samples of each piece, soft to loud, each with a peak of 1 at the loudest."""

_LONGEST_SECONDS = 3.0
_KEYS = {
    "kick": 36, "snare": 38, "rim": 37, "clap": 39, "hat_closed": 42, "hat_pedal": 44,
    "hat_open": 46, "tom_low": 41, "tom_mid": 45, "tom_high": 48, "crash": 49, "ride": 51,
    "bell": 53, "cowbell": 56, "tambourine": 54, "shaker": 70, "conga_low": 64, "conga_high": 63,
}  # fmt: skip

# Words in the names that kits give their instruments; the first that fits wins.
_WORDS = (
    ("hat_pedal", ("pedal hh", "hat pedal", "hi-hat pedal", "hat foot", " pd")),
    ("hat_open", ("open hh", "hat open", "hi-hat open", "hat op", "hats opened", "hat opened",
                  "side ohh", "hat semi", "semiopen", "op phaser", "hat free")),
    ("hat_closed", ("closed hh", "hat", "closed", "side hh")),
    ("rim", ("stick", "rim click", "click", "woodblock", "clave")),
    ("clap", ("clap", "snap")),
    ("snare", ("snare", "slap")),
    ("kick", ("kick", "bass drum", "bassdrum", "thump", "bass")),
    ("cowbell", ("cowbell", "agogo")),
    ("bell", ("bell", "ride-cup")),
    ("ride", ("ride",)),
    ("crash", ("crash", "splash", "china", "cymbal")),
    ("tom_low", ("tom low", "low tom", "floor", "dununba1 head hit", "drum 1")),
    ("tom_mid", ("tom mid", "middle tom", "tom 2", "sangban1 head hit", "drum 2")),
    ("tom_high", ("tom hi", "high tom", "tom 1", "tom", "kenkeni1 head hit")),
    ("tambourine", ("tambourine",)),
    ("shaker", ("maraca", "shaker")),
    ("conga_low", ("bongo lo", "conga 1", "tone")),
    ("conga_high", ("bongo hi", "conga 2")),
)  # fmt: skip


def _piece_of(name: str) -> str | None:
    name = name.lower()
    return next((piece for piece, words in _WORDS if any(word in name for word in words)), None)


def _trimmed(samples: Samples) -> Samples:
    """Let a sample begin where it sounds, end where it has died away, and peak at 1."""
    envelope = np.abs(samples).max(0)
    peak = float(envelope.max(initial=0))
    if peak < 1e-5:
        return samples[:, :0]
    first = max(0, int(np.argmax(envelope > 0.03 * peak)) - 20)
    last = int(np.flatnonzero(envelope > 0.001 * peak)[-1]) + 1
    last = min(last, first + int(_LONGEST_SECONDS * SAMPLE_RATE_HZ))
    piece = samples[:, first:last] / np.float32(peak)
    n_fade = min(800, piece.shape[1])
    piece[:, -n_fade:] *= np.linspace(1, 0, n_fade, dtype=np.float32)
    return piece


@functools.lru_cache(maxsize=600)
def load_sample(path: Path) -> Samples:
    """Read a sound as stereo of peak 1, without the silence around it.

    Raises:
        InputError: it cannot be read.
    """
    return _trimmed(_stereo(path, max_frames=6 * 48000))


def _stereo(path: Path, max_frames: int = -1) -> Samples:
    try:
        rows, rate_hz = soundfile.read(path, max_frames, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise InputError(f"{shown(path)} cannot be read: {error}") from error
    if rate_hz != SAMPLE_RATE_HZ:
        rows = soxr.resample(rows, rate_hz, SAMPLE_RATE_HZ)
    columns = (0, 1) if rows.shape[1] > 1 else (0, 0)
    return np.ascontiguousarray(rows[:, columns].T)


@functools.lru_cache(maxsize=48)
def font_kit(path: Path, preset: tuple[int, int]) -> Kit:
    """Strike every piece of a soundfont's kit at three strengths."""
    kit: Kit = {}
    for piece, key in _KEYS.items():
        seconds = 2.8 if piece in ("crash", "ride", "bell", "hat_open") else 1.2
        n_samples = int(seconds * SAMPLE_RATE_HZ)
        struck = [strike_preset(path, preset, key, force, n_samples) for force in (0.3, 0.65, 1.0)]
        layers = [layer for layer in map(_trimmed, struck) if layer.shape[1] > 100]
        if layers:
            kit[piece] = layers
    return kit


@functools.lru_cache(maxsize=16)
def read_kit(folder: Path) -> dict[str, list[tuple[Path, ...]]]:
    """Return the sample files of each piece in a kit of Hydrogen; layers soft to loud.

    Raises:
        InputError: its `drumkit.xml` cannot be read.
    """
    path = folder / "drumkit.xml"
    try:
        return _instruments(ET.parse(path).getroot(), folder)
    except (OSError, ET.ParseError, ValueError) as error:  # ValueError: a limit is no number
        raise InputError(f"{shown(path)} cannot be read as a drum kit: {error}") from error


def _instruments(root: ET.Element, folder: Path) -> dict[str, list[tuple[Path, ...]]]:
    for element in root.iter():  # some files have a namespace, some none
        element.tag = element.tag.rsplit("}", 1)[-1]
    found: dict[str, list[tuple[Path, ...]]] = {}
    for instrument in root.iter("instrument"):
        piece = _piece_of(instrument.findtext("name", ""))
        layers = sorted(instrument.iter("layer"), key=lambda x: float(x.findtext("max", "1")))
        names = [layer.findtext("filename", "") for layer in layers]
        names = names or [instrument.findtext("filename", "")]
        paths = tuple(folder / name for name in names if name and (folder / name).is_file())
        if piece and paths:
            found.setdefault(piece, []).append(paths)
    return found


def folder_kit(folder: Path, random: Random) -> Kit:
    """Take a kit of Hydrogen; where it has several of a piece, draw one."""
    kit: Kit = {}
    for piece, instruments in read_kit(folder).items():
        paths = choose(random, instruments)
        step = max(1, -(-len(paths) // 5))
        layers = [load_sample(path) for path in paths[::-step][::-1]]
        layers = [layer for layer in layers if layer.shape[1] > 100]
        if layers:
            kit[piece] = layers
    return kit


_SAMPLE_PATTERNS = {
    "kick": ("bd_*", "drum_heavy_kick", "drum_bass_*", "elec_*kick"),
    "snare": ("sn_*", "drum_snare_*", "elec_*snare"),
    "rim": ("elec_tick", "elec_wood", "perc_snap*", "elec_blip*", "glitch_perc*", "tabla_te*"),
    "clap": ("perc_snap*", "sn_zome", "elec_filt_snare"),
    "hat_closed": ("drum_cymbal_closed", "elec_tick", "glitch_perc*", "drum_cymbal_pedal"),
    "hat_pedal": ("drum_cymbal_pedal",),
    "hat_open": ("drum_cymbal_open", "drum_splash_soft", "elec_cymbal"),
    "crash": ("drum_cymbal_hard", "drum_splash_hard", "elec_cymbal"),
    "ride": ("drum_cymbal_soft", "elec_triangle", "elec_chime"),
    "bell": ("perc_bell*", "elec_bell"),
    "cowbell": ("drum_cowbell",),
    "tom_low": ("drum_tom_lo_*", "elec_fuzz_tom", "tabla_ghe*"),
    "tom_mid": ("drum_tom_mid_*", "elec_blup", "tabla_ke*"),
    "tom_high": ("drum_tom_hi_*", "elec_hollow_kick", "tabla_na*"),
    "conga_low": ("tabla_ghe*",),
    "conga_high": ("tabla_na*", "tabla_tun*"),
}


def sample_kit(folder: Path, random: Random) -> Kit:
    """Put a kit together from the single sounds of Sonic Pi."""
    kit: Kit = {}
    for piece, patterns in _SAMPLE_PATTERNS.items():
        paths = sorted({path for pattern in patterns for path in folder.glob(f"{pattern}.flac")})
        if paths:
            kit[piece] = [load_sample(choose(random, paths))]
    return kit


LOOPS = {"loop_amen": 4, "loop_amen_full": 16, "loop_breakbeat": 4}
"""Drum loops of Sonic Pi that have drums alone, and how many beats they last."""


def sliced_loop(folder: Path, random: Random) -> list[Samples]:
    """Cut a recorded drum loop into eighths, as samplers do."""
    names = [name for name in LOOPS if (folder / f"{name}.flac").is_file()]
    if not names:
        return []
    name = choose(random, names)
    loop = _stereo(folder / f"{name}.flac")
    loop /= np.abs(loop).max()
    n_slices = 2 * LOOPS[name]
    edges = np.linspace(0, loop.shape[1], n_slices + 1).astype(int)
    slices = []
    for first, last in itertools.pairwise(edges.tolist()):
        piece = loop[:, first:last].copy()
        n_fade = min(300, piece.shape[1])
        piece[:, -n_fade:] *= np.linspace(1, 0, n_fade, dtype=np.float32)
        slices.append(piece)
    return slices
