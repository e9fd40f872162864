"""How many inputs of a function waited and how many containers it had, minute by minute."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column(
        "function_minutes", sa.Column("waiting", sa.BigInteger(), nullable=False, server_default="0")
    )
    op.add_column(
        "function_minutes", sa.Column("containers", sa.Integer(), nullable=False, server_default="0")
    )
    op.drop_index("ix_function_minutes_root_id", "function_minutes")
    op.create_index("ix_function_minutes_root", "function_minutes", ["root_id", "minute"])
