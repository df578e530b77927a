"""How a run ends that does not come to its end: interrupted, or for want of disk or memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from lightning.pytorch.utilities.exceptions import SIGTERMException

from stemlight.audio.wording import reason, shown
from stemlight.errors import ConfigError, OutputError, StemlightError
from stemlight.training.recipe import Recipe

__all__ = ["told_endings"]

_TERMINATED = 143
_OF_WORKER = "in DataLoader worker process"
_COMPILER = ("torch._dynamo", "torch._inductor")
_WORKER_DIED = ("exited unexpectedly", "is killed by signal")


@contextlib.contextmanager
def told_endings(recipe: Recipe, folder: Path) -> Iterator[None]:
    """Raise what callers know in place of what Lightning, PyTorch and the system raise.

    Raises:
        KeyboardInterrupt: after Ctrl-C, which Lightning turns into an exit with 1.
        SystemExit: after SIGTERM, with 143; Lightning exits with 0, as if all were done.
        OutputError: a file of the run cannot be written.
        ConfigError: there is too little memory for the recipe, or PyTorch cannot compile here.
        StemlightError: what a worker raised, in its own words, without the worker's traceback.
    """
    try:
        yield
    except SIGTERMException as error:
        raise SystemExit(_TERMINATED) from error
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from error
        raise
    except OSError as error:
        path = error.filename or folder
        raise OutputError(f"cannot write {shown(path)}: {reason(error)}") from error
    except torch.OutOfMemoryError as error:
        raise ConfigError(
            f"too little memory for batch_size {recipe.batch_size} in {recipe.accumulate} parts; "
            "make accumulate larger, or batch_size smaller"
        ) from error
    except StemlightError as error:
        if _OF_WORKER not in str(error):
            raise
        words = str(error).rstrip().splitlines()[-1].partition(": ")[2]
        raise type(error)(words) from error
    except RuntimeError as error:
        if type(error).__module__.startswith(_COMPILER):
            cause = getattr(error, "inner_exception", error)  # without the compiler's name
            raise ConfigError(
                f"PyTorch cannot compile the network: {str(cause).strip().splitlines()[0]}; "
                "set hardware.compile to false, or give it what it lacks (on a CPU, a C++ compiler)"
            ) from error
        if not any(words in str(error) for words in _WORKER_DIED):
            raise
        raise ConfigError(
            f"one of n_workers {recipe.n_workers} was killed, mostly for want of memory; make "
            "n_workers smaller"
        ) from error
