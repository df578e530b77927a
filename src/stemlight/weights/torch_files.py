"""Reads arrays and plain settings out of PyTorch files, without PyTorch and without running them.

    .pt, .ckpt        a zip archive of a pickle and one file of raw numbers for each storage, or
                      pickles with the storages behind them (before PyTorch 1.6)
    .safetensors      raw numbers and their names

Pickles are read as data (`stemlight.weights.pickles`), so that nothing in a file is ever run. The
authors' Lightning checkpoints also mention classes of Lightning and of configuration libraries,
which is harmless. A file that names anything else is refused all the same: it was not made to hold
weights.

Source: `torch.serialization` for the layouts, `torch._utils` for what a tensor's record holds.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from safetensors import SafetensorError, safe_open

from stemlight.errors import WeightsError
from stemlight.weights.pickles import Made, Name, read_pickle
from stemlight.weights.stored_settings import plain_settings

__all__ = ["TorchFile", "read_torch_file"]

_HARMLESS = {
    # What plain values, arrays and records of them are made of.
    r"builtins": r"bool|bytearray|bytes|complex|dict|float|frozenset|int|list|long|object|set|str",
    r"collections": r"OrderedDict|defaultdict|Counter|deque",
    r"copyreg": r"_reconstructor|__newobj__",
    r"_codecs": r"encode",
    r"numpy(\.core\.multiarray|\._core\.multiarray)?": r"dtype|ndarray|scalar|_reconstruct",
    # Tensors.
    r"torch(\.storage|\.cuda)?": r"\w*Storage|Size|device|(b?float|u?int)\d*|bool|Tensor",
    r"torch\._utils": r"_rebuild_\w+",
    r"torch\.nn\.parameter": r"Parameter",
    r"torch\.serialization": r"_get_layout",
    # Classes, no functions, of packages that describe a training run.
    r"(argparse|hydra|lightning|lightning_fabric|omegaconf|pathlib|pytorch_lightning|typing|wandb)"
    r"(\.\w+)*": r"[A-Z]\w*",
}
_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
_ZIP_START, _TAR_WORD = b"PK\x03\x04", slice(257, 262)
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_MOST_COPIES = 4
_BIG_ENDIAN = "was saved on a big-endian machine, which is not supported"


@dataclass(frozen=True)
class TorchFile:
    """What a PyTorch file holds: weights by name, and settings that were stored beside them."""

    state_dict: Mapping[str, np.ndarray]
    hyper_parameters: Mapping[str, Any] = field(default_factory=dict)


def read_torch_file(path: Path) -> TorchFile:
    """Read a checkpoint of Lightning or a plain state dict; bfloat16 becomes float32.

    Raises:
        WeightsError: the file is none of these, is damaged, or names code that could do harm.
    """
    try:
        if path.suffix.lower() == ".safetensors":
            return TorchFile(_read_safetensors(path))
        with path.open("rb") as file:
            return _read(file)
    except WeightsError as error:
        raise WeightsError(f"{path} {error}") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}") from error
    except Exception as error:  # a damaged file can break at any place, in any way
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise WeightsError(f"{path} is damaged or no file of PyTorch: {reason}") from error


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        with safe_open(path, "np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise WeightsError(f"is damaged or no safetensors file: {error}") from error
    except TypeError as error:  # of NumPy, which knows fewer kinds of numbers
        raise WeightsError(f"holds numbers that are not supported ({error})") from error


def _read(file: IO[bytes]) -> TorchFile:
    start = file.read(512)
    n_bytes = file.seek(0, io.SEEK_END)
    file.seek(0)
    if not start:
        raise WeightsError("is empty")
    if start[_TAR_WORD] == b"ustar":
        raise WeightsError("is a tar archive of the oldest PyTorch; save it again with a newer one")
    make = _ZipStorages if start.startswith(_ZIP_START) else _LegacyStorages
    storages: _Storages = make(file, n_bytes)
    content = storages.content()
    if isinstance(content, Made) and not content.entries:
        what = "a tensor without a name" if _is_tensor(content) else f"a {content.kind}"
        raise WeightsError(f"holds {what}; save model.state_dict() instead")
    entries = _mapping(content)
    state = _mapping(entries.get("state_dict", content))
    arrays: dict[str, np.ndarray] = {}
    n_left = _MOST_COPIES * n_bytes  # a few tensors may share a storage, not thousands
    for name, value in state.items():
        if _is_tensor(value):
            arrays[str(name)] = array = _array(value, storages)
            n_left -= array.nbytes
            if n_left < 0:
                raise WeightsError(f"holds more than {_MOST_COPIES} times its size in weights")
    if not arrays:
        found = ", ".join(map(str, list(entries)[:5])) or f"a {type(content).__name__}"
        raise WeightsError(f"holds no weights: there is no tensor in it, but {found}")
    settings = entries.get("hyper_parameters", entries.get("hparams"))
    return TorchFile(arrays, plain_settings(settings))


def _mapping(value: Any) -> dict[Any, Any]:
    """Return what an object holds that was pickled as a dictionary, or as a subclass of one."""
    if isinstance(value, Made):
        return value.entries
    return value if isinstance(value, dict) else {}


def _check_name(name: Name) -> None:
    for module, names in _HARMLESS.items():
        if re.fullmatch(module, name.module) and re.fullmatch(names, name.name):
            return
    if name.module.partition(".")[0] == "demucs":
        raise WeightsError(
            f"is a model of Demucs ({name}), which its own package runs: "
            "stemlight.separation.load_demucs takes it"
        )
    raise WeightsError(
        f"is refused: it names {name}, which is no part of weights; such a file could run any "
        "code. Ask its maker for a state dict or safetensors"
    )


# Storages


@dataclass(frozen=True)
class _Storage:
    """Where numbers lie: the key of a storage, its kind, and how many it says it has."""

    key: str
    kind: str
    n_items: int

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the raw numbers: bfloat16 are the upper halves of float32."""
        return np.dtype("<u2" if self.kind == "bfloat16" else self.kind).newbyteorder("<")


