"""Images that were built, and the names under which they are published."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

TEXT = sa.String(length=255)


def upgrade() -> None:
    op.create_table(
        "images",
        sa.Column("environment", TEXT, nullable=False),
        sa.Column("image_id", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("app", TEXT, nullable=False),
        sa.Column("built_by", TEXT, nullable=False),
        sa.Column("built_at", sa.Float(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("python", TEXT, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("environment", "image_id"),
    )
    op.create_index("ix_images_built_at", "images", ["built_at"])
    op.create_table(
        "image_publications",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True),
        sa.Column("environment", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("image_id", TEXT, nullable=False),
        sa.Column("published_at", sa.Float(), nullable=False),
        sa.Column("published_by", TEXT, nullable=False),
    )
    op.create_index("ix_image_publications_name", "image_publications", ["environment", "name"])
    op.create_index("ix_image_publications_image_id", "image_publications", ["image_id"])
