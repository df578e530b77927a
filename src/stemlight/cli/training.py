"""`stemlight train`: trains a model, or a mixer over models."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from stemlight.cli.console import note, print_result, with_extra
from stemlight.errors import UsageError

__all__ = ["train"]


def train(
    recipe: Annotated[
        Path, typer.Argument(metavar="RECIPE", help="A YAML file that says all about the run.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a field of the recipe; repeats."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run's last checkpoint.")
    ] = False,
    devices: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Processes on this machine, one for each GPU."),
    ] = None,
    nodes: Annotated[int | None, typer.Option(metavar="N", min=1, help="Machines.")] = None,
    strategy: Annotated[
        str | None,
        typer.Option(metavar="ddp|fsdp", help="Whole networks, or one spread over processes."),
    ] = None,
) -> None:
    """Train a model; prints the path of its last checkpoint. Needs the extra `train`.

    The recipe of a mixer over trained separators makes a model folder, whose path is printed.

    --devices, --nodes and --strategy stand for --set hardware.devices=N and so on.
    """
    with with_extra("train", "training"):
        from stemlight.training import run
        from stemlight.training.recipe import read_recipe
        from stemlight.training.recipe_files import SEPARATORS, read_fields

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it advertises
    hardware = {"devices": devices, "nodes": nodes, "strategy": strategy}
    chosen = [f"hardware.{key}={value}" for key, value in hardware.items() if value is not None]
    fields = read_fields(recipe, [*(settings or ()), *chosen])
    if SEPARATORS in fields:
        _train_mixer(fields, resume=resume)
        return
    content = read_recipe(recipe, [*(settings or ()), *chosen])
    with contextlib.redirect_stdout(sys.stderr):  # where Lightning would draw its progress
        checkpoint = run.train(content, resume=resume, report=note)
    if run.is_first_process():
        print_result(str(checkpoint))


def _train_mixer(fields: Mapping[str, Any], *, resume: bool) -> None:
    if resume:
        raise UsageError("a mixer is trained in one go; leave --resume out")
    from stemlight.training.mixer_recipe import mixer_recipe, train_mixer_recipe

    print_result(str(train_mixer_recipe(mixer_recipe(fields), report=note)))
