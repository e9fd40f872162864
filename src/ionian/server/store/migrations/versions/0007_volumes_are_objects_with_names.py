"""Volumes are objects with names, as dicts and queues are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute(
        sa.text(
            "INSERT INTO objects (object_id, kind, environment, name, created_at, created_by) "
            "SELECT volume_id, 'volume', environment, name, created_at, '' FROM volumes"
        )
    )
    op.drop_table("volumes")
