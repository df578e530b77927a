"""`stemlight import`: files of others in, a model folder out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemlight.cli.console import note, print_result
from stemlight.cli.interrupts import Interrupts
from stemlight.cli.settings import parse_settings
from stemlight.errors import UsageError

if TYPE_CHECKING:
    from stemlight.weights.cards import EnsembleCard, ModelCard

__all__ = ["import_files"]


def import_files(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="A checkpoint (.ckpt, .pt, .safetensors) or an MDX-Net graph (.onnx). Several, "
            "one for each source and perhaps a mixer, make one system; there, folders of models "
            "will do, too.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="DIR", help="The model's new folder. [FILE's name]"),
    ] = None,
    name: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model's name. [the folder's]")
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(metavar="STEM", help="What a network of one source estimates."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(metavar="PRESET", help="A checkpoint's network. [recognised]"),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field of it; repeatable."),
    ] = None,
    n_fft: Annotated[
        int | None,
        typer.Option("--n-fft", metavar="N", min=2, help="Of graphs, which do not tell it."),
    ] = None,
    hop: Annotated[
        int | None, typer.Option("--hop", metavar="SAMPLES", min=1, help="The same. [1024]")
    ] = None,
    gain: Annotated[
        float, typer.Option(metavar="FACTOR", help="Of a graph's estimates ('compensate').")
    ] = 1.0,
    licence: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Terms of the weights, for the card.")
    ] = None,
) -> None:
    """Make a model folder of weights of LaSAFT, LightSAFT, TFC-TDF-U-Net and MDX-Net.

    Nothing in the files is run. Checkpoints need the extra `torch`. Prints the folder and what is
    in it.
    """
    if not 0 < gain < math.inf:
        raise UsageError(f"--gain must be a factor above 0, not {gain}")
    if output is None and len(files) > 1:
        raise UsageError("several files make a system; name its folder with -o DIR")
    folder = output or Path(files[0].stem)
    # Signals come up at once: what is half made is removed on the way out.
    with Interrupts() as interrupts, interrupts.at_once():
        from stemlight.weights.importing import ImportOptions, import_model

        options = ImportOptions(
            name=name or folder.resolve().name,
            source=source,
            preset=preset,
            arguments=parse_settings(settings or ()),
            n_fft=n_fft,
            hop_samples=hop,
            output_gain=gain,
            licence=licence,
        )
        card = import_model(files, folder, options)
    _tell_what_is_missing(card)
    print_result(f"{folder}: {_described(card)}")


def _tell_what_is_missing(card: ModelCard | EnsembleCard) -> None:
    from stemlight.weights.cards import WEIGHTS_FILE, EnsembleCard

    if not isinstance(card, EnsembleCard) and WEIGHTS_FILE not in card.files:
        note(f"note: {card.summary}")


def _described(card: ModelCard | EnsembleCard) -> str:
    from stemlight.weights.cards import EnsembleCard

    kind = f"system of {', '.join(card.members)}" if isinstance(card, EnsembleCard) else card.preset
    mixer = " with a mixer" if isinstance(card, EnsembleCard) and card.mixes else ""
    parameters = f", {card.n_parameters} parameters" if card.n_parameters else ""
    return f"{kind}{mixer}, stems {', '.join(card.sources)}{parameters}"
