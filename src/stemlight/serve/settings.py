"""What the owner of a server chooses."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemlight.errors import UsageError
from stemlight.memory import size_bytes

__all__ = ["MAIN_ENGINE", "ServeSettings"]

MAIN_ENGINE = "stemlight.serve.engine:open_engine"

_PATHS = ("data_folder",)
_TUPLES = ("allow_folders", "api_keys", "cors_origins", "allowed_hosts", "devices", "models")


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """Everything that a server, and each of its workers, is told when it starts.

    Raises:
        UsageError: a value is out of range.
    """

    data_folder: Path
    """Everything that the server keeps; one server to a folder."""
    database: str | None = None
    """URL of SQLAlchemy; None is SQLite in the data folder."""
    host: str = "127.0.0.1"
    port: int = 8765
    allow_folders: tuple[Path, ...] = ()
    """Folders below which programs may name songs by path."""
    api_keys: tuple[str, ...] = ()
    """Without any, everybody who reaches the server may use it."""
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    """Names of this server beside localhost and plain addresses; others are refused."""
    max_upload_bytes: int = 1_000_000_000
    max_seconds: float = 7200.0
    """Longest song."""
    queue_length: int = 100
    """Jobs that may wait, of all clients together."""
    jobs_per_client: int = 20
    """Jobs of one client that may wait or run."""
    uploads_at_once: int = 16
    """Uploads that are received at a time, of all clients together."""
    upload_idle_seconds: float = 30.0
    """An upload that sends nothing for so long is ended."""
    upload_least_bytes_per_second: int = 10_000
    """An upload that is slower, on average after the idle time, is ended."""
    expire_hours: float = 24.0
    """Results are removed so long after a job ended."""
    quota_bytes: int = 50_000_000_000
    """All files of all jobs."""
    devices: tuple[str, ...] = ("auto",)
    """One worker process for each."""
    models: tuple[str, ...] = ("stemlight",)
    """Models to choose from; the first is the default."""
    max_memory: str | None = None
    """Private memory of each worker, such as 2G; songs that need more fail. None is no limit."""
    threads: int = 0
    """Of the network in each worker; 0 takes all cores."""
    most_crashes: int = 3
    """A job that took its worker down so often is not tried again."""
    lease_seconds: float = 20.0
    """A job whose worker was not heard of for so long may be taken by another."""
    stall_seconds: float = 900.0
    """A worker whose job advances by nothing for so long is ended."""
    engine: str = MAIN_ENGINE
    """`module:function` that makes what separates; tests give another."""

    def __post_init__(self) -> None:
        for name in (
            *("max_upload_bytes", "max_seconds", "queue_length", "jobs_per_client"),
            *("uploads_at_once", "upload_idle_seconds", "expire_hours", "quota_bytes"),
            *("most_crashes", "lease_seconds", "stall_seconds"),
        ):
            value = getattr(self, name)
            if not value > 0:
                raise UsageError(f"{name} must be above 0, not {value}")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"port must lie in 0..65535, not {self.port}; 0 takes any free one")
        if self.max_memory is not None:
            size_bytes(self.max_memory)
        if not self.models:
            raise UsageError("a server needs at least one model; name one with --model")
        for folder in self.allow_folders:
            if not folder.is_dir():
                raise UsageError(f"--allow-folder {folder} is no folder; make it first")
        for origin in self.cors_origins:
            if origin == "*" or not origin.startswith(("http://", "https://")):
                raise UsageError(
                    f"--cors-origin must be one origin such as https://example.org, not {origin!r}"
                )

    @property
    def database_url(self) -> str:
        """Where jobs are kept."""
        return self.database or f"sqlite:///{self.data_folder / 'jobs.sqlite'}"

    def to_json(self) -> str:
        """Return all settings as one line, for a worker."""
        plain = dataclasses.asdict(self)
        return json.dumps(plain, default=os.fspath)

    @classmethod
    def from_json(cls, text: str) -> ServeSettings:
        """Return the settings that `to_json` wrote."""
        plain: dict[str, Any] = json.loads(text)
        plain |= {name: Path(plain[name]) for name in _PATHS}
        plain |= {name: tuple(plain[name]) for name in _TUPLES}
        plain["allow_folders"] = tuple(map(Path, plain["allow_folders"]))
        return cls(**plain)
