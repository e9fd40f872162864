"""Volumes of which each container has a copy of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    with op.batch_alter_table("objects") as objects:
        objects.add_column(sa.Column("isolated", sa.Integer(), nullable=False, server_default="0"))
