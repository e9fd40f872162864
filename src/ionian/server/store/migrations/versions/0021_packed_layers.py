"""What packed layers in the blob store stand for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"

TEXT = sa.String(length=255)


def upgrade() -> None:
    op.create_table(
        "packed_images",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("arch", TEXT, nullable=False),
        sa.Column("known", sa.Text(), nullable=False),
        sa.Column("layers", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "arch"),
    )
