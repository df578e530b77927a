"""What a worker does with a track: finds its result, or makes it."""

from __future__ import annotations

import dataclasses
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from stemlight.audio.wording import shown
from stemlight.batch.inputs import Input
from stemlight.batch.manifest import Item
from stemlight.batch.storage import Store, StoredResult, describe_files
from stemlight.errors import InputError, OutputError, StemlightError, UsageError
from stemlight.separation.resume import FileMark, hash_song, hash_work
from stemlight.separation.song_options import SongOptions, check_options
from stemlight.tracks import ACCOMPANIMENT

if TYPE_CHECKING:
    from stemlight.separation.separator import Separator

__all__ = ["ModelChoice", "Outcome", "SeparateTrack", "asked_stems"]


@dataclass(frozen=True, kw_only=True)
class ModelChoice:
    """Which model, and how it runs: the arguments of `stemlight.load`."""

    model: str = "stemlight"
    runtime: str = "onnx"
    device: str = "auto"
    precision: str = "float32"
    n_threads: int = 1
    offline: bool = False

    def load(self) -> Separator:
        """Load the model.

        Raises:
            StemlightError: it cannot be loaded.
        """
        from stemlight.api import load

        return load(
            self.model,
            engine=self.runtime,  # type: ignore[arg-type]
            device=self.device,
            precision=self.precision,  # type: ignore[arg-type]
            n_threads=self.n_threads,
            offline=self.offline,
        )

    def fingerprint(self) -> str:
        """Name what the model computes, as `stemlight.weights.fingerprints` does.

        Raises:
            StemlightError: there is no such model.
        """
        from stemlight.weights.fingerprints import model_fingerprint

        return model_fingerprint(
            self.model,
            engine=self.runtime,
            device=self.device,
            precision=self.precision,
            offline=self.offline,
        )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a track."""

    id: str
    path: str
    status: Literal["done", "skipped", "failed"]
    """Skipped is what had its complete result already."""
    reason: str = ""
    """Why it failed, in one line."""
    key: str = ""
    """Of its result in the store."""
    files: Mapping[str, FileMark] = field(default_factory=dict)
    duration_seconds: float = 0.0
    elapsed_seconds: float = 0.0
    worker: str = ""
    """Host and number of the process."""


def asked_stems(names: str | None) -> tuple[tuple[str, ...] | None, str | None]:
    """Return sources and complement for names separated by commas; accompaniment is all else."""
    if names is None:
        return None, None
    listed = tuple(name.strip() for name in names.split(","))
    return _split(listed)


def _split(names: tuple[str, ...]) -> tuple[tuple[str, ...], str | None]:
    sources = tuple(name for name in names if name != ACCOMPANIMENT)
    return sources, None if sources == names else ACCOMPANIMENT


@dataclass(frozen=True, kw_only=True)
class SeparateTrack:
    """Makes workers that separate tracks into a store; one model is loaded for all of them.

    A track that cannot be separated fails; where storage is at fault, or memory, a worker raises,
    so that the engine tries again.
    """

    store: Store
    choice: ModelChoice = field(default_factory=ModelChoice)
    options: SongOptions = field(default_factory=SongOptions)
    """For all tracks; an item's own come before these."""
    fingerprint: str | None = None
    """What `choice.fingerprint()` must be where the worker is; None: whatever it is there."""
    input_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of fsspec for the inputs."""

    def __call__(self) -> Callable[[Item], Outcome]:
        """Load the model.

        Raises:
            StemlightError: it cannot be loaded, is another one here, or has no such stems.
        """
        separator = self.choice.load()
        fingerprint = self.choice.fingerprint()
        if self.fingerprint not in (None, fingerprint):
            raise UsageError(
                f"the model {self.choice.model!r} is another one on {platform.node()} than where "
                "the run was started; install the same everywhere"
            )
        check_options(_for_model(self.options, separator), separator)
        self.store.remove_left_overs()
        return _Worker(self, separator, fingerprint)


@dataclass(frozen=True)
class _Worker:
    order: SeparateTrack
    separator: Separator
    fingerprint: str

    def __call__(self, item: Item) -> Outcome:
        started = time.perf_counter()
        try:
            outcome = self._separate(item)
        except OutputError:
            raise
        except StemlightError as error:
            line = " ".join(str(error).split())
            outcome = Outcome(id=item.id, path=item.path, status="failed", reason=line)
        return dataclasses.replace(
            outcome,
            elapsed_seconds=time.perf_counter() - started,
            worker=f"{platform.node()}:{os.getpid()}",
        )

    def _separate(self, item: Item) -> Outcome:
        options = _for_model(_with_own(self.order.options, item.options), self.separator)
        plain = _plain(options, check_options(options, self.separator))
        source = Input(item.path, self.order.input_options)
        store = self.order.store
        mark = source.mark()
        sha256 = None if mark is None else store.content_of(mark)
        found = None if sha256 is None else self._finished(item, sha256, plain)
        if found is not None:
            return found
        with store.workspace() as space, source.opened(space) as song:
            sha256 = hash_song(song, lambda n_samples: None)
            outcome = self._finished(item, sha256, plain)
            if outcome is None:
                try:
                    outcome = self._make(item, song, sha256, options, plain, space)
                except InputError as error:  # the copy's name says nothing to anybody
                    line = str(error).replace(shown(song), item.path)
                    raise InputError(line) from error
        if mark is not None:
            store.remember(mark, sha256)
        return outcome

    def _finished(self, item: Item, sha256: str, plain: Mapping[str, Any]) -> Outcome | None:
        key = hash_work(sha256, self.fingerprint, plain)
        result = self.order.store.find(key)
        return None if result is None else _outcome(item, "skipped", key, result)

    def _make(
        self,
        item: Item,
        song: Path,
        sha256: str,
        options: SongOptions,
        plain: Mapping[str, Any],
        space: Path,
    ) -> Outcome:
        from stemlight.separation.songs import separate_file

        folder = space / "track"  # which stems are called after, where the song has no title
        done = separate_file(self.separator, song, folder, options=options)
        result = StoredResult(
            input_sha256=sha256,
            model=self.fingerprint,
            options=dict(plain),
            sample_rate_hz=done.sample_rate_hz,
            n_channels=done.n_channels,
            duration_seconds=done.duration_seconds,
            gain_db=done.gain_db,
            files=describe_files(folder),
        )
        key = hash_work(sha256, self.fingerprint, plain)
        self.order.store.place(key, folder, result)
        return _outcome(item, "done", key, result)


def _outcome(
    item: Item, status: Literal["done", "skipped"], key: str, result: StoredResult
) -> Outcome:
    return Outcome(
        id=item.id,
        path=item.path,
        status=status,
        key=key,
        files=result.files,
        duration_seconds=result.duration_seconds,
    )


def _with_own(options: SongOptions, own: Mapping[str, Any]) -> SongOptions:
    """Lay the options of one track over those of all.

    Another format has none of the bit depths and bit rates that were meant for the first.
    """
    changes: dict[str, Any] = {}
    if own.get("format", options.format) != options.format:
        changes |= {"format": own["format"], "bit_depth": None, "bit_rate_kbps": None}
    if "stems" in own:
        changes["sources"], changes["complement"] = _split(own["stems"])
    if "bit_depth" in own:
        changes["bit_depth"] = own["bit_depth"]
    if "bit_rate" in own:
        changes["bit_rate_kbps"] = own["bit_rate"]
    return dataclasses.replace(options, **changes) if changes else options


def _for_model(options: SongOptions, separator: Separator) -> SongOptions:
    """Ask for all else, too, where the model has one stem alone, which is half of an answer."""
    if options.sources is None and len(separator.sources) == 1:
        return dataclasses.replace(options, complement=ACCOMPANIMENT)
    return options


def _plain(options: SongOptions, stems: tuple[str, ...]) -> dict[str, Any]:
    """Return all that the bytes of the stems depend on, beside song and model."""
    return {
        "stems": list(stems),
        "complement": options.complement,
        "format": options.format,
        "bit_depth": options.written_bit_depth,
        "bit_rate_kbps": options.bit_rate_kbps,
        "keep_tags": options.keep_tags,
        "exact_sum": options.exact_sum,
        "on_clip": options.on_clip,
    }
