"""Objects by their names: dicts and queues."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

TEXT = sa.String(length=255)


def upgrade() -> None:
    op.create_table(
        "objects",
        sa.Column("object_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("environment", TEXT, sa.ForeignKey("environments.name"), nullable=False),
        sa.Column("name", TEXT, nullable=True),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("kept_until", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("object_id"),
        sa.UniqueConstraint("kind", "environment", "name", name="objects_kind_environment_name"),
    )
    op.create_index("ix_objects_kept_until", "objects", ["kept_until"])
