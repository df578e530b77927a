"""Turns files of others into model folders: the authors' checkpoints, and MDX-Net graphs.

One file becomes a model of one network. Several become a system: one network for each source, and
a mixer over them if one of the files is a mixer.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from stemlight.errors import MissingExtraError, OutputError, UsageError, WeightsError
from stemlight.weights.cards import (
    CARD_FILE,
    EnsembleCard,
    ModelCard,
    file_facts,
    read_card,
    write_card,
)
from stemlight.weights.hub import CACHE_VARIABLE, cache_folder
from stemlight.weights.import_cards import (
    ImportOptions,
    closest_preset,
    completed_options,
    model_options,
)
from stemlight.weights.import_graph import import_graph
from stemlight.weights.import_system import holds_mixer, import_system
from stemlight.weights.remote_models import RemoteModel
from stemlight.weights.systems import complete_folder

__all__ = [
    "ImportOptions",
    "closest_preset",
    "import_model",
    "imported",
    "install_remote",
    "is_importable",
]

_GRAPH_SUFFIX = ".onnx"
_SUFFIXES = (".pt", ".pth", ".ckpt", ".th", ".safetensors", _GRAPH_SUFFIX)


def is_importable(path: Path) -> bool:
    """Tell by its name whether a file may be one that `import_model` reads."""
    return path.suffix.lower() in _SUFFIXES


def import_model(
    files: Sequence[Path], folder: Path, options: ImportOptions | None = None
) -> ModelCard | EnsembleCard:
    """Write a model folder made of `files`; it appears complete, or not at all.

    Several make a system, of which members may also be model folders. What is known of published
    files is filled in.

    Raises:
        UsageError: `folder` holds something already, or files or options do not go together.
        ConfigError: no such preset or field of one.
        WeightsError: a file is damaged, of no known network, or could run code.
        MissingExtraError: PyTorch is needed and not installed.
        OutputError: the folder cannot be written.
    """
    options = options or ImportOptions()
    _check_files(files)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there already and not empty; choose another folder")
    with _new_parents(folder), complete_folder(folder) as partial:
        if len(files) == 1 and not holds_mixer(files[0]):
            return _import_one(files[0], partial, options)
        return import_system(files, partial, options, _import_one)


def install_remote(model: RemoteModel, files: Mapping[str, Path], folder: Path) -> None:
    """Make the model folder of a fetched model out of its files, by name."""
    card = import_model(list(files.values()), folder, model_options(model))
    write_card(dataclasses.replace(card, scores=model.scores), folder)


def imported(path: Path, *, cache: Path | None = None) -> Path:
    """Return the folder of a model that is given as a file; it is imported once and kept.

    Raises:
        UsageError: the file does not tell enough; `import_model` takes what is missing.
        WeightsError, MissingExtraError: as `import_model`.
        OutputError: the cache cannot be written.
    """
    try:
        digest = file_facts(path).sha256
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    # Without the package onnx, the weights of a graph stay in it: that is another model.
    is_whole = path.suffix.lower() != _GRAPH_SUFFIX or importlib.util.find_spec("onnx") is not None
    kept = (cache or cache_folder()) / "imported"
    folder = kept / (digest if is_whole else f"{digest}-graph")
    if _is_readable(folder):
        return folder
    try:
        import_model([path], folder, ImportOptions(name=path.stem))
    except (OutputError, UsageError) as error:
        if _is_readable(folder):  # another process was quicker
            return folder
        if isinstance(error, OutputError):
            raise OutputError(f"{error}; choose another cache with {CACHE_VARIABLE}") from error
        raise
    return folder


def _is_readable(folder: Path) -> bool:
    """Tell whether there is a model, and remove one that another version of stemlight wrote."""
    if not (folder / CARD_FILE).is_file():
        return False
    try:
        read_card(folder)
    except WeightsError:
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True


def _check_files(files: Sequence[Path]) -> None:
    if not files:
        raise UsageError("no file to import; name at least one")
    for path in files:
        if not path.exists():
            raise UsageError(f"there is no file {path}")
        if path.is_dir() and len(files) == 1:
            raise UsageError(f"{path} is a folder; name a file")
        if not path.is_dir() and not is_importable(path):
            raise UsageError(
                f"{path} is of no kind that can be imported; known are {', '.join(_SUFFIXES)}"
            )
    if len({path.resolve() for path in files}) < len(files):
        raise UsageError("a file is named twice")


@contextmanager
def _new_parents(folder: Path) -> Iterator[None]:
    """Remove the folders above `folder` that were made for nothing."""
    new = [parent for parent in folder.parents if not parent.exists()]
    try:
        yield
    except BaseException:
        for parent in new:
            if parent.is_dir() and not any(parent.iterdir()):
                parent.rmdir()
        raise


def _import_one(path: Path, folder: Path, options: ImportOptions) -> ModelCard:
    folder.mkdir(exist_ok=True)
    options = completed_options(options, path)
    if path.suffix.lower() == _GRAPH_SUFFIX:
        return import_graph(path, folder, options)
    try:
        from stemlight.weights.import_checkpoint import import_checkpoint
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"importing {path.name} needs {error.name}, which is not installed; "
            "run: pip install 'stemlight[torch]'"
        ) from error
    return import_checkpoint(path, folder, options)
