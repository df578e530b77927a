"""Who takes part in `bench.speed`: our engines, the authors' routines, and peers.

A contestant is made in a process of its own, so modules are imported where they are needed: what
one of them takes in memory is not counted for another.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bench import authors, peers
from bench.peers import Separate

if TYPE_CHECKING:
    from stemlight.api import Engine

__all__ = ["CONTESTANTS", "SAMPLE_RATE_HZ", "Contestant"]

SAMPLE_RATE_HZ = 44_100
EMBEDDED = "stemlight"


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """One row of the table."""

    name: str
    title: str
    make: Callable[[Path], Separate]
    """Given the folder of the system, return what separates a whole song."""
    system: str | None = None
    """Preset or system that has to be exported, with random weights, before."""
    authors: str | None = None
    """The row of the authors' routine that runs the same networks on as many windows."""
    needs: tuple[str, ...] = ()
    """Packages without which the row is left out."""

    @property
    def missing(self) -> str | None:
        """The first package that is not installed."""
        found = (name for name in self.needs if importlib.util.find_spec(name) is None)
        return next(found, None)


def _ours(model: str | Path, *, engine: Engine, sources: list[str] | None = None) -> Separate:
    import stemlight

    separator = stemlight.load(model, engine=engine, device="cpu", n_threads=peers.N_THREADS)

    def separate(mixture: np.ndarray) -> object:
        return separator(mixture, sources=sources, sample_rate_hz=SAMPLE_RATE_HZ)

    return separate


def _ours_embedded(_: Path, *, engine: Engine, sources: list[str] | None = None) -> Separate:
    return _ours(EMBEDDED, engine=engine, sources=sources)


_ENGINES: dict[Engine, tuple[str, ...]] = {"onnx": (), "torch": ("torch",)}
# The engines of each system, and the authors' row that cuts a song into as many windows as we do.
_SYSTEMS: dict[str, tuple[tuple[Engine, ...], str]] = {
    "mdx-net": (("onnx",), "authors-mdx-net"),
    "lasaft-large": (("onnx", "torch"), "authors-lasaft-large"),
    "lightsaft-mdx": (("onnx", "torch"), "authors-lightsaft-mdx"),
    "lasaft-v2-light": (("onnx", "torch"), "authors-lasaft-v2-light"),
}

CONTESTANTS: tuple[Contestant, ...] = (
    *(
        Contestant(
            name=f"{EMBEDDED}-{engine}",
            title=f"embedded model, {engine}",
            make=partial(_ours_embedded, engine=engine),
            needs=needs,
        )
        for engine, needs in _ENGINES.items()
    ),
    Contestant(
        name=f"{EMBEDDED}-onnx-vocals",
        title="embedded model, onnx, vocals alone",
        make=partial(_ours_embedded, engine="onnx", sources=["vocals"]),
    ),
    *(
        Contestant(
            name=f"{system}-{engine}",
            title=f"{system}, {engine}",
            make=partial(_ours, engine=engine),
            system=system,
            authors=row,
            needs=_ENGINES[engine],
        )
        for system, (engines, row) in _SYSTEMS.items()
        for engine in engines
    ),
    Contestant(
        name="authors-mdx-net",
        title="MDX-Net as its authors run it: ONNX Runtime, all windows of a source in one batch",
        make=authors.mdx_net,
        system="mdx-net",
        needs=("torch",),
    ),
    Contestant(
        name="authors-lasaft-large",
        title="LaSAFT large in its authors' routine, without overlap",
        make=partial(authors.lasaft, overlap_ratio=0.0),
        system="lasaft-large",
        needs=("torch",),
    ),
    Contestant(
        name="authors-lasaft-large-overlap",
        title="LaSAFT large in its authors' routine, overlap 0.5 as published",
        make=partial(authors.lasaft, overlap_ratio=0.5),
        system="lasaft-large",
        needs=("torch",),
    ),
    Contestant(
        name="authors-lightsaft-mdx",
        title="LightSAFT in its authors' routine of the MDX challenge",
        make=authors.lightsaft_mdx,
        system="lightsaft-mdx",
        needs=("torch",),
    ),
    Contestant(
        name="authors-lasaft-v2-light",
        title="LASAFT-Net-v2 light in its authors' routine, without overlap",
        make=partial(authors.lasaft_v2, overlap_ratio=0.0),
        system="lasaft-v2-light",
        needs=("torch",),
    ),
    Contestant(
        name="authors-lasaft-v2-light-overlap",
        title="LASAFT-Net-v2 light in its authors' routine, overlap 0.5 as published",
        make=partial(authors.lasaft_v2, overlap_ratio=0.5),
        system="lasaft-v2-light",
        needs=("torch",),
    ),
    Contestant(
        name=peers.OPEN_UNMIX,
        title="Open-Unmix, four targets of the size of umxhq, Wiener filter as by default",
        make=peers.open_unmix,
        needs=("torch", "openunmix"),
    ),
    Contestant(
        name=peers.HTDEMUCS,
        title="HTDemucs, segments overlapping by a quarter, no shift",
        make=partial(peers.htdemucs, n_shifts=0),
        needs=("torch", "demucs"),
    ),
    Contestant(
        name=f"{peers.HTDEMUCS}-defaults",
        title="HTDemucs as by default: the same with one random shift",
        make=partial(peers.htdemucs, n_shifts=1),
        needs=("torch", "demucs"),
    ),
)
