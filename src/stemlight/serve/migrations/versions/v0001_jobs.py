"""The table of jobs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("client", sa.String(64), nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("options", sa.JSON, nullable=False),
        sa.Column("source_path", sa.Text),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_at", sa.Float(53), nullable=False),
        sa.Column("changed_at", sa.Float(53), nullable=False),
        sa.Column("started_at", sa.Float(53)),
        sa.Column("finished_at", sa.Float(53)),
        sa.Column("expires_at", sa.Float(53)),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("seconds_left", sa.Float),
        sa.Column("message", sa.Text),
        sa.Column("n_starts", sa.Integer, nullable=False),
        sa.Column("n_crashes", sa.Integer, nullable=False),
        sa.Column("worker", sa.String(64)),
        sa.Column("lease", sa.String(32)),
        sa.Column("lease_until", sa.Float(53)),
        sa.Column("cancel_asked", sa.Integer, nullable=False),
        sa.Column("result", sa.JSON, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
    )
    op.create_index("jobs_by_state", "jobs", ["state", "created_at"])
    op.create_index("jobs_by_client", "jobs", ["client", "created_at"])
    op.create_index("jobs_by_change", "jobs", ["changed_at"])


def downgrade() -> None:
    """Remove the table with all jobs."""
    op.drop_table("jobs")
