"""How often a spawned input that failed was tried again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

TEXT = sa.String(length=255)


def upgrade() -> None:
    op.create_table(
        "call_tries",
        sa.Column("call_id", TEXT, sa.ForeignKey("calls.call_id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("used", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("call_id", "number"),
    )
