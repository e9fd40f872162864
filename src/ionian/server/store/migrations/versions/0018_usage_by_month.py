"""What apps used in a calendar month, added up."""

from __future__ import annotations

from datetime import datetime, timezone

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

TEXT = sa.String(length=255)
KEYS = ("month", "environment", "app", "gpu")
AMOUNTS = ("wall_s", "cpu_s", "memory_gib_s", "gpu_s", "used_cpu_s", "used_memory_gib_s")
SLOT_S = 900


def upgrade() -> None:
    op.create_table(
        "usage_months",
        *[sa.Column(name, TEXT, nullable=False) for name in KEYS],
        *[sa.Column(name, sa.Float(), nullable=False) for name in AMOUNTS],
        sa.PrimaryKeyConstraint(*KEYS),
    )
    connection = op.get_bind()
    first, last = connection.execute(sa.text("SELECT min(slot), max(slot) FROM usage_slots")).one()
    month = None if first is None else _month(first)
    while month is not None and month <= _month(last):
        following = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
        connection.execute(sa.text(_ADDED_UP), {"month": f"{month:%Y-%m}", **_bounds(month, following)})
        month = following


def _month(slot: int) -> datetime:
    return datetime.fromtimestamp(slot * SLOT_S, timezone.utc).replace(day=1, hour=0, minute=0)


def _bounds(month: datetime, following: datetime) -> dict[str, int]:
    return {"since": int(month.timestamp()) // SLOT_S, "until": int(following.timestamp()) // SLOT_S}


_SUMS = ", ".join(f"sum(usage_slots.{name})" for name in AMOUNTS)

_ADDED_UP = f"""
INSERT INTO usage_months ({", ".join((*KEYS, *AMOUNTS))})
SELECT :month, usage_slots.environment, coalesce(apps.name, usage_slots.app_id), usage_slots.gpu, {_SUMS}
FROM usage_slots LEFT JOIN apps ON apps.app_id = usage_slots.app_id
WHERE usage_slots.slot >= :since AND usage_slots.slot < :until
GROUP BY usage_slots.environment, coalesce(apps.name, usage_slots.app_id), usage_slots.gpu
"""
