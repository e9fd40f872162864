"""Deploys, spawned calls, schedules, failed inputs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TEXT = sa.String(length=255)


def upgrade() -> None:
    with op.batch_alter_table("apps") as apps:
        apps.add_column(sa.Column("version", sa.Integer(), nullable=False, server_default="0"))
        apps.add_column(sa.Column("deployed_at", sa.Float(), nullable=True))
        apps.add_column(sa.Column("tags", sa.Text(), nullable=False, server_default="{}"))
    _apps()
    _calls()


def _apps() -> None:
    op.create_table(
        "versions",
        sa.Column("app_id", TEXT, sa.ForeignKey("apps.app_id", ondelete="CASCADE"), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("deployed_at", sa.Float(), nullable=False),
        sa.Column("tag", TEXT, nullable=False),
        sa.Column("client_version", TEXT, nullable=False),
        sa.Column("commit", TEXT, nullable=False),
        sa.Column("user", TEXT, nullable=False),
        sa.Column("from_version", sa.Integer(), nullable=False),
        sa.Column("specs", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("app_id", "number"),
    )
    op.create_table(
        "variants",
        sa.Column("function_id", TEXT, nullable=False),
        sa.Column("base_id", TEXT, nullable=False),
        sa.Column("app_id", TEXT, sa.ForeignKey("apps.app_id", ondelete="CASCADE"), nullable=False),
        sa.Column("overrides", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("function_id"),
    )
    _index("variants", "base_id", "app_id")
    op.create_table(
        "schedules",
        sa.Column("function_id", TEXT, nullable=False),
        sa.Column("app_id", TEXT, sa.ForeignKey("apps.app_id", ondelete="CASCADE"), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("next_at", sa.Float(), nullable=False),
        sa.Column("last_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("function_id"),
    )
    _index("schedules", "app_id", "next_at")


def _calls() -> None:
    op.create_table(
        "calls",
        sa.Column("call_id", TEXT, nullable=False),
        sa.Column("app_id", TEXT, nullable=False),
        sa.Column("environment", TEXT, nullable=False),
        sa.Column("function_id", TEXT, nullable=False),
        sa.Column("tag", TEXT, nullable=False),
        sa.Column("parent", TEXT, nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Boolean(), nullable=False),
        sa.Column("finished_at", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("call_id"),
    )
    _index("calls", "app_id", "parent", "created_at", "finished_at")
    op.create_index("ix_calls_waiting", "calls", ["function_id", "finished_at", "created_at"])
    op.create_table(
        "call_inputs",
        sa.Column("call_id", TEXT, sa.ForeignKey("calls.call_id", ondelete="CASCADE"), nullable=False),
        sa.Column("start", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("stop", sa.Integer(), nullable=False),
        sa.Column("blobs", sa.Text(), nullable=False),
        sa.Column("columns", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("call_id", "start"),
    )
    op.create_table(
        "call_results",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("call_id", TEXT, sa.ForeignKey("calls.call_id", ondelete="CASCADE"), nullable=False),
        sa.Column("low", sa.Integer(), nullable=False),
        sa.Column("high", sa.Integer(), nullable=False),
        sa.Column("blobs", sa.Text(), nullable=False),
        sa.Column("columns", sa.LargeBinary(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
    )
    op.create_index("ix_call_results_low", "call_results", ["call_id", "low"])
    op.create_table(
        "failed_inputs",
        sa.Column("input_id", TEXT, nullable=False),
        sa.Column("app_id", TEXT, nullable=False),
        sa.Column("environment", TEXT, nullable=False),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("failure", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("input_id"),
    )
    _index("failed_inputs", "app_id", "failed_at")


def _index(table: str, *columns: str) -> None:
    for column in columns:
        op.create_index(f"ix_{table}_{column}", table, [column])
