"""Alembic runs this for each command; the connection and its transaction are `migrate.py`'s."""

from __future__ import annotations

from alembic import context

from ionian.server.store.schema import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    render_as_batch=True,  # SQLite alters a table by copying it
)
context.run_migrations()
