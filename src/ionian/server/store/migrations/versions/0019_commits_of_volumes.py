"""Commits of volumes that may be sent again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"

TEXT = sa.String(length=255)


def upgrade() -> None:
    op.create_table(
        "volume_commits",
        sa.Column("volume_id", TEXT, primary_key=True),
        sa.Column("commit_id", TEXT, primary_key=True),
        sa.Column("manifest", TEXT, nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
    )
