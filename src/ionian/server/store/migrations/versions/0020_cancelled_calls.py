"""Calls that were cancelled are found without looking at those that were not."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_index(
        "ix_calls_cancelled",
        "calls",
        ["environment", "created_at", "call_id"],
        sqlite_where=sa.text("cancelled IS 1"),
        postgresql_where=sa.text("cancelled IS true"),
    )
