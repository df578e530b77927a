"""Pictures of the attention over latent sources."""

from __future__ import annotations

from stemlight.errors import UsageError
from stemlight.inspection.attention import mean_attention, shared_attention
from stemlight.inspection.drawing import (
    AMOUNTS,
    Picture,
    colour_bar,
    draw_levels,
    draw_table,
    grid,
    label_outside,
)
from stemlight.inspection.levels import levels_db, power_of
from stemlight.inspection.observing import Observation, listens
from stemlight.inspection.subject import Subject

__all__ = ["attention_figure", "attention_over_time_figure"]


def attention_figure(subject: Subject, observation: Observation | None = None) -> Picture:
    """Draw which latent sources each target uses in each layer, and what targets share.

    Errors are those of `mean_attention`.
    """
    layers = mean_attention(subject, observation)
    heard = ", mean over the song" if listens(subject) else ""
    n_latents, n_sources = next(iter(layers.values())).shape[::-1]
    n_rows = len(layers)
    figure, axes = grid(
        n_rows,
        2,
        size=(6.4 + 0.34 * n_latents + 0.3 * n_sources, 1.1 + n_rows * (0.75 + 0.28 * n_sources)),
        title=f"Attention over latent sources of {subject.name}{heard}",
        width_ratios=(max(n_latents, 6), n_sources + 1),
    )
    latents = [str(number + 1) for number in range(n_latents)]
    most = max(float(shares.max()) for shares in layers.values())
    for (wide, square), (name, shares) in zip(axes, layers.items(), strict=True):
        used = draw_table(
            wide, shares, rows=subject.sources, columns=latents, limits=(0, max(most, 1e-12))
        )
        wide.set_title(f"{name}: which latent sources a target uses", fontsize="small")
        wide.set_ylabel("target")
        alike = draw_table(
            square,
            shared_attention(shares),
            rows=subject.sources,
            columns=subject.sources,
            limits=(0, 1),
        )
        square.set_title(f"{name}: what two share", fontsize="small")
    axes[-1, 0].set_xlabel("latent source")
    axes[-1, 1].set_xlabel("target")
    colour_bar(used, axes[:, 0], "share of the target's attention (0 to 1)")
    colour_bar(alike, axes[:, 1], "attention in common (0 to 1)")
    return figure


def attention_over_time_figure(subject: Subject, observation: Observation) -> Picture:
    """Draw the attention of each target and layer along the song, under its spectrogram.

    Raises:
        UsageError: the attention does not listen, so there is nothing to follow.
    """
    if not listens(subject):
        raise UsageError(
            f"the attention of {subject.name!r} does not listen: it is the same in every frame"
        )
    layers, sources = observation.attention, subject.sources
    rate_hz = observation.sample_rate_hz
    duration = observation.mixture.shape[1] / rate_hz
    loudest = float(power_of(observation.mixture).max())
    n_rows = 2 + len(layers)
    figure, axes = grid(
        n_rows,
        len(sources),
        size=(1.4 + 3.6 * len(sources), 1 + 1.7 * n_rows),
        title=f"Attention over latent sources along the song, {subject.name}",
    )
    most = max(float(weights.max()) for weights in layers.values())
    for column, source in enumerate(sources):
        top, second = axes[0, column], axes[1, column]
        for axis, samples in ((top, observation.mixture), (second, observation.estimates[source])):
            levels = levels_db(samples, loudest_power=loudest)
            image = draw_levels(axis, levels, duration_seconds=duration, top_hz=rate_hz / 2)
        top.set_title("mixture", fontsize="small")
        second.set_title(f"estimate: {source}", fontsize="small")
        for row, (name, weights) in enumerate(layers.items(), start=2):
            axis = axes[row, column]
            n_latents = weights.shape[2]
            drawn = axis.imshow(
                weights[column].T,
                origin="lower",
                aspect="auto",
                interpolation="nearest",
                cmap=AMOUNTS,
                vmin=0,
                vmax=most,
                extent=(0, duration, 0.5, n_latents + 0.5),
            )
            axis.set_title(f"{name}, target {source}", fontsize="small")
            axis.set_ylabel("latent source")
        axes[-1, column].set_xlabel("time (s)")
    label_outside(axes)
    colour_bar(image, axes[:2, :], "level (dB below the mixture's loudest)")
    colour_bar(drawn, axes[2:, :], "share of the target's attention (0 to 1)")
    return figure
