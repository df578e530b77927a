"""Drum patterns, their variations from bar to bar, and fills."""

from __future__ import annotations

from stemlight.synthesis.notes import Hit, Random, choose

__all__ = ["FAMILIES", "PIECES", "Groove", "draw_groove", "drum_bar", "drum_fill", "trap_rolls"]

PIECES = (
    "kick", "snare", "rim", "clap", "hat_closed", "hat_pedal", "hat_open", "tom_low", "tom_mid",
    "tom_high", "crash", "ride", "bell", "cowbell", "tambourine", "shaker", "conga_low",
    "conga_high",
)  # fmt: skip

Groove = dict[str, str]
"""What each piece plays in a bar of sixteen (or twelve) steps: X accent, x, o soft, - ghost."""

_VELOCITY = {"X": 1.0, "x": 0.85, "o": 0.6, "-": 0.28}

# kick / snare, one bar of sixteenths (two of the ballads are in twelve steps).
FAMILIES: dict[str, tuple[tuple[str, str], ...]] = {
    "rock": (
        ("X.......X.......", "....X.......X..."),
        ("X.......X.x.....", "....X.......X..."),
        ("X.x.....X.......", "....X.......X..."),
        ("X.....x.X.....x.", "....X.......X..."),
        ("X......xX.x.....", "....X.......X..."),
        ("X.X...X...X.....", "....X.......X..."),
        ("X.x.x.x.X.x.x.x.", "....X.......X..."),
        ("X.........x.....", "....X.......X..."),
        ("X.......x.......", "........X......."),
    ),
    "punk": (
        ("X...X...X...X...", "..X...X...X...X."),
        ("X..xX...X..xX...", "..X...X...X...X."),
        ("X.......X.x.....", "....X.......X..."),
    ),
    "pop": (
        ("X.......X.......", "....X.......X..."),
        ("X...X...X...X...", "....X.......X..."),
        ("X..x..x.X.......", "....X.......X..."),
        ("X.....x...x.....", "....X.......X..."),
        ("X..X..X...x.....", "....X.......X..."),
    ),
    "funk": (
        ("X.x.......x..x..", "....X..-.-..X..-"),
        ("X..x..x..xx.....", "....X..-.-.-X..-"),
        ("X.X...x...X..x..", "-...X.-..-..X.-."),
        ("X......x..X.x...", "....X-.-.-..X..-"),
    ),
    "hiphop": (
        ("X.....x...X.....", "....X.......X..."),
        ("X..x......x..x..", "....X.......X..."),
        ("X......xX.......", "....X.......X..-"),
        ("X.x....x..x.....", "....X..-....X..."),
        ("X.........X..x..", "....X.......X..."),
    ),
    "trap": (
        ("X......x..x.....", "........X......."),
        ("X.....x....x..x.", "........X......."),
        ("X..x......X..x..", "....X.......X..."),
        ("X.........x.....", "........X.....-."),
    ),
    "house": (
        ("X...X...X...X...", "....x.......x..."),
        ("X...X...X...X..x", "....x.......x..."),
        ("X...X...X.x.X...", "....x.......x..."),
    ),
    "techno": (
        ("X...X...X...X...", "................"),
        ("X...X...X...X...", "....o.......o..."),
        ("X..oX..oX..oX..o", "....x.......x..x"),
    ),
    "breaks": (
        ("X.x.......xx....", "....X..-.-..X..-"),
        ("X.........x.....", "....X.......X..."),
        ("X..x......x..x..", "....X..-.-..X..-"),
        ("X.X.......X.....", "....X..x.-..X..x"),
    ),
    "metal": (
        ("XxXxXxXxXxXxXxXx", "....X.......X..."),
        ("X.xxX.xxX.xxX.xx", "....X.......X..."),
        ("XxXxXxXxXxXxXxXx", "........X......."),
        ("X.X.X.X.X.X.X.X.", ".x.x.x.x.x.x.x.x"),
        ("X..xx...X..xx...", "....X.......X..."),
        ("X.xxX.x.X..x.xx.", "....X.......X..."),
    ),
    "ballad": (
        ("X...............", "........X......."),
        ("X.......x.x.....", "....x.......x..."),
        ("X.........x.....", "....o.......o..."),
        ("X.....x.....", "......X....."),
        ("X....xx.....", "......X....."),
    ),
    "latin": (
        ("X..xX..xX..xX..x", "...o..o.....o..."),
        ("X..x..x.X..x..x.", "................"),
        ("X...X...X...X...", "...x..x....x..x."),
        ("X..xx..xX..xx..x", "..x..x....x..x.."),
    ),
    "reggae": (
        ("........X.......", "........x......."),
        ("X...X...X...X...", "........X......."),
        ("X.......X.......", "....-...X..-...."),
    ),
    "halftime": (
        ("X.......x.x.....", "........X......."),
        ("X..x......x.....", "........X......."),
        ("X.x...x.....x...", "........X......."),
    ),
}

_HATS_16 = (
    "x.o.x.o.x.o.x.o.",
    "X.o.X.o.X.o.X.o.",
    "xooxxoxoxooxxoxo",
    "xoxoxoxoxoxoxoxo",
    "X-o-X-o-X-o-X-o-",
    "x...x...x...x...",
    "..x...x...x...x.",
    "..X.-.X.-.X.-.X.",
    "x.ox.oxox.ox.oxo",
    "x..xx..xx..xx..x",
)
_HATS_12 = ("x.o.x.o.x.o.", "xooxooxooxoo", "X..x..X..x..")


