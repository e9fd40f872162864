"""What environments have beside a name, and when tokens expire."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ionian.protocol.ids import new_id

revision = "0005"
down_revision = "0004"

TEXT = sa.String(length=255)


def upgrade() -> None:
    with op.batch_alter_table("environments") as environments:
        environments.add_column(sa.Column("environment_id", TEXT, nullable=False, server_default=""))
        environments.add_column(sa.Column("web_suffix", TEXT, nullable=False, server_default=""))
        environments.add_column(sa.Column("deleted_at", sa.Float(), nullable=True))
    table = sa.table(
        "environments", *(sa.column(name, sa.String()) for name in ("name", "environment_id", "web_suffix"))
    )
    for (name,) in op.get_bind().execute(sa.select(table.c.name)).all():
        values = {"environment_id": new_id("en"), "web_suffix": "" if name == "main" else name.lower()}
        op.execute(table.update().where(table.c.name == name).values(**values))
    with op.batch_alter_table("tokens") as tokens:
        tokens.add_column(sa.Column("expires_at", sa.Float(), nullable=True))
