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
    from stemlight.api import Engine, Precision

__all__ = ["CONTESTANTS", "EMBEDDED", "SAMPLE_RATE_HZ", "Contestant"]

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


_SUFFIXES: dict[Precision, str] = {"float32": "", "bfloat16": "-bf16", "int8": "-int8"}


@dataclass(frozen=True)
class _Way:
    """One way of running our models."""

    engine: Engine
    precision: Precision = "float32"
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The engine, and the precision where it is not the usual one."""
        return self.engine + _SUFFIXES[self.precision]

    def separator(self, model: str | Path, *, sources: list[str] | None = None) -> Separate:
        """Load a model, ready to separate arrays."""
        import stemlight

        separator = stemlight.load(
            model,
            engine=self.engine,
            precision=self.precision,
            device="cpu",
            n_threads=peers.N_THREADS,
        )

        def separate(mixture: np.ndarray) -> object:
            return separator(mixture, sources=sources, sample_rate_hz=SAMPLE_RATE_HZ)

        return separate


def _embedded(way: _Way, _: Path, *, sources: list[str] | None = None) -> Separate:
    return way.separator(EMBEDDED, sources=sources)


_ONNX = _Way("onnx")
_INT8 = _Way("onnx", "int8")
_OPENVINO = _Way("openvino", needs=("openvino",))
_BF16 = _Way("openvino", "bfloat16", needs=("openvino",))
_TORCH = _Way("torch", needs=("torch",))
# Each system with the authors' row that cuts a song into as many windows as we do.
_SYSTEMS = {
    "mdx-net": "authors-mdx-net",
    "lasaft-large": "authors-lasaft-large",
    "lightsaft-mdx": "authors-lightsaft-mdx",
    "lasaft-v2-light": "authors-lasaft-v2-light",
}

CONTESTANTS: tuple[Contestant, ...] = (
    *(
        Contestant(
            name=f"{EMBEDDED}-{way.name}",
            title=f"embedded model, {way.name}",
            make=partial(_embedded, way),
            needs=way.needs,
        )
        for way in (_ONNX, _INT8, _OPENVINO, _BF16, _TORCH)
    ),
    Contestant(
        name=f"{EMBEDDED}-onnx-vocals",
        title="embedded model, onnx, vocals alone",
        make=partial(_embedded, _ONNX, sources=["vocals"]),
    ),
    *(
        Contestant(
            name=f"{system}-{way.name}",
            title=f"{system}, {way.name}",
            make=way.separator,
            system=system,
            authors=row,
            needs=way.needs,
        )
        for system, row in _SYSTEMS.items()
        for way in (_ONNX, _BF16)
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
