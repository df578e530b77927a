"""The one table, as SQLAlchemy knows it; `migrations` make it."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
)

__all__ = ["LOCK_NUMBER", "jobs_table", "metadata"]

LOCK_NUMBER = 7_401_918
"""Advisory lock of PostgreSQL, for what must not happen twice at once; it means nothing."""

metadata = MetaData()

jobs_table = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("client", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("options", JSON, nullable=False),
    Column("source_path", Text),
    Column("size_bytes", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Float(53), nullable=False),
    Column("changed_at", Float(53), nullable=False),
    Column("started_at", Float(53)),
    Column("finished_at", Float(53)),
    Column("expires_at", Float(53)),
    Column("progress", Float, nullable=False),
    Column("seconds_left", Float),
    Column("message", Text),
    Column("n_starts", Integer, nullable=False),
    Column("n_crashes", Integer, nullable=False),
    Column("worker", String(64)),
    Column("lease", String(32)),
    Column("lease_until", Float(53)),
    Column("cancel_asked", Integer, nullable=False),
    Column("result", JSON, nullable=False),
    Column("revision", Integer, nullable=False),
    Index("jobs_by_state", "state", "created_at"),
    Index("jobs_by_client", "client", "created_at"),
    Index("jobs_by_change", "changed_at"),
)
