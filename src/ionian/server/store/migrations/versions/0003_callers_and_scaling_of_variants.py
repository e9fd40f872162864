"""Whose a spawned call is, what `update_autoscaler` made of a variant, and numbers of results past two thousand million."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("calls", sa.Column("caller", sa.String(length=255), nullable=False, server_default=""))
    op.add_column("variants", sa.Column("scaling", sa.Text(), nullable=True))
    if op.get_bind().dialect.name == "postgresql":  # SQLite's are of 64 bits already
        op.alter_column("call_results", "number", type_=sa.BigInteger())
        op.execute("ALTER SEQUENCE call_results_number_seq AS bigint")
