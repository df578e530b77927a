"""Files as others write them: checkpoints with objects of packages that are not here, and traps."""

from __future__ import annotations

import contextlib
import sys
import types
import zipfile

import torch


@contextlib.contextmanager
def package(name, **members):
    """Have a module with these classes while the block runs; afterwards nobody can import it."""
    parts = name.split(".")
    names = [".".join(parts[: count + 1]) for count in range(len(parts))]
    modules = {each: types.ModuleType(each) for each in names}
    for key, member in members.items():
        member.__module__, member.__qualname__ = name, key
        setattr(modules[name], key, member)
    before = {each: sys.modules.get(each) for each in names}
    sys.modules.update(modules)
    try:
        yield
    finally:
        for each in names:
            del sys.modules[each]
            if before[each] is not None:
                sys.modules[each] = before[each]


class AttributeDict(dict):
    """As Lightning's: a dictionary whose keys are attributes."""

    __getattr__ = dict.__getitem__


class Node:
    """As a leaf of OmegaConf, which knows its parent."""

    def __init__(self, value, parent):
        self.value, self.parent = value, parent

    def __getstate__(self):
        return {"_metadata": {"flags": None}, "_parent": self.parent, "_val": self.value}


class Container:
    """As a DictConfig or a ListConfig of OmegaConf."""

    def __init__(self, content, parent=None):
        self.parent = parent
        wrap = lambda value: (  # noqa: E731
            Container(value, self) if isinstance(value, dict | list) else Node(value, self)
        )
        if isinstance(content, dict):
            self.content = {key: wrap(value) for key, value in content.items()}
        else:
            self.content = [wrap(value) for value in content]

    def __getstate__(self):
        return {"_metadata": {}, "_parent": self.parent, "_content": self.content}


def lightning(state_dict, hyper_parameters=None):
    """Return what a checkpoint of Lightning holds."""
    content = {
        "epoch": 669,
        "global_step": 1000,
        "pytorch-lightning_version": "1.2.0",
        "state_dict": state_dict,
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5), "best_k": {}}},
        "optimizer_states": [
            {
                "state": {0: {"exp_avg": torch.ones(3)}},
                "param_groups": [{"lr": 1e-3, "params": [0]}],
            }
        ],
        "lr_schedulers": [],
    }
    if hyper_parameters is not None:
        content |= {"hparams_name": "kwargs", "hyper_parameters": hyper_parameters}
    return content


def write_archive(path, pickle, storages=(), *, compression=zipfile.ZIP_STORED):
    """Write a file in PyTorch's layout around a pickle of any content."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("archive/data.pkl", pickle)
        archive.writestr("archive/version", b"3\n")
        for key, numbers in enumerate(storages):
            archive.writestr(f"archive/data/{key}", numbers)
    return path


def tensor_pickle(*, n_stored=4, offset=0, shape=(4,), strides=(1,), key="0", kind="FloatStorage"):
    """Return the pickle of a state dict of one tensor, `w`, which may lie about its storage."""
    numbers = lambda values: b"(" + b"".join(b"L%dL\n" % value for value in values) + b"t"  # noqa: E731
    return (
        b"}U\x01wctorch._utils\n_rebuild_tensor_v2\n"
        + b"((U\x07storagectorch\n%b\nU%c%bU\x03cpu" % (kind.encode(), len(key), key.encode())
        + b"L%dL\ntQ" % n_stored
        + b"L%dL\n" % offset
        + numbers(shape)
        + numbers(strides)
        + b"I00\n}tRs."
    )
