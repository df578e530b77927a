"""`stemlight data synth`: makes training music."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stemlight.cli.console import note, print_result
from stemlight.cli.interrupts import Interrupts

__all__ = ["synth"]


def synth(
    hours: Annotated[float, typer.Option(metavar="H", help="How much music to have in the end.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the songs go.")
    ],
    seed: Annotated[int, typer.Option(metavar="S", help="Another seed, other songs.")] = 0,
    workers: Annotated[int, typer.Option(metavar="N", help="How many processes make songs.")] = 1,
    soundfonts: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="DIR", help="Search here, too, for .sf2, .sf3 and drum kits; repeatable."
        ),
    ] = None,
    permissive: Annotated[
        bool,
        typer.Option("--permissive", help="Take only sounds under CC0 or MIT terms."),
    ] = False,
    shortest: Annotated[float, typer.Option(metavar="SECONDS", help="Of a song.")] = 30.0,
    longest: Annotated[float, typer.Option(metavar="SECONDS", help="Of a song.")] = 120.0,
) -> None:
    """Make songs with vocals, drums, bass and other, from soundfonts, samples and synthesisers.

    The same seed gives the same songs on the same material, whatever the hours and workers; songs
    that are there already are kept, so that a broken run can go on. Needs the extra `synth`.
    """
    from stemlight.synthesis import DatasetOrder, find_material, write_songs

    material = find_material(soundfonts or (), permissive_only=permissive)
    for name in material.missing:
        note(f"not found, and left out: {name}")
    order = DatasetOrder(
        hours=hours,
        seed=seed,
        folder=output,
        material=material,
        shortest_seconds=shortest,
        longest_seconds=longest,
    )
    with Interrupts() as interrupts:

        def tell(n_done: int, n_total: int) -> None:
            interrupts.check()
            note(f"[{n_done}/{n_total}] songs")

        write_songs(order, n_workers=workers, on_song=tell)
        interrupts.check()
    print_result(str(output))
