"""The user's cache of models: fetched once, verified, whole or not there at all.

    <cache>/models/<name>/              a model: card.json and its files
    <cache>/downloads/<hash>/<name>     what its authors publish, until the model is made of it

The cache is the folder in the environment variable STEMLIGHT_CACHE, or else the usual one for
caches of this user.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from stemlight.errors import DownloadError, OutputError, UsageError, WeightsError, did_you_mean
from stemlight.weights.cards import (
    CARD_FILE,
    Card,
    EnsembleCard,
    FileFacts,
    read_card,
    verified_file,
)
from stemlight.weights.locks import exclusive
from stemlight.weights.remote_models import REMOTE_MODELS, RemoteFile, RemoteModel
from stemlight.weights.systems import stored_members

__all__ = [
    "CACHE_VARIABLE",
    "FileProgress",
    "Installer",
    "cache_folder",
    "cached_models",
    "fetch",
    "model_files",
    "remove",
    "verify_model",
]

CACHE_VARIABLE = "STEMLIGHT_CACHE"

Installer = Callable[[RemoteModel, Mapping[str, Path], Path], None]
"""Makes a model folder: called with the model, its verified files by `RemoteFile.name`, and an
empty folder to fill with `card.json` and all that the card lists."""

FileProgress = Callable[[str, int, int | None], None]
"""Called with a file's name, the bytes that are here, and its bytes, where they are known."""