class _Storages(Protocol):
    def content(self) -> Any:
        """Return the object that the file holds, tensors as records."""

    def numbers(self, storage: _Storage) -> bytes:
        """Return the raw numbers of a storage, as many as there are."""


def _storage_of(identity: Any) -> _Storage:
    """Read what a pickle says of numbers that lie elsewhere."""
    word, kind, key, _, n_items, *view = identity
    if word != "storage" or not isinstance(kind, Name) or any(view):
        raise WeightsError("holds something that is no tensor beside its pickle")
    if kind.name not in _STORAGES:
        raise WeightsError(f"holds numbers of the kind {kind}, which is not supported")
    return _Storage(str(key), _STORAGES[kind.name], int(n_items))


class _ZipStorages:
    """The layout since PyTorch 1.6."""

    def __init__(self, file: IO[bytes], n_bytes: int) -> None:
        self._archive = zipfile.ZipFile(file)
        pickles = [name for name in self._archive.namelist() if name.endswith("data.pkl")]
        if len(pickles) != 1:
            raise WeightsError("is a zip archive but none of PyTorch: it has no one data.pkl")
        self._folder = pickles[0].removesuffix("data.pkl")

    def content(self) -> Any:
        if self._part("byteorder", default=b"little") != b"little":
            raise WeightsError(_BIG_ENDIAN)
        pickle = io.BytesIO(self._part("data.pkl"))
        return read_pickle(pickle, check_name=_check_name, stored=_storage_of)

    def numbers(self, storage: _Storage) -> bytes:
        return self._part(f"data/{storage.key}")

    def _part(self, name: str, default: bytes | None = None) -> bytes:
        try:
            info = self._archive.getinfo(self._folder + name)
        except KeyError:
            if default is not None:
                return default
            raise WeightsError(f"is damaged: its part {name} is missing") from None
        if info.compress_type != zipfile.ZIP_STORED:  # nor can a small file be a huge one
            raise WeightsError("has compressed parts, which PyTorch never writes")
        return self._archive.read(info)


class _LegacyStorages:
    """The layout before PyTorch 1.6: pickles in a row, then the storages in the order of a list."""

    def __init__(self, file: IO[bytes], n_bytes: int) -> None:
        self._file, self._n_bytes = file, n_bytes
        self._storages: dict[str, _Storage] = {}
        self._places: dict[str, tuple[int, int]] = {}

    def content(self) -> Any:
        if self._next() != _LEGACY_MAGIC:
            raise WeightsError("is no file of PyTorch: it is another pickle")
        self._next()  # version of the protocol
        if not _mapping(self._next()).get("little_endian", True):
            raise WeightsError(_BIG_ENDIAN)
        content = self._next()
        for key in self._next():
            storage = self._storages[str(key)]
            n_bytes = int.from_bytes(self._file.read(8), "little") * storage.dtype.itemsize
            place = self._file.tell()
            if place + n_bytes > self._n_bytes:
                raise WeightsError(f"is damaged: it ends within the storage {key}")
            self._places[storage.key] = place, n_bytes
            self._file.seek(place + n_bytes)
        return content

    def numbers(self, storage: _Storage) -> bytes:
        place, n_bytes = self._places[storage.key]
        self._file.seek(place)
        return self._file.read(n_bytes)

    def _next(self) -> Any:
        return read_pickle(self._file, check_name=_check_name, stored=self._declare)

    def _declare(self, identity: Any) -> _Storage:
        storage = _storage_of(identity)
        return self._storages.setdefault(storage.key, storage)


# Tensors


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Made) and value.kind.module == "torch._utils"


def _array(record: Made, storages: _Storages) -> np.ndarray:
    """Make the array of a tensor or a parameter; it owns its numbers."""
    kind = record.kind.name
    if kind.startswith("_rebuild_parameter") and _is_tensor(record.arguments[0]):
        return _array(record.arguments[0], storages)
    if kind not in ("_rebuild_tensor", "_rebuild_tensor_v2"):
        raise WeightsError(f"holds a tensor made by {record.kind}, which is not supported")
    storage, offset, shape, strides = record.arguments[:4]
    if not isinstance(storage, _Storage):
        raise TypeError("a tensor without a storage")
    if isinstance(shape, Made):  # torch.Size
        (shape,) = shape.arguments
    n_items, dtype = math.prod(shape), storage.dtype
    raw = storages.numbers(storage)
    n_stored = len(raw) // dtype.itemsize
    if n_stored != storage.n_items or not 0 <= n_items <= n_stored:
        raise WeightsError(
            f"is damaged: a tensor of the shape {list(shape)} lies in a storage of {n_stored} "
            f"numbers that should have {storage.n_items}"
        )
    if not n_items:
        return np.zeros(shape, dtype)
    # NumPy refuses what leaves the storage.
    view = np.ndarray(
        tuple(shape),
        dtype,
        raw,
        offset=offset * dtype.itemsize,
        strides=tuple(stride * dtype.itemsize for stride in strides),
    )
    if storage.kind == "bfloat16":
        return np.asarray(view.astype(np.uint32) << 16).view(np.float32)
    return np.array(view, order="C")
