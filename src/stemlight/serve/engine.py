"""What separates a song, behind one small interface, so that tests can take a fast one."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from stemlight.serve.settings import ServeSettings

if TYPE_CHECKING:
    from stemlight.separation import Separator

__all__ = ["Engine", "Separated", "StemlightEngine", "Tell", "make_engine", "open_engine"]

Tell = Callable[[float, float | None], object]
"""Called with the fraction that is done and the seconds left; cancels by returning False."""


@dataclass(frozen=True, kw_only=True)
class Separated:
    """What an engine made of a song."""

    stems: Mapping[str, Path]
    duration_seconds: float
    sample_rate_hz: int
    n_channels: int


class Engine(Protocol):
    """Separates songs, one after the other."""

    def separate(
        self, song: Path, folder: Path, options: Mapping[str, Any], tell: Tell
    ) -> Separated:
        """Write the stems of `song` into `folder`; `options` were checked by the server.

        Raises:
            StemlightError: with a line for the user.
            CancelledError: `tell` returned False.
        """


def make_engine(settings: ServeSettings, device: str) -> Engine:
    """Make the engine that the settings name, for a device."""
    module, _, name = settings.engine.partition(":")
    factory: Callable[[ServeSettings, str], Engine] = getattr(importlib.import_module(module), name)
    return factory(settings, device)


def open_engine(settings: ServeSettings, device: str) -> StemlightEngine:
    """Return the engine of every real server."""
    return StemlightEngine(settings, device)


class StemlightEngine:
    """Runs stemlight's models, and keeps the last one loaded."""

    def __init__(self, settings: ServeSettings, device: str) -> None:
        self.max_seconds = settings.max_seconds
        """Longest song."""
        self._n_threads = settings.threads
        self._device = device
        self._loaded: tuple[str, Separator] | None = None

    def separate(
        self, song: Path, folder: Path, options: Mapping[str, Any], tell: Tell
    ) -> Separated:
        """Write the stems; see `Engine`."""
        from stemlight.separation.progress import fraction_progress
        from stemlight.separation.songs import SongOptions, separate_file

        def report(fraction: float | None, seconds_left: float | None) -> object:
            return tell(fraction or 0.0, seconds_left)

        chosen = SongOptions(
            sources=options["stems"],
            complement=options["complement"],
            format=options["format"],
            bit_depth=options["bit_depth"],
            max_duration_seconds=self.max_seconds,
        )
        done = separate_file(
            self.load(options["model"]),
            song,
            folder,
            options=chosen,
            on_progress=fraction_progress(report),
        )
        return Separated(
            stems={name: stem.path for name, stem in done.stems.items()},
            duration_seconds=done.duration_seconds,
            sample_rate_hz=done.sample_rate_hz,
            n_channels=done.n_channels,
        )

    def load(self, model: str) -> Separator:
        """Return a model, the one of the last song at once."""
        from stemlight.api import load

        if self._loaded is None or self._loaded[0] != model:
            self._loaded = None  # the old one goes before the new one comes
            on_cpu = self._device in ("auto", "cpu")
            separator = load(
                model,
                engine="onnx" if on_cpu else "torch",
                device=self._device,
                n_threads=self._n_threads,
                offline=True,
            )
            self._loaded = model, separator
        return self._loaded[1]
