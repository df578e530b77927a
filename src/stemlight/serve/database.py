"""Connects to the database of jobs: SQLite, or PostgreSQL by its URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from stemlight.errors import MissingExtraError, OutputError, UsageError

__all__ = ["connect"]


def connect(url: str, *, migrates: bool = True) -> Engine:
    """Connect to SQLite (`sqlite:///path`) or PostgreSQL (`postgresql://user@host/name`).

    Servers bring the database to its newest form; their workers find it so.

    Raises:
        UsageError: the URL is none, or of another database.
        MissingExtraError: the driver of PostgreSQL is not installed.
        OutputError: there is no such database, or it cannot be reached.
    """
    try:
        parts = make_url(url)
        kind = parts.get_backend_name()
        if kind == "postgresql":
            parts = parts.set(drivername="postgresql+psycopg")
        elif kind != "sqlite":
            raise UsageError(f"jobs are kept in sqlite or postgresql, not in {kind!r}")
        options: dict[str, Any] = {"connect_args": {"timeout": 30}} if kind == "sqlite" else {}
        engine = create_engine(parts, pool_pre_ping=kind != "sqlite", pool_size=16, **options)
    except (ArgumentError, NoSuchModuleError) as error:
        raise UsageError(
            f"{url!r} is no URL of a database; give postgresql://user@host/name or "
            "sqlite:////folder/jobs.sqlite"
        ) from error
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"PostgreSQL needs {error.name}, which is not installed; "
            "run: pip install 'stemlight[serve-postgres]'"
        ) from error
    if kind == "sqlite":
        if parts.database in (None, "", ":memory:"):
            raise UsageError("workers cannot share a database in memory; name a file")
        Path(str(parts.database)).parent.mkdir(parents=True, exist_ok=True)
        _prepare_sqlite(engine)
    if not migrates:
        return engine
    from stemlight.serve.migrating import migrate  # workers do without Alembic

    try:
        migrate(engine)
    except OperationalError as error:
        reason = " ".join(str(error.orig).split())
        raise OutputError(f"cannot reach the database of jobs: {reason}") from error
    return engine


def _prepare_sqlite(engine: Engine) -> None:
    """Let one write while others read, and have every transaction lock before it looks."""

    @event.listens_for(engine, "connect")
    def opened(connection: Any, _: object) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute("PRAGMA busy_timeout=30000")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        is_reading = connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("BEGIN" if is_reading else "BEGIN IMMEDIATE")
