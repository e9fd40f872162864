"""The newest calls of an environment and of a function are found without looking at those of others."""

from __future__ import annotations

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_index("ix_calls_by_time", "calls", ["environment", "created_at", "call_id", "app_id"])
    op.create_index(
        "ix_calls_by_function", "calls", ["environment", "tag", "created_at", "call_id", "app_id"]
    )
    op.drop_index("ix_calls_created_at", "calls")
