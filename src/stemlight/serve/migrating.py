"""Brings a database to the newest form when a server starts: Alembic, without a file to configure.

Where several servers share a PostgreSQL, a lock lets one migrate while the others wait.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from stemlight.serve.tables import LOCK_NUMBER

__all__ = ["migrate"]

_FOLDER = Path(__file__).resolve().parent / "migrations"


def migrate(engine: Engine) -> None:
    """Apply every migration that the database has not seen, all or none."""
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)

    def steps(revision: Any, context: MigrationContext) -> Any:
        return scripts._upgrade_revs("head", revision)

    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text(f"SELECT pg_advisory_xact_lock({LOCK_NUMBER})"))
        # SQLite locks the file itself: `database.connect` begins every transaction as a writer.
        context = MigrationContext.configure(connection, opts={"fn": steps})
        with Operations.context(context):
            context.run_migrations()
