"""Versions of volumes that containers of several machines have."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

TEXT = sa.String(length=255)


def upgrade() -> None:
    op.create_table(
        "volume_versions",
        sa.Column("volume_id", TEXT, primary_key=True),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("manifest", TEXT, nullable=False),
        sa.Column("made_at", sa.Float(), nullable=False),
    )
