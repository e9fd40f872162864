"""Whose a spawned call is, and what `update_autoscaler` made of a variant."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("calls", sa.Column("caller", sa.String(length=255), nullable=False, server_default=""))
    op.add_column("variants", sa.Column("scaling", sa.Text(), nullable=True))
