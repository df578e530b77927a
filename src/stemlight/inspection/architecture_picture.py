"""A drawing of a network from its config."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Patch

from stemlight.inspection.architecture import Part, parts_of
from stemlight.inspection.drawing import Picture, grid
from stemlight.inspection.places import kept_bins
from stemlight.inspection.subject import Subject
from stemlight.models.config import ModelConfig

__all__ = ["architecture_figure"]

_WIDTH, _HEIGHT, _ROW = 4.6, 1.0, 1.5  # of a box, and from one level to the next
_MIDDLE = 4.6  # from the centre of the picture to that of a box
_CONTROL = 10.3
_LINE = 0.23  # from one line of text to the next
_INCHES = 0.72  # of a unit
_PLAIN, _CONDITIONED, _ENDS = "#dbe9f4", "#fbe3c2", "#eeeeee"


def architecture_figure(subject: Subject) -> Picture:
    """Draw the parts of the network with their shapes and parameters, as the card tells them.

    Raises:
        UsageError: the model is a system of several.
    """
    config = subject.known_config()
    parts = parts_of(config)
    n_levels = config.network.n_levels
    n_parameters = sum(part.n_parameters for part in parts)
    figure, axes = grid(
        1,
        1,
        size=(13, 0.6 + _INCHES * (_ROW * (n_levels + 2) + 1.6)),
        title=f"{subject.name}: {_grouped(n_parameters)} parameters; boxes hold features × frames "
        f"× {_bins_word(config)}, and parameters",
    )
    axis = axes[0, 0]
    axis.set_axis_off()
    bottom = -_ROW * n_levels - _HEIGHT / 2 - 0.1
    right = _CONTROL + _WIDTH / 2 + 0.1 if config.network.is_conditioned else 7.2
    axis.set(xlim=(-7.2, right), ylim=(bottom, 2 * _ROW + _HEIGHT / 2))
    _draw_ends(axis, config, parts)
    for part in parts:
        if part.kind in ("encoder", "decoder", "middle"):
            _draw_block(axis, part)
        elif part.kind in ("down", "up"):
            _draw_step(axis, part, n_levels)
    word = {"concatenate": "concatenated", "multiply": "multiplied"}[config.network.merge_skip]
    for level in range(n_levels):
        y = -_ROW * level
        _arrow(axis, (-_MIDDLE + _WIDTH / 2, y), (_MIDDLE - _WIDTH / 2, y), dashed=True)
        axis.text(0, y + 0.08, f"skip, {word}", ha="center", va="bottom", fontsize="x-small")
    if config.network.is_conditioned:
        _draw_control(axis, config, parts)
    return figure


def _bins_word(config: ModelConfig) -> str:
    return {"folded": "folded bins", "bands": "bands"}.get(config.network.head, "bins")


def _place(part: Part) -> tuple[float, float]:
    x = {"encoder": -_MIDDLE, "decoder": _MIDDLE, "middle": 0.0}[part.kind]
    return x, -_ROW * part.level


def _draw_block(axis: Axes, part: Part) -> None:
    assert part.shape is not None
    colour = _CONDITIONED if part.is_conditioned else _PLAIN
    shape = f"{_shape(part)},  {_grouped(part.n_parameters)} parameters"
    lines = [*part.text.split("\n"), shape]
    _box(axis, _place(part), part.name, lines, colour)


def _draw_step(axis: Axes, part: Part, n_levels: int) -> None:
    is_down = part.kind == "down"
    x = -_MIDDLE if is_down else _MIDDLE
    top, bottom = -_ROW * part.level - _HEIGHT / 2, -_ROW * (part.level + 1) + _HEIGHT / 2
    if part.level == n_levels - 1:  # the middle lies between the two sides
        y = -_ROW * n_levels
        end = (-_WIDTH / 2, y) if is_down else (_WIDTH / 2, y)
        corner = (x, y)
        axis.plot([x, x], [top, y], color="0.3", linewidth=1)
        if is_down:
            _arrow(axis, corner, end)
        else:
            axis.plot([end[0], x], [y, y], color="0.3", linewidth=1)
            _arrow(axis, (x, y), (x, top))
    else:
        _arrow(axis, *(((x, top), (x, bottom)) if is_down else ((x, bottom), (x, top))))
    text = f"{part.text}; {_grouped(part.n_parameters)}"
    axis.text(
        x + (0.12 if is_down else -0.12),
        (top + bottom) / 2,
        text,
        ha="left" if is_down else "right",
        va="center",
        fontsize="x-small",
    )


def _draw_ends(axis: Axes, config: ModelConfig, parts: Sequence[Part]) -> None:
    by_kind = {part.kind: part for part in parts}
    stft = config.stft
    planes = f"{stft.n_planes} × {config.n_frames} × {kept_bins(config)}"
    window = f"n_fft {stft.n_fft}, hop {stft.hop_samples}, {stft.representation}"
    seen = f"planes {planes},  {config.band_limit_hz / 1000:.2f} kHz at most"
    head, tail = by_kind["head"], by_kind["tail"]
    ends = [
        (-_MIDDLE, "STFT", [window, seen], head),
        (_MIDDLE, "inverse STFT", [f"{window}", f"planes {_shape(tail)}"], tail),
    ]
    for x, name, lines, part in ends:
        _box(axis, (x, 2 * _ROW - 0.1), name, lines, _ENDS)
        _box(
            axis,
            (x, _ROW - 0.05),
            part.name,
            [part.text, f"{_grouped(part.n_parameters)} parameters"],
            _ENDS,
        )
        heights = [
            (2 * _ROW - 0.1 - _HEIGHT / 2, _ROW - 0.05 + _HEIGHT / 2),
            (_ROW - 0.05 - _HEIGHT / 2, _HEIGHT / 2),
        ]
        for upper, lower in heights:
            _arrow(axis, *(((x, upper), (x, lower)) if x < 0 else ((x, lower), (x, upper))))


def _draw_control(axis: Axes, config: ModelConfig, parts: Sequence[Part]) -> None:
    x, right = _CONTROL, _MIDDLE + _WIDTH / 2
    boxes = [part for part in parts if part.kind == "control"]
    for number, part in enumerate(boxes):
        y = 2 * _ROW - 0.1 - number * (_ROW - 0.05)
        lines = [part.text, f"{_grouped(part.n_parameters)} parameters"]
        _box(axis, (x, y), part.name, lines, _CONDITIONED)
        if number:
            _arrow(axis, (x, y + _ROW - 0.05 - _HEIGHT / 2), (x, y + _HEIGHT / 2))
    lowest = 2 * _ROW - 0.1 - (len(boxes) - 1) * (_ROW - 0.05) - _HEIGHT / 2
    told = [part for part in parts if part.is_conditioned and part.kind != "control"]
    if any(part.kind != "decoder" for part in told):
        names = "all blocks in orange"
    else:
        names = "the blocks of the decoder"
    deepest = min((_place(part)[1] for part in told if part.kind == "decoder"), default=0.0)
    axis.plot([x, x], [lowest, deepest], color="#d58a00", linewidth=1)
    for part in told:
        if part.kind == "decoder":
            _arrow(axis, (x, _place(part)[1]), (right, _place(part)[1]), colour="#d58a00")
    axis.text(
        x + 0.12, (lowest + deepest) / 2 - 0.35, f"to {names}", fontsize="x-small", va="center"
    )
    handles = [
        Patch(facecolor=_PLAIN, edgecolor="0.3", label="the same for all sources"),
        Patch(facecolor=_CONDITIONED, edgecolor="0.3", label="depends on the source"),
    ]
    axis.legend(handles=handles, loc="lower right", fontsize="small", frameon=False)


def _box(
    axis: Axes, centre: tuple[float, float], name: str, lines: Sequence[str], colour: str
) -> None:
    x, y = centre
    axis.add_patch(
        FancyBboxPatch(
            (x - _WIDTH / 2, y - _HEIGHT / 2),
            _WIDTH,
            _HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.08",
            facecolor=colour,
            edgecolor="0.3",
            linewidth=0.8,
        )
    )
    top = y + _LINE * len(lines) / 2
    axis.text(x, top, name, ha="center", va="center", fontsize="small", fontweight="bold")
    for number, line in enumerate(lines, start=1):
        axis.text(x, top - _LINE * number, line, ha="center", va="center", fontsize="x-small")


def _arrow(
    axis: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    *,
    dashed: bool = False,
    colour: str = "0.3",
) -> None:
    axis.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={
            "arrowstyle": "-|>",
            "color": colour,
            "linewidth": 1,
            "linestyle": "--" if dashed else "-",
            "shrinkA": 0,
            "shrinkB": 0,
        },
    )


def _shape(part: Part) -> str:
    assert part.shape is not None
    return " × ".join(map(str, part.shape))


def _grouped(number: int) -> str:
    return f"{number:,}".replace(",", " ")
