"""What became of the inputs of each function, minute by minute."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

TEXT = sa.String(length=255)


def upgrade() -> None:
    counts = ("succeeded", "failed", "timed_out", "cancelled", "started", "container_errors")
    op.create_table(
        "function_minutes",
        sa.Column("function_id", TEXT, nullable=False),
        sa.Column("minute", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("root_id", TEXT, nullable=False),
        sa.Column("app_id", TEXT, nullable=False),
        sa.Column("environment", TEXT, nullable=False),
        *[sa.Column(name, sa.BigInteger(), nullable=False) for name in counts],
        sa.Column("running", sa.Integer(), nullable=False),
        sa.Column("creating", sa.Integer(), nullable=False),
        *[sa.Column(name, sa.Text(), nullable=False) for name in ("run", "latency", "startup")],
        sa.PrimaryKeyConstraint("function_id", "minute", "epoch"),
    )
    for column in ("minute", "root_id", "app_id"):
        op.create_index(f"ix_function_minutes_{column}", "function_minutes", [column])
    op.create_index("ix_usage_function_id", "usage", ["function_id"])
