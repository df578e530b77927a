"""Roles of the instruments beside drums and bass: what they play, on what, through what."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stemlight.synthesis.material import Material
from stemlight.synthesis.notes import Random, choose
from stemlight.synthesis.synths import Patch, SynthRole, draw_patch

__all__ = ["BASS_SOUNDS", "ROLES", "Instrument", "Role", "draw_instrument"]


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a part may play, and on which programs of General MIDI or which synthesiser."""

    styles: dict[str, float]  # of `lines.CHORD_STYLES`, or "lead"
    programs: tuple[int, ...] = ()
    synth: SynthRole | None = None
    synth_share: float = 0.0  # how often the synthesiser plays although there are soundfonts
    lowest: tuple[int, int] = (48, 60)
    n_notes: tuple[int, int] = (3, 4)
    chain: str = "keys"  # how it is processed, see `stemlight.synthesis.chains`
    doubled: float = 0.0  # how often it is recorded twice, left and right
    gain_db: float = 0.0


ROLES: dict[str, Role] = {
    "power": Role(styles={"power": 1}, programs=(27, 27, 28, 29, 30, 26), synth="string",
                  synth_share=0.3, lowest=(38, 43), chain="amp-high", doubled=0.75, gain_db=2),
    "crunch": Role(styles={"strum": 3, "eighths": 3, "power": 2}, programs=(27, 26, 29, 30, 25),
                   synth="string", synth_share=0.3, lowest=(43, 52), n_notes=(3, 5),
                   chain="amp-crunch", doubled=0.5, gain_db=1),
    "clean": Role(styles={"arpeggio": 4, "strum": 3, "stabs": 1, "broken": 2},
                  programs=(27, 26, 27, 25), synth="string", synth_share=0.2, lowest=(47, 57),
                  n_notes=(4, 6), chain="amp-clean", doubled=0.25, gain_db=-1),
    "funk-guitar": Role(styles={"stabs": 5, "strum": 2}, programs=(27, 28, 26), synth="string",
                        synth_share=0.2, lowest=(55, 64), chain="amp-clean", doubled=0.2,
                        gain_db=-2),
    "skank": Role(styles={"stabs": 1}, programs=(27, 28, 26, 16), synth="string",
                  lowest=(55, 62), chain="amp-clean", doubled=0.2, gain_db=-1),
    "lead-guitar": Role(styles={"lead": 1}, programs=(29, 30, 27, 27), synth="string",
                        synth_share=0.25, lowest=(55, 67), chain="amp-high", gain_db=0),
    "acoustic": Role(styles={"strum": 6, "arpeggio": 3, "broken": 1}, programs=(24, 25, 25),
                     synth="string", synth_share=0.12, lowest=(43, 55), n_notes=(4, 6),
                     chain="acoustic", doubled=0.35),
    "piano": Role(styles={"eighths": 3, "sustained": 3, "broken": 3, "stabs": 2, "arpeggio": 1},
                  programs=(0, 1, 2, 3), synth="bell", lowest=(43, 60), n_notes=(3, 5)),
    "epiano": Role(styles={"sustained": 4, "stabs": 3, "broken": 2}, programs=(4, 5, 4, 5, 7),
                   synth="bell", synth_share=0.25, lowest=(48, 60), n_notes=(3, 5), gain_db=-1),
    "organ": Role(styles={"sustained": 6, "stabs": 2, "eighths": 1}, programs=(16, 17, 18, 19, 21),
                  synth="organ", synth_share=0.4, lowest=(48, 60), gain_db=-2),
    "strings": Role(styles={"sustained": 7, "lead": 2, "stabs": 1, "eighths": 1},
                    programs=(48, 49, 50, 51, 44, 45, 40, 42), synth="pad", lowest=(52, 67),
                    n_notes=(2, 4), gain_db=-2),
    "brass": Role(styles={"stabs": 5, "lead": 2, "sustained": 1}, programs=(61, 61, 62, 63, 56, 57),
                  synth="lead", synth_share=0.1, lowest=(53, 62), gain_db=-1),
    "woodwind": Role(styles={"lead": 1}, programs=(73, 71, 65, 66, 64, 68, 75), synth="lead",
                     lowest=(60, 70), gain_db=-1),
    "pad": Role(styles={"sustained": 1}, programs=(89, 90, 88, 92, 93, 94, 95, 50, 51), synth="pad",
                synth_share=0.6, lowest=(46, 62), n_notes=(3, 4), chain="synth", gain_db=-3),
    "pluck": Role(styles={"arpeggio": 5, "stabs": 2, "broken": 2}, programs=(45, 46, 12, 108, 107),
                  synth="pluck", synth_share=0.75, lowest=(55, 70), chain="synth", gain_db=-2),
    "arp": Role(styles={"arpeggio": 1}, programs=(81, 80, 90, 84), synth="pluck", synth_share=0.8,
                lowest=(48, 67), chain="synth", gain_db=-3),
    "synth-lead": Role(styles={"lead": 4, "arpeggio": 1, "eighths": 1},
                       programs=(80, 81, 84, 87, 62), synth="lead", synth_share=0.75,
                       lowest=(55, 70), n_notes=(1, 3), chain="synth", gain_db=-1),
    "stabs": Role(styles={"stabs": 1}, programs=(81, 62, 90, 55, 0), synth="pluck",
                  synth_share=0.7, lowest=(52, 64), chain="synth", gain_db=-1),
    "bells": Role(styles={"lead": 3, "arpeggio": 3, "broken": 2},
                  programs=(9, 10, 11, 14, 98, 112, 13), synth="bell", synth_share=0.45,
                  lowest=(67, 79), n_notes=(2, 3), gain_db=-4),
    "effects": Role(styles={"effects": 1}, chain="synth", gain_db=-5),
}  # fmt: skip

BASS_SOUNDS: dict[str, tuple[tuple[int, ...], SynthRole, float]] = {
    "finger": ((33, 33, 33, 34), "string", 0.12),
    "pick": ((34, 34, 33), "string", 0.2),
    "fuzz": ((34, 33), "string", 0.3),
    "fretless": ((35,), "string", 0.0),
    "slap": ((36, 37), "string", 0.0),
    "upright": ((32,), "string", 0.1),
    "synth": ((38, 39), "bass", 0.85),
    "sub": ((38, 39), "sub", 0.95),
    "fm": ((39,), "bass", 0.95),
}
"""Programs, synthesiser, and how often the synthesiser plays although there are soundfonts."""


@dataclass(frozen=True)
class Instrument:
    """A preset of a soundfont, or a patch of the synthesiser."""

    name: str
    path: Path | None = None
    preset: tuple[int, int] = (0, 0)
    patch: Patch | None = None


def draw_instrument(
    random: Random,
    material: Material,
    programs: tuple[int, ...],
    synth: SynthRole | None,
    synth_share: float,
) -> Instrument:
    """Draw one of the programs from one of the fonts, or a patch."""
    fonts = material.general_midi
    use_synth = synth is not None and (not fonts or not programs or random.random() < synth_share)
    if use_synth and synth is not None:
        return Instrument(f"synthesiser, {synth}", patch=draw_patch(random, synth))
    font = choose(random, fonts)
    program = choose(random, programs)
    variants = [key for key in font.presets if key[1] == program and 0 < key[0] < 120]
    preset = (0, program)
    if variants and random.random() < 0.2:
        preset = choose(random, sorted(variants))
    return Instrument(f"{font.path.name}: {font.presets[preset]}", font.path, preset)
