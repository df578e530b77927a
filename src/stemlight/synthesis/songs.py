"""Composes, plays and mixes one song."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stemlight.synthesis.arrangement import STEMS, SongPlan, draw_plan
from stemlight.synthesis.chains import active_level, bass_chain, drum_bus, part_chain, vocal_chain
from stemlight.synthesis.drumming import draw_kit, drum_hits, play_drums
from stemlight.synthesis.effects import Samples, convolve, draw_reverb
from stemlight.synthesis.harmony import ChordSpan
from stemlight.synthesis.lines import bass_line, chord_part, lead_line
from stemlight.synthesis.material import Material
from stemlight.synthesis.mixing import mix_song, pumping
from stemlight.synthesis.noises import effects_part
from stemlight.synthesis.notes import SAMPLE_RATE_HZ, Note, Random, TimedNote, choose, random_of
from stemlight.synthesis.parts import BASS_SOUNDS, ROLES, Instrument, draw_instrument
from stemlight.synthesis.singing import draw_singers, sing_song
from stemlight.synthesis.soundfonts import play_preset
from stemlight.synthesis.synths import play_patch

__all__ = ["Song", "make_song"]

_SHORTEST_SECONDS, _LONGEST_SECONDS = 30.0, 120.0


@dataclass(frozen=True)
class Song:
    """Four stems of one length, whose sum is the mixture, and what was chosen."""

    stems: dict[str, Samples]
    facts: dict[str, Any] = field(default_factory=dict)


def make_song(
    seed: int,
    index: int,
    material: Material,
    *,
    shortest_seconds: float = _SHORTEST_SECONDS,
    longest_seconds: float = _LONGEST_SECONDS,
) -> Song:
    """Make song `index` of a seed; the same for the same material, whatever was made before."""

    def random(purpose: str) -> Random:
        return random_of(seed, index, purpose)

    plan = draw_plan(random("plan"), shortest_seconds, longest_seconds)
    n_samples = int(plan.seconds * SAMPLE_RATE_HZ)
    rooms = random("rooms")
    room, hall = draw_reverb(rooms, 0.8), draw_reverb(rooms, 2.6)

    kit = draw_kit(random("kit"), material, plan)
    hits = drum_hits(random("groove"), plan, kit.n_slices)
    drums, kicks = play_drums(random("drummer"), kit, hits, plan.clock, n_samples)
    drums = drum_bus(random("drum bus"), drums, room)
    bass, bass_facts = _play_bass(random("bass"), plan, material, n_samples, room)
    other, parts = _play_other(random("other"), plan, material, n_samples, hall)
    singers = draw_singers(random("singers"), plan, has_sinsy=material.has_singer)
    voices = sing_song(random("singing"), plan, singers, n_samples)
    vocals = vocal_chain(
        random("vocal chain"), voices, choose(rooms, (room, hall)), plan.clock.tempo_bpm
    )

    ducking = random("ducking")
    if plan.genre.looseness < 0.3 and ducking.random() < 0.5:
        gain = pumping(ducking, kicks, n_samples)
        bass, other = bass * gain, other * gain
    dry = {"vocals": vocals, "drums": drums, "bass": bass, "other": other}
    stems = mix_song(random("mix"), {name: dry[name] for name in STEMS})
    used = [*kit.used, bass_facts["font"], *(part["font"] for part in parts)]
    used += ["pysinsy voice"] if singers.sinsy_lower is not None else []
    facts = {
        "seed": seed,
        "index": index,
        "seconds": n_samples / SAMPLE_RATE_HZ,
        **_plan_facts(plan),
        "kit": kit.names,
        "bass": bass_facts,
        "parts": parts,
        "vocals": {
            "style": singers.style,
            "lowest": singers.lowest,
            "tract": singers.lead.tract,
            "sinsy_lower": singers.sinsy_lower,
        },
        "material": sorted({name for name in used if name}),
    }
    return Song(stems, facts)


def _plan_facts(plan: SongPlan) -> dict[str, Any]:
    return {
        "genre": plan.genre_name,
        "tonic": plan.key.tonic,
        "mode": plan.key.mode,
        "tempo_bpm": plan.clock.tempo_bpm,
        "swing": plan.clock.swing,
        "sections": [
            {
                "kind": section.kind,
                "start_seconds": round(plan.clock.seconds(section.first_beat), 3),
                "stems": sorted(section.sounding),
            }
            for section in plan.sections
        ],
    }


def _render(
    instrument: Instrument,
    notes: Sequence[TimedNote],
    n_samples: int,
    random: Random,
    detune_semitones: float = 0.0,
) -> Samples:
    if instrument.patch is not None:
        moved = [n._replace(pitch=n.pitch + detune_semitones) for n in notes]
        return play_patch(instrument.patch, moved, n_samples, random)
    assert instrument.path is not None
    return play_preset(
        instrument.path, instrument.preset, notes, n_samples, detune_semitones=detune_semitones
    )


def _play_bass(
    random: Random, plan: SongPlan, material: Material, n_samples: int, room: np.ndarray
) -> tuple[Samples, dict[str, Any]]:
    genre = plan.genre
    sound = choose(random, list(genre.bass_sounds), list(genre.bass_sounds.values()))
    instrument = draw_instrument(random, material, *BASS_SOUNDS[sound])
    lowest = int(random.integers(26, 34))
    styles: dict[str, str] = {}
    notes: list[Note] = []
    main = choose(random, list(genre.bass_styles), list(genre.bass_styles.values()))
    for section in plan.sections:
        spans = section.chords_of("bass")
        if section.kind not in styles:
            other = choose(random, list(genre.bass_styles), list(genre.bass_styles.values()))
            styles[section.kind] = main if random.random() < 0.6 else other
        if spans:
            notes += bass_line(random, spans, plan.key, styles[section.kind], lowest)
    lag, spread = float(random.uniform(-0.008, 0.012)), 0.008 * genre.looseness
    played = plan.clock.play(notes, random, spread_seconds=spread, lag_seconds=lag)
    row = _render(instrument, played, n_samples, random)
    facts = {"sound": sound, "instrument": instrument.name, "font": _font_name(instrument)}
    return bass_chain(random, row, sound, room), facts


def _font_name(instrument: Instrument) -> str:
    return instrument.path.name if instrument.path else ""


def _play_other(
    random: Random, plan: SongPlan, material: Material, n_samples: int, hall: np.ndarray
) -> tuple[Samples, list[dict[str, Any]]]:
    genre = plan.genre
    n_parts = int(random.integers(genre.n_parts[0], genre.n_parts[1] + 1))
    weights = dict(genre.parts)
    drawn = []
    for _ in range(n_parts):
        drawn.append(choose(random, list(weights), list(weights.values())))
        weights[drawn[-1]] *= 0.12
    out = np.zeros((2, n_samples), np.float32)
    send = np.zeros((2, n_samples), np.float32)
    facts = []
    for number, name in enumerate(drawn):
        part, about = _play_part(random, plan, material, n_samples, name, number)
        facts.append({"role": name, **about})
        gain_db = ROLES[name].gain_db + 2.5 * float(random.standard_normal())
        part *= np.float32(10 ** (gain_db / 20))
        out += part
        if random.random() < 0.75:
            send += part * np.float32(10 ** (random.uniform(-24, -5) / 20))
    if send.any():
        wet = convolve(send, hall)
        out += wet * np.float32(active_level(send) / max(active_level(wet), 1e-9))
    return out, facts


def _play_part(
    random: Random, plan: SongPlan, material: Material, n_samples: int, name: str, number: int
) -> tuple[Samples, dict[str, Any]]:
    role = ROLES[name]
    if "effects" in role.styles:
        sound = effects_part(random, plan, material, n_samples)
        font = "sonic-pi samples" if material.samples else ""
        sound = part_chain(random, role.chain, [sound], plan.clock.tempo_bpm)
        return sound, {"instrument": "effects", "font": font}
    instrument = draw_instrument(random, material, role.programs, role.synth, role.synth_share)
    lowest = int(random.integers(role.lowest[0], role.lowest[1] + 1))
    n_notes = int(random.integers(role.n_notes[0], role.n_notes[1] + 1))
    styles: dict[str, str] = {}
    notes: list[Note] = []
    for section in plan.sections:
        spans = section.chords_of("other")
        if not spans:
            continue
        plays = random.random() < (1.0 if number == 0 else 0.35 + 0.6 * section.energy)
        if section.kind not in styles:
            styles[section.kind] = choose(random, list(role.styles), list(role.styles.values()))
        if plays:
            notes += _compose(random, plan, styles[section.kind], spans, lowest, n_notes)
    is_doubled = random.random() < role.doubled
    lag = float(random.uniform(-0.01, 0.012))
    takes = []
    for take in range(2 if is_doubled else 1):
        spread = (0.004 + 0.01 * plan.genre.looseness) * (1 + take)
        played = plan.clock.play(notes, random, spread_seconds=spread, lag_seconds=lag)
        detune = float(random.uniform(-0.08, 0.08)) if take else 0.0
        takes.append(_render(instrument, played, n_samples, random, detune))
    about = {
        "instrument": instrument.name,
        "font": _font_name(instrument),
        "styles": sorted(set(styles.values())),
        "takes": len(takes),
    }
    return part_chain(random, role.chain, takes, plan.clock.tempo_bpm), about


def _compose(
    random: Random,
    plan: SongPlan,
    style: str,
    spans: Sequence[ChordSpan],
    lowest: int,
    n_notes: int,
) -> list[Note]:
    if style == "lead":
        return lead_line(random, spans, plan.key, lowest, density=float(random.uniform(0.6, 2)))
    return chord_part(random, spans, style, lowest, n_notes)
