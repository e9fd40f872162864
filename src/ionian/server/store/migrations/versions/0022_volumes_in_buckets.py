"""Volumes whose versions have their content in a bucket."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.add_column("volume_versions", sa.Column("bucket", sa.Text(), nullable=False, server_default=""))
