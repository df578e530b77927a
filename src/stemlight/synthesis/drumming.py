"""The drummer: what is played in each section, on which kit, and how the kit is tuned."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import scipy.signal

from stemlight.synthesis.arrangement import BAR_BEATS, SongPlan
from stemlight.synthesis.effects import Samples, peaking, saturate, shelf
from stemlight.synthesis.electronic import electronic_kit
from stemlight.synthesis.grooves import draw_groove, drum_bar, drum_fill, trap_rolls
from stemlight.synthesis.kits import Kit, folder_kit, font_kit, sample_kit, sliced_loop
from stemlight.synthesis.material import Material
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, Clock, Hit, Random, choose

__all__ = ["DrawnKit", "draw_kit", "drum_hits", "play_drums"]

_LEVEL_DB = {
    "kick": 0, "snare": -1, "rim": -7, "clap": -4, "hat_closed": -14, "hat_pedal": -18,
    "hat_open": -13, "tom_low": -2, "tom_mid": -3, "tom_high": -4, "crash": -9, "ride": -15,
    "bell": -15, "cowbell": -13, "tambourine": -15, "shaker": -17, "conga_low": -8,
    "conga_high": -9,
}  # fmt: skip
_PLACE = {
    "hat_closed": 0.35, "hat_pedal": 0.35, "hat_open": 0.35, "tom_high": 0.3, "tom_low": -0.5,
    "crash": 0.5, "ride": -0.5, "bell": -0.5, "tambourine": 0.6, "shaker": -0.6, "cowbell": 0.3,
    "conga_low": -0.4, "conga_high": 0.4, "tom_mid": -0.1,
}  # fmt: skip
_CHOKED = ("hat_closed", "hat_pedal")


@dataclass
class DrawnKit:
    """A kit as it stands in the studio."""

    kit: Kit
    names: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)  # names in `Material.terms`
    n_slices: int = 0


def _font_drums(random: Random, material: Material) -> tuple[Kit, str, str]:
    font = choose(random, [font for font in material.fonts if font.drum_presets])
    preset = choose(random, font.drum_presets)
    name = f"{font.path.name}: {font.presets[preset]}"
    return font_kit(font.path, preset), name, font.path.name


def _one_kit(random: Random, material: Material, kind: str) -> tuple[Kit, str, str]:
    if kind == "recorded" and material.kits:
        folder = choose(random, material.kits).path
        return folder_kit(folder, random), folder.name, folder.name
    if kind == "samples" and material.samples:
        return sample_kit(material.samples, random), "sonic-pi samples", "sonic-pi samples"
    if kind in ("font", "recorded") and any(font.drum_presets for font in material.fonts):
        return _font_drums(random, material)
    return electronic_kit(random), "drum machine", ""


def draw_kit(random: Random, material: Material, plan: SongPlan) -> DrawnKit:
    """Draw a kit that suits the song; now and then with the kick or snare of another one."""
    kinds = plan.genre.kits
    kit, name, used = _one_kit(random, material, choose(random, list(kinds), list(kinds.values())))
    drawn = DrawnKit(dict(kit), [name], [used])
    for piece, chance in (("kick", 0.25), ("snare", 0.3), ("clap", 0.3), ("hat_closed", 0.15)):
        if random.random() < chance:
            kind = choose(random, list(kinds), list(kinds.values()))
            other, name, used = _one_kit(random, material, kind)
            if piece in other:
                drawn.kit[piece] = other[piece]
                drawn.names.append(f"{piece}: {name}")
                drawn.used.append(used)
    while missing := [piece for piece in _LEVEL_DB if piece not in drawn.kit]:
        kind = choose(random, ("font", "electronic"))
        other, name, used = _one_kit(random, material, kind)
        found = [piece for piece in missing if piece in other]
        drawn.kit |= {piece: other[piece] for piece in found}
        if found:
            drawn.names.append(f"{' '.join(found)}: {name}")
            drawn.used.append(used)
    has_breaks = bool(set(plan.genre.drums) & {"breaks", "hiphop"})
    if has_breaks and material.samples and material.has_loops and random.random() < 0.3:
        slices = sliced_loop(material.samples, random)
        drawn.kit |= {f"slice{index}": [piece] for index, piece in enumerate(slices)}
        drawn.n_slices = len(slices)
        drawn.used.append("sonic-pi loops")
    return drawn


def drum_hits(random: Random, plan: SongPlan, n_slices: int = 0) -> list[Hit]:
    """Play the song: the same groove in sections of a kind, fills, crashes on what is new."""
    genre = plan.genre
    family = choose(random, list(genre.drums), list(genre.drums.values()))
    grooves = {}
    hits: list[Hit] = []
    order = [int(i) for i in random.integers(0, max(1, n_slices), 8)]
    for section in plan.sections:
        bars = section.n_bars - ("drums" in section.stop)
        if "drums" not in section.sounding:
            continue
        if section.kind not in grooves:
            other = choose(random, list(genre.drums), list(genre.drums.values()))
            grooves[section.kind] = draw_groove(
                random, family if random.random() < 0.75 else other, section.energy
            )
        if section.energy > 0.6 and random.random() < 0.7:
            hits.append(Hit(section.first_beat, "crash", 0.9))
        has_fill = random.random() < 0.15 + 0.7 * genre.looseness
        fill_beats = choose(random, (1.0, 2.0, 2.0, 4.0))
        for bar in range(bars):
            beat = section.first_beat + bar * BAR_BEATS
            played = drum_bar(random, grooves[section.kind], beat, looseness=genre.looseness)
            if n_slices and section.energy > 0.4:
                played = _loop_bar(random, order, n_slices, beat, bar)
            if family == "trap" and random.random() < 0.6:
                played += trap_rolls(random, beat)
            if has_fill and bar == bars - 1:
                first = beat + BAR_BEATS - fill_beats
                played = [hit for hit in played if hit.beat < first - 0.01]
                played += drum_fill(random, first, fill_beats)
            hits += played
    return sorted(hits)


def _loop_bar(random: Random, order: list[int], n_slices: int, beat: float, bar: int) -> list[Hit]:
    """Play the slices of a loop in their order, some of them replaced."""
    slices = [(8 * bar + step) % n_slices for step in range(8)]
    if bar % 4 == 3 or random.random() < 0.2:
        slices[4:] = order[4:]
    return [Hit(beat + step / 2, f"slice{number}", 0.9) for step, number in enumerate(slices)]


def _tuned(layer: Samples, factor: float) -> Samples:
    n_samples = int(layer.shape[1] / factor)
    points = np.arange(n_samples) * factor
    at = np.arange(layer.shape[1])
    return np.stack([np.interp(points, at, row).astype(np.float32) for row in layer])


def _processed(
    random: Random, piece: str, layers: Sequence[Samples], tuning: float
) -> list[Samples]:
    """Tune, damp, equalise and drive a piece, all its layers alike."""
    factor = 2 ** ((tuning + 0.8 * float(random.standard_normal())) / 12)
    is_skin = piece in ("kick", "snare", "tom_low", "tom_mid", "tom_high")
    damping = float(np.exp(random.uniform(np.log(0.06), np.log(0.6)))) if is_skin else 0.0
    damped = random.random() < 0.35 and is_skin
    bell = peaking(
        float(np.exp(random.uniform(np.log(120), np.log(8000)))),
        float(np.clip(4 * random.standard_normal(), -9, 9)),
        float(random.uniform(0.6, 2)),
    )
    tilt = shelf(float(random.uniform(2500, 7000)), float(3 * random.standard_normal()), "high")
    drive = float(np.exp(random.uniform(np.log(0.2), np.log(4))))
    driven = random.random() < (0.5 if is_skin else 0.15)
    made = []
    for layer in layers:
        sound = layer if abs(factor - 1) < 0.003 else _tuned(layer, factor)
        sound = scipy.signal.sosfilt(np.concatenate([bell, tilt]), sound).astype(np.float32)
        if damped:
            time = np.arange(sound.shape[1], dtype=np.float32) / SAMPLE_RATE_HZ
            sound = sound * np.exp(-time / np.float32(damping))
        if driven:
            sound = saturate(sound / np.abs(sound).max(), drive)
        made.append(sound / np.float32(np.abs(sound).max() + 1e-9))
    return made


def _choked(sound: Samples, n_samples: int) -> Samples:
    """End an open hi-hat where the pedal closes it."""
    if sound.shape[1] <= n_samples or n_samples < 1000:
        return sound
    cut = sound[:, :n_samples].copy()
    cut[:, -800:] *= np.linspace(1, 0, 800, dtype=np.float32)
    return cut


def play_drums(
    random: Random, drawn: DrawnKit, hits: Sequence[Hit], clock: Clock, n_samples: int
) -> tuple[Samples, list[float]]:
    """Return the kit's sound and when the kick comes, in seconds."""
    tuning = 1.2 * float(random.standard_normal())
    mirrored = -1.0 if random.random() < 0.5 else 1.0
    width = float(random.uniform(0.2, 1.6))
    used = sorted({hit.piece for hit in hits})
    layers = {piece: _processed(random, piece, drawn.kit[piece], tuning) for piece in used}
    gains = {
        piece: 10 ** ((_LEVEL_DB.get(piece, 0) + 3 * float(random.standard_normal())) / 20)
        for piece in used
    }
    tight = float(random.uniform(0.0005, 0.006))
    steepness = float(random.uniform(0.8, 2.0))
    out = np.zeros((2, n_samples), np.float32)
    kicks = []
    closings = [hit.beat for hit in hits if hit.piece in _CHOKED]
    for hit in hits:
        seconds = max(0.0, clock.seconds(hit.beat) + tight * float(random.standard_normal()))
        first = int(seconds * SAMPLE_RATE_HZ)
        if hit.piece == "kick":
            kicks.append(seconds)
        force = min(1.0, max(0.05, hit.velocity * (1 + 0.05 * float(random.standard_normal()))))
        options = layers[hit.piece]
        place = force * len(options) + 0.4 * float(random.standard_normal())
        sound = options[int(np.clip(place, 0, len(options) - 1))]
        balance = float(np.clip(mirrored * width * _PLACE.get(hit.piece, 0.0), -0.9, 0.9))
        left = np.float32(min(1.0, 1 - balance) * gains[hit.piece] * force**steepness)
        right = np.float32(min(1.0, 1 + balance) * gains[hit.piece] * force**steepness)
        if hit.piece == "hat_open":
            following = bisect.bisect_right(closings, hit.beat)
            if following < len(closings):
                ends = int(clock.seconds(closings[following]) * SAMPLE_RATE_HZ)
                sound = _choked(sound, ends - first)
        last = min(n_samples, first + sound.shape[1])
        if last <= first:
            continue
        out[0, first:last] += left * sound[0, : last - first]
        out[1, first:last] += right * sound[1, : last - first]
    return out, kicks
