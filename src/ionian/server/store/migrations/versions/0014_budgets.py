"""What apps and environments may cost in a month."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

TEXT = sa.String(length=255)


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("environment", TEXT, nullable=False),
        sa.Column("app", TEXT, nullable=False),
        sa.Column("amount", sa.Float(), nullable=False),
        sa.Column("told", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("environment", "app"),
    )
