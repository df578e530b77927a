"""What processes that this one starts find in their environment."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

__all__ = ["threads_of_children"]

# What linear algebra reads when it is loaded.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@contextlib.contextmanager
def threads_of_children(n_threads: int) -> Iterator[None]:
    """Have processes that start within use so many threads for linear algebra.

    What the environment already says about threads stays as it is. The environment is that of the
    whole process: start one group of children at a time.
    """
    before = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
    os.environ |= {name: str(n_threads) for name, value in before.items() if value is None}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
