"""Objects by their names: dicts and queues, and what is in them."""

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
    op.create_table(
        "dict_items",
        sa.Column("object_id", TEXT, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("is_blob", sa.Boolean(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "digest"),
    )
    op.create_index("ix_dict_items_used_at", "dict_items", ["used_at"])
    _queues()


def _queues() -> None:
    op.create_table(
        "queue_partitions",
        sa.Column("object_id", TEXT, nullable=False),
        sa.Column("partition", sa.LargeBinary(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "partition"),
    )
    op.create_index("ix_queue_partitions_expires_at", "queue_partitions", ["expires_at"])
    op.create_table(
        "queue_items",
        sa.Column("object_id", TEXT, nullable=False),
        sa.Column("partition", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("is_blob", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "partition", "position"),
    )
    op.create_table(
        "item_answers",
        sa.Column("request_id", TEXT, nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("taken", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("request_id"),
    )
