"""What apps used in a month is added up as it is told, and is the sum of what is kept of it quarter by quarter."""

from __future__ import annotations

import math
import random
import signal
import subprocess
import sys
from collections import defaultdict
from datetime import datetime, timezone
from typing import Any

import pytest
from alembic import command
from sqlalchemy import text
from tests.unit.server.test_metered import reading, told

from ionian.machine.state import StateFolder
from ionian.server.store import Store
from ionian.server.store.database import Database
from ionian.server.store.migrate import configuration
from ionian.server.store.usage_sums import AMOUNTS

OCTOBER = datetime(2024, 10, 1, tzinfo=timezone.utc)
NOVEMBER = datetime(2024, 11, 1, tzinfo=timezone.utc)
DECEMBER = datetime(2024, 12, 1, tzinfo=timezone.utc)


def kept(store: Store, month: datetime) -> dict[tuple[Any, ...], float]:
    """Environment, name of an app and cards → what it used in a month."""
    return {one.keys: one.used.wall_s for one in store.usage_months.of(month)}


def added_up(store: Store, since: datetime, until: datetime) -> dict[tuple[Any, ...], float]:
    """The same, from the quarters of an hour."""
    sums = store.metered.sums(["environment", "app_id", "gpu"], since.timestamp(), until.timestamp())
    names = store.apps.names({one.keys[1] for one in sums})
    found: dict[tuple[Any, ...], float] = defaultdict(float)
    for one in sums:
        environment, app_id, gpu = one.keys
        found[environment, names.get(app_id, app_id), gpu] += one.used.wall_s
    return dict(found)


def run_of(store: Store, name: str, app_id: str) -> str:
    store.apps.create(app_id, environment="main", name=name, detach=False, client="cl-1")
    return app_id


def test_a_month_is_the_sum_of_its_quarters_of_an_hour(store: Store) -> None:
    apps = [run_of(store, "search", "ap-1"), run_of(store, "search", "ap-2"), run_of(store, "train", "ap-3")]
    chance = random.Random(7)
    for seq in range(1, 30):
        chosen = [chance.choice([*apps, "ap-gone"]) for _ in range(4)]
        readings = [
            reading(
                chance.randrange(64), app_id=app, function_id=f"fu-{app}", gpu=chance.choice(["", "H100"])
            )
            for app in chosen
        ]
        store.metered.add([told(*readings, seq=seq, at=OCTOBER.timestamp() + seq * 2 * 24 * 3600.0 + 7.0)])
    assert kept(store, OCTOBER) == added_up(store, OCTOBER, NOVEMBER)
    assert kept(store, NOVEMBER) == added_up(store, NOVEMBER, DECEMBER)
    assert {keys[1] for keys in kept(store, OCTOBER)} == {"search", "train", "ap-gone"}


def test_a_reading_that_is_told_again_counts_once_in_its_month(store: Store) -> None:
    at = NOVEMBER.timestamp()
    store.metered.add([told(reading(1.0), seq=1, at=at - 1.0), told(reading(2.0), seq=2, at=at)])
    store.metered.add([told(reading(2.0), seq=2, at=at), told(reading(4.0), seq=3, at=at)])
    assert kept(store, OCTOBER) == {("main", "ap-1", ""): 1.0}
    assert kept(store, NOVEMBER) == {("main", "ap-1", ""): 6.0}


def test_an_environment_that_takes_the_name_of_a_deleted_one_adds_its_months_to_what_that_used(
    store: Store,
) -> None:
    store.environments.create("dev")
    at = NOVEMBER.timestamp()
    for seq, (environment, app_id) in enumerate([("dev", "ap-1"), ("old", "ap-1"), ("dev", "ap-2")], 1):
        one = reading(float(seq), app_id=app_id)
        one.environment = environment
        store.metered.add([told(one, seq=seq, at=at)])
    store.environments.change("dev", new_name="old", web_suffix=None)
    assert kept(store, NOVEMBER) == {("old", "ap-1", ""): 3.0, ("old", "ap-2", ""): 3.0}


def test_what_was_used_before_there_were_months_is_added_up_by_the_migration(url: str) -> None:
    database = Database(url)
    with database.writing_connection() as connection, connection.begin():
        command.upgrade(configuration(connection), "0017")
        connection.execute(text("INSERT INTO environments VALUES ('main', 1.0, 'en-1', 'm', NULL)"))
        connection.execute(
            text(
                "INSERT INTO apps (app_id, environment, name, detach, client, state, created_at, stopped_at, reason, "
                "version, deployed_at, tags) VALUES "
                "('ap-1', 'main', 'search', true, 'cl-1', 'detached', 2.0, NULL, '', 0, NULL, '{}')"
            )
        )
        for number, at in enumerate(
            [NOVEMBER.timestamp() - 1, NOVEMBER.timestamp(), DECEMBER.timestamp() - 1]
        ):
            for app_id in ("ap-1", "ap-gone"):
                values = {"slot": int(at) // 900, "app_id": app_id, "amount": 2.0**number}
                connection.execute(text(_SLOT), values)
    database.close()
    store = Store.open(url)
    for since, until in ((OCTOBER, NOVEMBER), (NOVEMBER, DECEMBER)):
        assert kept(store, since) == added_up(store, since, until)
    assert kept(store, NOVEMBER) == {("main", "search", ""): 6.0, ("main", "ap-gone", ""): 6.0}
    store.close()


_SLOT = (
    "INSERT INTO usage_slots (function_id, slot, line, gpu, root_id, app_id, environment, tag, "
    + ", ".join(AMOUNTS)
    + ") VALUES ('fu-' || :app_id, :slot, 'calls', '', 'fu-1', :app_id, 'main', 'f', "
    + ", ".join([":amount"] * len(AMOUNTS))
    + ")"
)

WRITER = """
import sys
from tests.unit.server.test_metered import reading, told
from ionian.server.store import Store

store = Store.open(sys.argv[1])
for seq in range(1, 1_000_000):
    second = reading(0.1, app_id="ap-2", function_id="fu-2")
    store.metered.add([told(reading(1.0), second, seq=seq, source=sys.argv[2])])
    print(seq, flush=True)
"""


@pytest.mark.parametrize("lines", [1, 5])
def test_a_server_that_is_killed_leaves_months_that_are_the_sums_of_their_quarters(
    state: StateFolder, lines: int
) -> None:
    told_of = 0
    for source in ("first", "second"):
        arguments = [sys.executable, "-c", WRITER, state.database_url, source]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(lines):
                assert process.stdout.readline()
            process.send_signal(signal.SIGKILL)
            told_of += lines + len(process.stdout.readlines())
        assert process.returncode == -signal.SIGKILL
    store = Store.open(state.database_url)
    months, quarters = kept(store, OCTOBER), added_up(store, OCTOBER, NOVEMBER)
    store.close()
    assert set(months) == set(quarters) == {("main", app, "") for app in ("ap-1", "ap-2")}
    assert all(math.isclose(months[keys], quarters[keys], rel_tol=1e-9) for keys in months)
    assert months["main", "ap-1", ""] >= told_of
