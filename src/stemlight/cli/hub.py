"""`stemlight models`: which models there are; `fetch`, `remove` and `push` them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemlight.cli.console import aligned, complain, download_progress, note, print_result
from stemlight.cli.interrupts import Interrupts
from stemlight.errors import StemlightError, UsageError

if TYPE_CHECKING:
    from stemlight.weights.remote_models import RemoteModel

__all__ = ["fetch", "models_app", "push", "remove"]

_WIDEST_LICENCE = 20

models_app = typer.Typer(add_completion=False, rich_markup_mode=None)


@models_app.callback(invoke_without_command=True)
def _list(
    context: typer.Context,
    as_json: Annotated[
        bool, typer.Option("--json", help="All that is known, as JSON for scripts.")
    ] = False,
) -> None:
    """List all models; fetch, remove and push them.

    "here" is `inside` for models of this package, `yes` for those in the cache. The cache is the
    folder in STEMLIGHT_CACHE, or the usual one for caches. `stemlight info NAME` tells more.
    """
    if context.invoked_subcommand is not None:
        if as_json:
            raise UsageError("--json belongs to the list: stemlight models --json")
        return
    models = _all_models()
    if as_json:
        print_result(json.dumps(models, indent=2, ensure_ascii=False, allow_nan=False))
        return
    rows = [("name", "here", "stems", "size", "licence", "SDR")]
    rows += [_row(model) for model in models]
    for line in aligned(rows, left=(0, 1, 2, 4)):
        print_result(line)
    note("SDRs are of different music and metrics: stemlight info NAME tells which")


@models_app.command()
def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A model's name, or hf://owner/repo[@revision].")
    ],
    offline: Annotated[
        bool, typer.Option("--offline", help="Use no network: only what was downloaded before.")
    ] = False,
) -> None:
    """Download a model, verify it and keep it in the cache.

    A download that was cut goes on where it ended. Proxies are those of the environment
    (https_proxy, no_proxy). Prints the model's folder.
    """
    from stemlight.weights.catalogue import embedded_models, find_model

    if name.startswith("hf://"):
        print_result(str(find_model(name, offline=offline)))
        return
    if name in embedded_models():
        print_result(str(find_model(name)))
        return
    # The work is Python's alone, and what it leaves behind when it is stopped can be resumed.
    with Interrupts() as interrupts, interrupts.at_once(), download_progress() as on_progress:
        from stemlight.weights.hub import fetch as fetch_model

        folder = fetch_model(
            name,
            installer=_install,
            offline=offline,
            on_progress=on_progress,
            on_wait=lambda: note(f"another process fetches {name}; waiting for it"),
        )
    print_result(str(folder))


@models_app.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A model's name.")],
) -> None:
    """Remove a model from the cache, with what was downloaded of it."""
    from stemlight.weights.catalogue import embedded_models
    from stemlight.weights.hub import cached_models
    from stemlight.weights.hub import remove as remove_model

    if name in embedded_models() and name not in cached_models():
        raise UsageError(f"the model {name!r} is inside this package and cannot be removed")
    remove_model(name)


@models_app.command()
def push(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A model's folder.")],
    repository: Annotated[
        str, typer.Argument(metavar="OWNER/REPO", help="Where to, on Hugging Face.")
    ],
    private: Annotated[
        bool, typer.Option("--private", help="If the repository is made, make it private.")
    ] = False,
) -> None:
    """Upload a model folder to Hugging Face, with a page made of its card.

    The token is that of `hf auth login`, or in HF_TOKEN. Needs the extra `hub`.
    """
    from stemlight.weights.huggingface import push_to_hub

    print_result(push_to_hub(folder, repository, private=private))


def _install(model: RemoteModel, files: Any, folder: Path) -> None:
    # Making a model of what authors publish may need PyTorch, downloading it does not.
    from stemlight.cli.console import with_extra

    with with_extra("torch", f"making a model of what was downloaded for {model.name}"):
        from stemlight.weights.importing import install_remote

        install_remote(model, files, folder)


def _all_models() -> list[dict[str, Any]]:
    """Tell of every model what its card says or, where it is not here, what is registered."""
    from stemlight.weights.catalogue import embedded_models, usable_models
    from stemlight.weights.remote_models import REMOTE_MODELS

    models, embedded, usable = [], embedded_models(), usable_models()
    for name, folder in usable.items():
        try:
            facts = _facts_of_folder(folder)
        except StemlightError as error:  # one bad model does not hide the others
            complain(f"{name}: {error}")
            continue
        here = "inside" if name in embedded else "yes"
        models.append({"name": name, "here": here, "folder": str(folder)} | facts)
    for name, remote in REMOTE_MODELS.items():
        if name not in usable:
            facts = _facts_of_remote(remote)
            models.append({"name": name, "here": "no", "folder": None} | facts)
    return models


def _facts_of_folder(folder: Path) -> dict[str, Any]:
    from stemlight.weights.cards import ModelCard, read_card
    from stemlight.weights.hub import model_files
    from stemlight.weights.remote_models import REMOTE_MODELS

    card, files = read_card(folder), model_files(folder)
    registered = REMOTE_MODELS.get(folder.name)
    preset = card.preset if isinstance(card, ModelCard) else "ensemble"
    return {
        "summary": card.summary,
        "architecture": registered.architecture if registered else preset,
        "preset": registered.preset if registered else preset,
        "sources": list(card.sources),
        "n_bytes": sum(file.n_bytes for file in files.values()),
        "n_parameters": card.n_parameters,
        "licence": card.licence,
        "training_data": [dataclasses.asdict(data) for data in card.training_data],
        "scores": [dataclasses.asdict(score) for score in card.scores],
        "files": {
            name: {"url": None, "sha256": file.sha256, "n_bytes": file.n_bytes}
            for name, file in files.items()
        },
    }


def _facts_of_remote(model: RemoteModel) -> dict[str, Any]:
    return {
        "summary": model.summary,
        "architecture": model.architecture,
        "preset": model.preset,
        "sources": list(model.sources),
        "n_bytes": model.n_bytes,
        "n_parameters": model.n_parameters,
        "licence": model.licence,
        "training_data": [dataclasses.asdict(data) for data in model.training_data],
        "scores": [dataclasses.asdict(score) for score in model.scores],
        "files": {
            file.name: {
                "url": file.url,
                file.checksum.kind.replace(" ", "_"): file.checksum.digest,
                "n_bytes": file.n_bytes,
            }
            for file in model.files
        },
    }


def _row(model: dict[str, Any]) -> tuple[str, str, str, str, str, str]:
    licence = model["licence"]
    if len(licence) > _WIDEST_LICENCE:
        licence = f"{licence[: _WIDEST_LICENCE - 3].rstrip()}..."
    size = "unknown" if model["n_bytes"] is None else f"{model['n_bytes'] / 1e6:.1f} MB"
    sdr = f"{model['scores'][0]['average_db']:.2f} dB" if model["scores"] else "unknown"
    return (model["name"], model["here"], ", ".join(model["sources"]), size, licence, sdr)
