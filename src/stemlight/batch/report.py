"""What became of a run: a table with a row for each track, and a summary.

Both get their place when the run ends, however it ends; rows are kept on the disk until then.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

from stemlight._version import __version__
from stemlight.batch.locations import one_line
from stemlight.batch.storage import Store
from stemlight.batch.work import Outcome
from stemlight.errors import MissingExtraError, OutputError

__all__ = ["Report", "Summary"]

_ROWS_AT_ONCE = 1000
_MOST_REASONS = 100
_OTHER_REASONS = "other reasons"
_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A run in numbers."""

    stemlight: str = __version__
    started: str
    """UTC."""
    is_complete: bool
    """Every track ended; else the run was ended before."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    n_done: int
    n_skipped: int
    n_failed: int
    reasons: Mapping[str, int]
    """How many tracks failed for each reason, in which `...` stands for the track."""
    done_hours: float
    """Of audio that was separated in this run."""
    skipped_hours: float
    wall_seconds: float
    worker_seconds: float
    """That workers spent with tracks: not what starting, waiting and lost attempts took."""
    n_lost_attempts: int
    real_time_factor: float | None
    """Seconds that one worker needs for each second of audio; None if nothing was separated."""
    times_real_time: float | None
    """Seconds of audio separated in each second by all workers together."""
    price_per_hour: float | None = None
    """Of one worker."""
    cost_per_audio_hour: float | None = None


class Report:
    """Collects outcomes; `with` writes table and summary at its end.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """

    def __init__(
        self,
        store: Store,
        *,
        settings: Mapping[str, Any] | None = None,
        price_per_hour: float | None = None,
    ) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"the report needs {error.name}, which is not installed; "
                "run: pip install 'stemlight[batch]'"
            ) from error
        self._arrow, self._parquet = pyarrow, parquet
        self._store = store
        self._settings = settings or {}
        self._price_per_hour = price_per_hour
        self._stack = contextlib.ExitStack()
        self._rows: list[dict[str, Any]] = []
        self._counts: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._n_lost = 0
        self._ended: float | None = None
        self.places: tuple[str, ...] = ()
        """Where table and summary are, when they are."""

    def __enter__(self) -> Self:
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        self._name = self._started.strftime("%Y%m%dT%H%M%S.") + f"{self._started:%f}"[:3] + "Z"
        self._folder = self._stack.enter_context(self._store.workspace())
        self._table = self._folder / f"{self._name}.parquet"
        self._schema = self._make_schema()
        self._writer = self._parquet.ParquetWriter(self._table, self._schema)
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        with self._stack:
            self._flush()
            with _named_faults(self._store):
                self._writer.close()
            if kind is not None and not self._counts:
                return  # nothing was done that could be told
            summary = self._folder / f"{self._name}.json"
            text = json.dumps(asdict(self.summary()), indent=2, allow_nan=False)
            with _named_faults(self._store):
                summary.write_text(text + "\n", encoding="utf-8")
            self.places = tuple(self._store.put_report(path) for path in (self._table, summary))

    def add(self, outcome: Outcome, n_attempts: int) -> None:
        """Take a track that has ended."""
        self._counts[outcome.status] += 1
        self._seconds[outcome.status] += outcome.duration_seconds
        self._seconds["worker"] += outcome.elapsed_seconds
        self._n_lost += n_attempts - bool(outcome.worker)
        if outcome.status == "failed":
            self._count_reason(outcome)
        row = {**asdict(outcome), "n_attempts": n_attempts}
        row["files"] = [{"name": name, **mark} for name, mark in row["files"].items()]
        self._rows.append({name: _as_text(value) for name, value in row.items()})
        if len(self._rows) >= _ROWS_AT_ONCE:
            self._flush()

    def finish(self) -> None:
        """Take note that all tracks have ended."""
        self._ended = time.monotonic()

    def summary(self) -> Summary:
        """Return the run in numbers, as far as it is."""
        wall = (self._ended or time.monotonic()) - self._clock
        audio, work = self._seconds["done"], self._seconds["worker"]
        factor = work / audio if audio else None
        cost = None
        if self._price_per_hour is not None and factor is not None:
            cost = self._price_per_hour * factor
        return Summary(
            started=self._started.isoformat(timespec="milliseconds"),
            is_complete=self._ended is not None,
            settings=self._settings,
            n_done=self._counts["done"],
            n_skipped=self._counts["skipped"],
            n_failed=self._counts["failed"],
            reasons=dict(self._reasons.most_common()),
            done_hours=audio / _HOUR_SECONDS,
            skipped_hours=self._seconds["skipped"] / _HOUR_SECONDS,
            wall_seconds=wall,
            worker_seconds=work,
            n_lost_attempts=self._n_lost,
            real_time_factor=factor,
            times_real_time=audio / wall if audio else None,
            price_per_hour=self._price_per_hour,
            cost_per_audio_hour=cost,
        )

    def _count_reason(self, outcome: Outcome) -> None:
        line = outcome.reason
        for name in (outcome.path, outcome.id):
            line = line.replace(name, "...")
        line = str(_as_text(line))
        if line not in self._reasons and len(self._reasons) >= _MOST_REASONS:
            line = _OTHER_REASONS
        self._reasons[line] += 1

    def _flush(self) -> None:
        if self._rows:
            table = self._arrow.Table.from_pylist(self._rows, self._schema)
            self._rows.clear()
            with _named_faults(self._store):
                self._writer.write_table(table)

    def _make_schema(self) -> Any:
        arrow = self._arrow
        file = [("name", arrow.string()), ("sha256", arrow.string()), ("n_bytes", arrow.int64())]
        columns = {
            "id": arrow.string(),
            "path": arrow.string(),
            "status": arrow.string(),
            "reason": arrow.string(),
            "key": arrow.string(),
            "n_attempts": arrow.int32(),
            "duration_seconds": arrow.float64(),
            "elapsed_seconds": arrow.float64(),
            "worker": arrow.string(),
            "files": arrow.list_(arrow.struct(file)),
        }
        return arrow.schema(list(columns.items()))


@contextlib.contextmanager
def _named_faults(store: Store) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write a report of {store.url}: {one_line(error)}") from error


def _as_text(value: Any) -> Any:
    """Escape bytes of file names that are no text, which Parquet and JSON cannot hold."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
