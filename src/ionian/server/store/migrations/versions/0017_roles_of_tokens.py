"""What a token lets its bearer do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    role = sa.Column("role", sa.String(length=255), nullable=False, server_default="admin")
    op.add_column("tokens", role)