def cache_folder() -> Path:
    """Return the folder of the cache, which need not exist."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("stemlight")


def cached_models(cache: Path | None = None) -> dict[str, Path]:
    """Return the folders of the models in the cache, by name."""
    models = (cache or cache_folder()) / "models"
    return {
        card.parent.name: card.parent
        for card in sorted(models.glob(f"*/{CARD_FILE}"))
        if not card.parent.name.startswith(".")  # being made just now
    }


def fetch(
    name: str,
    *,
    installer: Installer,
    cache: Path | None = None,
    offline: bool = False,
    on_progress: FileProgress | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Path:
    """Bring a registered model into the cache, unless it is there intact; return its folder.

    Another process that fetches the same model is waited for; `on_wait` is called then.

    Raises:
        UsageError: no such model is registered.
        DownloadError: a file cannot be had or is not the expected one, or `offline` forbids it.
        WeightsError: no model can be made of the files.
        OutputError: the cache cannot be written.
    """
    if name not in REMOTE_MODELS:
        raise UsageError(
            f"no model {name!r} can be fetched{did_you_mean(name, REMOTE_MODELS)}; "
            f"models are {', '.join(REMOTE_MODELS)}"
        )
    model, root = REMOTE_MODELS[name], cache or cache_folder()
    folder = root / "models" / name
    if _is_intact(folder):
        return folder
    with _writing(root), exclusive(folder.with_name(f".{name}.lock"), on_wait=on_wait):
        if not _is_intact(folder):  # by the work of the process that was waited for
            try:
                get = _local_files if offline else _all_files
                _install(model, get(model, root, on_progress), folder, installer)
                _forget_downloads(model, root)
            finally:
                _remove_empty_folders(model, root)
    return folder


def remove(name: str, *, cache: Path | None = None) -> None:
    """Remove a model from the cache, and what was downloaded of it.

    Raises:
        UsageError: it is not in the cache.
        OutputError: it cannot be removed.
    """
    root = cache or cache_folder()
    folder = root / "models" / name
    here = cached_models(root)
    is_here = name in here or (name in REMOTE_MODELS and folder.exists())
    downloads = _download_folders(REMOTE_MODELS[name], root) if name in REMOTE_MODELS else set()
    if not is_here and not any(path.exists() for path in downloads):
        raise UsageError(
            f"the model {name!r} is not in {root}{did_you_mean(name, here)}; "
            f"models there are {', '.join(here) or 'none'}"
        )
    with _writing(root), exclusive(folder.with_name(f".{name}.lock")):
        if is_here:
            with _workshop(folder) as workshop:
                folder.rename(workshop / "old")  # in one step; then file by file
        if name in REMOTE_MODELS:
            _forget_downloads(REMOTE_MODELS[name], root)
            _remove_empty_folders(REMOTE_MODELS[name], root)


def verify_model(folder: Path) -> None:
    """Check all files of a model folder, and of the members of an ensemble, against their cards.

    Raises:
        WeightsError: there is no card, or a file is missing or damaged.
    """
    card = read_card(folder)
    members = _member_folders(card, folder)
    if not card.files and not members:
        raise WeightsError(f"the card of {folder} lists no files; export the model again")
    for name in card.files:
        verified_file(folder, card, name)
    for member in members:
        verify_model(member)


def model_files(folder: Path) -> dict[str, FileFacts]:
    """Return what the cards of a model and of its members list, by path in the folder.

    Raises:
        WeightsError: there is no card, or it cannot be read.
    """
    card = read_card(folder)
    files = dict(card.files)
    for member in _member_folders(card, folder):
        inner = model_files(member)
        files |= {f"{member.name}/{name}": facts for name, facts in inner.items()}
    return files


def _member_folders(card: Card, folder: Path) -> list[Path]:
    members = stored_members(card) if isinstance(card, EnsembleCard) else []
    return [folder / member for member in members]


def _is_intact(folder: Path) -> bool:
    try:
        verify_model(folder)
    except WeightsError:
        return False
    return True


@contextlib.contextmanager
def _writing(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or root
        raise OutputError(
            f"cannot write {where}: {error.strerror or error}; free some space or choose another "
            f"folder with {CACHE_VARIABLE}"
        ) from error


# Downloading


def _raw_path(file: RemoteFile, root: Path) -> Path:
    return root / "downloads" / file.checksum.digest / file.name


def _archive_path(file: RemoteFile, root: Path) -> Path:
    # An archive's own hash is not known; those of its members are.
    key = hashlib.sha256(file.url.encode()).hexdigest()
    return root / "downloads" / key / urlsplit(file.url).path.rpartition("/")[2]


def _download_folders(model: RemoteModel, root: Path) -> set[Path]:
    archives = {_archive_path(file, root) for file in model.files if file.archive_member}
    return {path.parent for path in archives | {_raw_path(file, root) for file in model.files}}


def _forget_downloads(model: RemoteModel, root: Path) -> None:
    for path in _download_folders(model, root):
        shutil.rmtree(path, ignore_errors=True)


def _remove_empty_folders(model: RemoteModel, root: Path) -> None:
    for path in [*_download_folders(model, root), root / "downloads"]:
        with contextlib.suppress(OSError):  # not there, or it holds what can be continued
            path.rmdir()


def _local_files(
    model: RemoteModel, root: Path, on_progress: FileProgress | None
) -> dict[str, Path]:
    found = {file.name: _raw_path(file, root) for file in model.files}
    missing = [file.name for file in model.files if not file.checksum.fits(found[file.name])]
    if missing:
        raise DownloadError(
            f"the model {model.name!r} is not in {root} ({', '.join(missing)} missing), and "
            f"--offline forbids to download it; run without it: stemlight models fetch {model.name}"
        )
    return found


def _all_files(model: RemoteModel, root: Path, on_progress: FileProgress | None) -> dict[str, Path]:
    return {file.name: _one_file(file, root, on_progress) for file in model.files}


def _one_file(file: RemoteFile, root: Path, on_progress: FileProgress | None) -> Path:
    place = _raw_path(file, root)
    if file.archive_member is None:
        return _from_anywhere(file, place, on_progress)
    if file.checksum.fits(place):
        return place
    from stemlight.weights.archives import extract_member

    archive = _from_anywhere(file, _archive_path(file, root), on_progress)
    try:
        return extract_member(
            archive, file.archive_member, place, expected=file.checksum, n_bytes=file.n_bytes
        )
    except DownloadError:
        archive.unlink()  # the next try starts clean
        raise


def _from_anywhere(file: RemoteFile, place: Path, on_progress: FileProgress | None) -> Path:
    """Download from the first address that has it; where none has, tell what each said."""
    # What reads models only, which is most, need not wait for the import of a web client.
    from stemlight.weights.downloads import download

    is_archive = file.archive_member is not None

    def tell(n_done: int, n_total: int | None) -> None:
        if on_progress is not None:
            on_progress(place.name, n_done, n_total)

    failures: list[DownloadError] = []
    for url in (file.url, *file.mirrors):
        try:
            return download(
                url,
                place,
                expected=None if is_archive else file.checksum,
                n_bytes=None if is_archive else file.n_bytes,
                on_progress=tell,
            )
        except DownloadError as error:
            failures.append(error)
    if len(failures) == 1:
        raise failures[0]
    raise DownloadError("; and ".join(str(failure) for failure in failures)) from failures[-1]


# Installing


@contextlib.contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """Give a hidden folder beside a model's, after removing those that killed processes left."""
    prefix = f".{folder.name}.making-"
    for left in folder.parent.glob(f"{prefix}*"):
        shutil.rmtree(left, ignore_errors=True)
    workshop = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
    try:
        yield workshop
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _install(
    model: RemoteModel, files: Mapping[str, Path], folder: Path, installer: Installer
) -> None:
    with _workshop(folder) as workshop:
        made = workshop / model.name
        made.mkdir()
        installer(model, files, made)
        verify_model(made)
        if folder.exists():  # damaged, or it would not be made again
            folder.rename(workshop / "old")
        made.rename(folder)