def draw_groove(random: Random, family: str, energy: float) -> Groove:
    """Draw what the drummer plays in a section."""
    kick, snare = choose(random, FAMILIES[family])
    groove = {"kick": kick}
    is_electronic = family in ("house", "techno", "trap", "hiphop")
    back = ("snare", "clap", "rim") if is_electronic else ("snare", "rim")
    weights = (0.45, 0.4, 0.15) if is_electronic else (0.95 - 0.3 * (energy < 0.35), 0.1)
    groove[choose(random, back, weights)] = snare
    if is_electronic and random.random() < 0.3:
        groove.setdefault("clap", snare.replace("-", "."))
    steps = len(kick)
    hats = _HATS_16 if steps == 16 else _HATS_12
    if family in ("house", "techno", "latin") and steps == 16 and random.random() < 0.5:
        groove["hat_open"] = "..x...x...x...x."
    time_piece = "hat_closed"
    if not is_electronic:
        options = ("hat_closed", "ride", "hat_open", "crash", "tom_low", "bell")
        loud = (0.35, 0.25, 0.25, 0.1, 0.04, 0.03)
        quiet = (0.7, 0.18, 0.05, 0.0, 0.05, 0.02)
        time_piece = choose(random, options, loud if energy > 0.7 else quiet)
    pattern = choose(random, hats)
    if time_piece in ("crash", "hat_open", "bell"):
        pattern = choose(random, ("x...x...x...x...", "x.o.x.o.x.o.x.o."))[:steps]
    groove[time_piece] = pattern
    if time_piece in ("ride", "bell", "tom_low") and random.random() < 0.5:
        groove["hat_pedal"] = "....o.......o..."[:steps]
    for piece, chance in (
        ("tambourine", 0.12),
        ("shaker", 0.12),
        ("cowbell", 0.03),
        ("conga_high", 0.25 if family == "latin" else 0.04),
    ):
        if random.random() < chance:
            groove[piece] = choose(random, hats)
            if piece == "conga_high":
                groove["conga_low"] = choose(random, ("......x.......xx", "...x...o...x..oo"))[
                    :steps
                ]
    return groove


def drum_bar(random: Random, groove: Groove, beat: float, *, looseness: float) -> list[Hit]:
    """Play one bar from `beat` on; `looseness` is how much changes from bar to bar."""
    hits = []
    for piece, pattern in groove.items():
        step_beats = 4.0 / 16 if len(pattern) == 16 else 4.0 / 12
        for step, mark in enumerate(pattern):
            if mark == ".":
                is_kick = piece == "kick" and step % 2 == 0
                if random.random() < looseness * (0.08 if is_kick else 0.0):
                    hits.append(Hit(beat + step * step_beats, piece, 0.7))
                if piece == "snare" and random.random() < looseness * 0.05:
                    hits.append(Hit(beat + step * step_beats, piece, 0.22))
                continue
            if mark in "o-" and random.random() < looseness * 0.15:
                continue
            velocity = _VELOCITY[mark] * (1 + 0.07 * float(random.standard_normal()))
            hits.append(Hit(beat + step * step_beats, piece, velocity))
            if piece == "hat_closed" and random.random() < looseness * 0.04:
                hits[-1] = Hit(beat + step * step_beats, "hat_open", velocity * 0.9)
    return hits


def trap_rolls(random: Random, beat: float) -> list[Hit]:
    """Return fast hi-hat rolls somewhere in a bar."""
    hits = []
    for _ in range(int(random.integers(1, 3))):
        start = float(random.integers(0, 8)) / 2
        division = choose(random, (6, 8, 12))
        for step in range(division // 2):
            hits.append(Hit(beat + start + step / division, "hat_closed", 0.45 + 0.04 * step))
    return hits


def drum_fill(random: Random, beat: float, beats: float) -> list[Hit]:
    """Fill the end of a bar: rolls over toms, snare build-ups, or crashes with the kick."""
    kind = choose(random, ("toms", "snare", "mixed", "stabs", "build"))
    step_beats = choose(random, (0.25, 0.25, 0.25, 1 / 6, 0.5)) if kind != "build" else 0.25
    n_steps = round(beats / step_beats)
    hits = []
    toms = ("snare", "tom_high", "tom_mid", "tom_low")
    for step in range(n_steps):
        share = step / n_steps
        velocity = 0.6 + 0.35 * share + 0.08 * float(random.standard_normal())
        at = beat + step * step_beats
        if kind == "toms":
            hits.append(Hit(at, toms[min(3, int(share * 4))], velocity))
        elif kind == "snare":
            hits.append(Hit(at, "snare", velocity if step % 2 == 0 else 0.6 * velocity))
        elif kind == "mixed":
            if random.random() < 0.75:
                hits.append(Hit(at, choose(random, (*toms, "kick")), velocity))
        elif kind == "stabs":
            if step % 2 == 0:
                hits += [
                    Hit(at, piece, 0.95) for piece in ("kick", choose(random, ("crash", "snare")))
                ]
        else:
            hits.append(Hit(at, "snare", 0.3 + 0.6 * share))
    return hits
