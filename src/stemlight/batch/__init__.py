"""Catalogues: from one folder to a cluster. Work that is done once, wherever it is interrupted.

    read_items -> Engine (LocalEngine, or RayEngine on a cluster) -> SeparateTrack in each worker
    -> Store: results by what the work was -> Report

An engine runs tasks on workers, whatever the work is; all else here is about separating tracks.
Needs the extra `batch`; docs/batch.md shows it. Names are looked up when they are first used, so
that a worker loads no more than its work needs.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemlight.batch.engines import Engine, Lost, MakeWorker, Returned
    from stemlight.batch.local_engine import LocalEngine
    from stemlight.batch.manifest import Item, read_items
    from stemlight.batch.ray_engine import RayEngine
    from stemlight.batch.report import Report, Summary
    from stemlight.batch.running import run_batch
    from stemlight.batch.storage import Store, StoredResult
    from stemlight.batch.work import ModelChoice, Outcome, SeparateTrack

__all__ = [
    "Engine",
    "Item",
    "LocalEngine",
    "Lost",
    "MakeWorker",
    "ModelChoice",
    "Outcome",
    "RayEngine",
    "Report",
    "Returned",
    "SeparateTrack",
    "Store",
    "StoredResult",
    "Summary",
    "read_items",
    "run_batch",
]

_HOME = {
    "Engine": "engines",
    "Item": "manifest",
    "LocalEngine": "local_engine",
    "Lost": "engines",
    "MakeWorker": "engines",
    "ModelChoice": "work",
    "Outcome": "work",
    "RayEngine": "ray_engine",
    "Report": "report",
    "Returned": "engines",
    "SeparateTrack": "work",
    "Store": "storage",
    "StoredResult": "storage",
    "Summary": "report",
    "read_items": "manifest",
    "run_batch": "running",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'stemlight.batch' has no attribute {name!r}")
    return getattr(importlib.import_module(f"stemlight.batch.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
