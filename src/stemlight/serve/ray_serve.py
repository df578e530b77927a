"""Separates the studio's songs on a cluster, by replicas of Ray Serve.

    serve run stemlight.serve.ray_serve:build_app max_replicas=8    # once, anywhere in the cluster
    stemlight serve --engine ray --workers 8                        # on a node of the cluster

Songs and stems travel by a folder that all nodes share, under the same path: the server's data
folder. Through Ray go paths, options and progress, so no process holds a song, and neither does
Ray's object store. The replica loads its model when it starts, and separates one song at a time; as
many are kept as songs are asked for.

A replica that dies is replaced by Ray Serve, and its song goes to another. Whatever it may still
write then lies in a folder that nobody looks at.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field

from stemlight.errors import CancelledError, MissingExtraError, OutputError, StemlightError
from stemlight.serve.engine import Separated, StemlightEngine, Tell
from stemlight.serve.settings import ServeSettings

if TYPE_CHECKING:
    from ray import serve

__all__ = [
    "APP_NAME",
    "RayServeEngine",
    "ReplicaOptions",
    "SongReplica",
    "build_app",
    "open_engine",
]

APP_NAME = "stemlight"

_BEAT_SECONDS = 0.5
_POLL_SECONDS = 0.05
_STOP_SECONDS = 20.0
_STUCK = 1

Progress = tuple[float, float | None]


class ReplicaOptions(BaseModel):
    """What is chosen where the application is started."""

    model_config = ConfigDict(extra="forbid")

    model: str = "stemlight"
    """Loaded at the start; another is loaded when a song asks for it."""
    device: str = "auto"
    cpus: int = Field(1, ge=1)
    """Of each replica; as many threads compute."""
    gpus: float = Field(0.0, ge=0)
    """Of each replica; below 1, replicas share a GPU."""
    min_replicas: int = Field(1, ge=0)
    max_replicas: int = Field(4, ge=1)


class SongReplica:
    """Separates one song at a time, with a model that stays loaded."""

    def __init__(self, options: ReplicaOptions) -> None:
        self._options = options
        self._settings = ServeSettings(data_folder=Path(), threads=options.cpus)
        self._engine = StemlightEngine(self._settings, options.device)
        self._engine.load(options.model)

    async def separate(
        self, song: str, folder: str, options: Mapping[str, Any], max_seconds: float
    ) -> AsyncIterator[Progress | Separated | StemlightError]:
        """Yield the progress as it advances, and at last the result or why there is none."""
        self._engine.max_seconds = max_seconds
        work = _Work(self._engine, Path(song), Path(folder), options)
        task = asyncio.ensure_future(asyncio.to_thread(work.run))
        n_told = -1
        try:
            while not (await asyncio.wait({task}, timeout=_BEAT_SECONDS))[0] and work.is_wanted:
                if work.n_told > n_told:  # a song that advances no more tells nothing
                    n_told = work.n_told
                    yield work.progress
            if task.done():
                yield task.result()
        finally:
            work.goes_on = False
            # The next song comes when this one has left the model; if it never does, Ray Serve
            # starts another replica.
            _, running = await asyncio.wait({task}, timeout=_STOP_SECONDS)
            if running:
                os._exit(_STUCK)


class _Work:
    """A song in a thread of a replica."""

    def __init__(
        self, engine: StemlightEngine, song: Path, folder: Path, options: Mapping[str, Any]
    ) -> None:
        self._engine = engine
        self._arguments = song, folder, options
        self._parent = folder.parent
        self.progress: Progress = (0.0, None)
        self.n_told = 0
        self.goes_on = True

    @property
    def is_wanted(self) -> bool:
        """Whether it was neither cancelled nor given up.

        The folder goes with whoever asked, at the latest when the studio clears up after a worker
        that died.
        """
        return self.goes_on and self._parent.exists()

    def run(self) -> Separated | StemlightError:
        """Return errors that are meant for the user, since Ray would wrap them where they rise."""
        try:
            if not self.is_wanted:
                raise CancelledError("the job was cancelled")
            return self._engine.separate(*self._arguments, self._tell)
        except StemlightError as error:
            return error

    def _tell(self, fraction: float, seconds_left: float | None) -> bool:
        self.progress = fraction, seconds_left
        self.n_told += 1
        return self.is_wanted


def build_app(options: ReplicaOptions) -> serve.Application:
    """Return the application that `serve run` and Serve's configuration files start."""
    from ray import serve

    deploy = serve.deployment(
        name="songs",
        max_ongoing_requests=1,
        ray_actor_options={"num_cpus": options.cpus, "num_gpus": options.gpus},
        autoscaling_config={
            "min_replicas": options.min_replicas,
            "max_replicas": max(options.min_replicas, options.max_replicas),
            "target_ongoing_requests": 1,
        },
    )
    return deploy(SongReplica).bind(options)


