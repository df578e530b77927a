"""`stemlight blend`: several models in, one that averages them out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from stemlight.cli.console import print_result
from stemlight.errors import UsageError

__all__ = ["blend"]

_KUIELAB = "kuielab"


def blend(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL MODEL...",
            help="Names or folders of models, demucs:NAME or openunmix:NAME.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="The new model's folder.")
    ],
    shares: Annotated[
        str | None,
        typer.Option(
            metavar="STEM=SHARE,...|kuielab",
            help="The first of two models' share of each stem, in 0..1; kuielab: as in the Music "
            "Demixing Challenge 2021. [equal]",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The new model's name. [the folder's]")
    ] = None,
) -> None:
    """Write a model that averages several.

    Models of ours are copied into FOLDER. Those of other projects stay addresses, which their own
    packages load, and may download; they need the extra `demucs` or `openunmix`.
    """
    from stemlight.weights.blending import blend_models

    first_shares = None if shares is None else _read_shares(shares)
    card = blend_models(models, output, shares=first_shares, name=name)
    print_result(f"{output}: {', '.join(card.members)}; stems {', '.join(card.sources)}")


def _read_shares(text: str) -> Mapping[str, float]:
    from stemlight.separation import KUIELAB_BLEND

    if text == _KUIELAB:
        return KUIELAB_BLEND
    shares = {}
    for part in text.split(","):
        stem, equals, share = (word.strip() for word in part.partition("="))
        try:
            shares[stem] = float(share)
        except ValueError:
            equals = ""
        if not (stem and equals):
            raise UsageError(
                f"--shares needs {_KUIELAB}, or stems and numbers such as vocals=0.9,drums=0.5; "
                f"got {part!r}"
            )
    return shares
