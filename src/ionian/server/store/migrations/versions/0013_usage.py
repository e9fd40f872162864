"""What was used, by quarters of an hour and by container and call, and up to where workers' readings are in it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

TEXT = sa.String(length=255)
AMOUNTS = ("wall_s", "cpu_s", "memory_gib_s", "gpu_s", "used_cpu_s", "used_memory_gib_s")


def upgrade() -> None:
    op.create_table(
        "usage_slots",
        sa.Column("function_id", TEXT, nullable=False),
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("line", TEXT, nullable=False),
        sa.Column("gpu", TEXT, nullable=False),
        *[sa.Column(name, TEXT, nullable=False) for name in ("root_id", "app_id", "environment", "tag")],
        *[sa.Column(name, sa.Float(), nullable=False) for name in AMOUNTS],
        sa.PrimaryKeyConstraint("function_id", "slot", "line", "gpu"),
    )
    op.create_index("ix_usage_slots_slot", "usage_slots", ["slot"])
    op.create_index("ix_usage_slots_app_id", "usage_slots", ["app_id"])
    whose = ("kind", "function_id", "root_id", "app_id", "environment", "tag")
    op.create_table(
        "usage_details",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("gpu", TEXT, nullable=False),
        *[sa.Column(name, TEXT, nullable=False) for name in whose],
        sa.Column("first_at", sa.Float(), nullable=False),
        sa.Column("last_at", sa.Float(), nullable=False),
        *[sa.Column(name, sa.Float(), nullable=False) for name in AMOUNTS],
        sa.PrimaryKeyConstraint("id", "gpu"),
    )
    op.create_index("ix_usage_details_app_id", "usage_details", ["app_id"])
    op.create_index("ix_usage_details_last_at", "usage_details", ["last_at"])
    op.create_table(
        "usage_marks",
        sa.Column("source", TEXT, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("source"),
    )
    op.create_index("ix_usage_marks_at", "usage_marks", ["at"])