# Serve reads the type itself, not its name.
build_app.__annotations__["options"] = ReplicaOptions


class RayServeEngine:
    """Asks replicas, and waits for a free one as long as that takes."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._handle: Any = None

    def connect(self) -> None:
        """Find the cluster at RAY_ADDRESS, or that of this machine, and the application on it.

        Raises:
            OutputError: one of them is not there.
            MissingExtraError: Ray Serve is not installed.
        """
        try:
            import ray
            from ray import serve
            from ray.serve.exceptions import RayServeException
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"Ray Serve needs {error.name}, which is not installed; "
                "run: pip install 'stemlight[serve-ray]'"
            ) from error
        address = os.environ.get("RAY_ADDRESS", "auto")
        try:
            if not ray.is_initialized():
                ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
            self._handle = serve.get_app_handle(APP_NAME)
        except ConnectionError as error:
            raise OutputError(
                f"no Ray cluster answers at {address!r}; run `ray start` on this machine, or set "
                "RAY_ADDRESS"
            ) from error
        except RayServeException as error:
            raise OutputError(
                f"there is no application {APP_NAME!r} on the Ray cluster; run: serve run "
                "stemlight.serve.ray_serve:build_app"
            ) from error

    def separate(
        self, song: Path, folder: Path, options: Mapping[str, Any], tell: Tell
    ) -> Separated:
        """Have the stems written; see `Engine`."""
        from ray.exceptions import RayError

        if self._handle is None:
            self.connect()
        for _ in range(self._settings.most_crashes):
            # All that a replica writes lies in a folder of its own: without it, it stops.
            own = folder.with_name(f"{folder.name}-{secrets.token_hex(4)}")
            own.mkdir(parents=True)
            try:
                with ThreadPoolExecutor(1) as threads:  # here an event loop may run already
                    follow = self._follow(song, own / folder.name, options, tell)
                    made = threads.submit(asyncio.run, follow).result()
                (own / folder.name).rename(folder)
            except RayError:  # the replica or its node died
                continue
            finally:
                _remove(own)
            stems = {name: folder / path.name for name, path in made.stems.items()}
            return dataclasses.replace(made, stems=stems)
        raise OutputError(
            f"{self._settings.most_crashes} replicas died, one after the other, with this song; "
            "the logs of Ray Serve say why"
        )

    async def _follow(
        self, song: Path, folder: Path, options: Mapping[str, Any], tell: Tell
    ) -> Separated:
        """Ask one replica, and pass on its progress."""
        response = self._handle.options(method_name="separate", stream=True).remote(
            str(song.absolute()), str(folder.absolute()), dict(options), self._settings.max_seconds
        )
        is_waiting = True
        while True:
            step = asyncio.ensure_future(anext(response))
            while not (await asyncio.wait({step}, timeout=_BEAT_SECONDS))[0]:
                if is_waiting and tell(0.0, None) is False:
                    await _cancel(response, step)
            event = step.result()
            is_waiting = False  # from now on the studio shall notice if it hears nothing
            if isinstance(event, Separated):
                return event
            if isinstance(event, StemlightError):
                raise event
            if tell(*event) is False:
                await _cancel(response, asyncio.ensure_future(anext(response)))


async def _cancel(response: Any, step: asyncio.Future[Any]) -> NoReturn:
    """Cancel the song."""
    response.cancel()
    await asyncio.wait({step}, timeout=_STOP_SECONDS)
    if step.done():
        with contextlib.suppress(BaseException):
            step.result()
    raise CancelledError("the job was cancelled")


def _remove(folder: Path) -> None:
    """Remove a folder that a replica may still write to until it notices."""
    deadline = time.monotonic() + _STOP_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)
        time.sleep(_POLL_SECONDS if folder.exists() else 0)


def open_engine(settings: ServeSettings, device: str) -> RayServeEngine:
    """Return the engine that `ServeSettings.engine` names; devices are the replicas' own.

    Raises:
        OutputError: there is no cluster, or no application on it.
    """
    engine = RayServeEngine(settings)
    engine.connect()
    return engine
