"""What was used, in the store: each reading once; and as people see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.server.answering import Server

from ionian.protocol.stream import Refused
from ionian.protocol.usage import Amounts, By, Line, Metered, Reading, ReadUsage, UsageReport
from ionian.server.store import Store
from ionian.server.store.usage_sums import SLOT_S

DAY_S = 24 * 3600.0

AT = 20_000 * DAY_S + 100.0
"""Soon after midnight, UTC, of 2024-10-04."""

ALL = (0.0, 1e11)


def reading(
    seconds: float = 1.0,
    id: str = "ta-1",
    *,
    line: Line = "calls",
    app_id: str = "ap-1",
    function_id: str = "fu-1",
    calls: dict[str, float] | None = None,
    gpu: str = "",
) -> Reading:
    used = Amounts(seconds, seconds / 2, seconds / 4, seconds if gpu else 0.0, seconds / 8, seconds / 16)
    return Reading(id, app_id, "main", function_id, function_id, "f", gpu, {line: used}, calls or {})


def told(*readings: Reading, seq: int = 1, source: str = "one", at: float = AT) -> tuple[float, Metered]:
    return at, Metered(source, seq, 0.0, list(readings))


def wall_s(store: Store, *columns: str) -> dict[tuple[Any, ...], float]:
    return {one.keys: one.used.wall_s for one in store.metered.sums(columns, *ALL)}


# --- in the store


def test_a_reading_that_is_told_again_counts_once(store: Store) -> None:
    store.metered.add([told(reading(1.0), seq=1), told(reading(2.0), seq=2)])
    store.metered.add([told(reading(2.0), seq=2), told(reading(4.0), seq=3)])
    assert wall_s(store) == {(): 7.0}


def test_each_process_of_a_worker_has_numbers_of_its_own(store: Store) -> None:
    store.metered.add([told(reading(1.0), source="one"), told(reading(2.0), source="two")])
    store.metered.add([told(reading(1.0), source="one"), told(reading(4.0), source="three")])
    assert wall_s(store) == {(): 7.0}


def test_all_amounts_add_up_by_line_and_quarter_of_an_hour(store: Store) -> None:
    store.metered.add([told(reading(8.0), reading(16.0, line="idle"))])
    store.metered.add([told(reading(8.0), seq=2), told(reading(32.0), seq=3, at=AT + SLOT_S)])
    sums = {one.keys: one.used for one in store.metered.sums(["slot", "line"], *ALL)}
    slot = int(AT) // SLOT_S
    assert sums[slot, "calls"] == Amounts(16.0, 8.0, 4.0, 0.0, 2.0, 1.0)
    assert (sums[slot, "idle"].wall_s, sums[slot + 1, "calls"].wall_s) == (16.0, 32.0)
    assert [one.used.wall_s for one in store.metered.sums([], AT + SLOT_S, AT + SLOT_S + 1)] == [32.0]
    assert [one.used.wall_s for one in store.metered.sums([], AT, AT + 1)] == [32.0]


def test_containers_and_calls_are_kept_one_by_one(store: Store) -> None:
    store.metered.add(
        [
            told(reading(8.0, "ta-1", calls={"fc-a": 0.75, "fc-b": 0.25})),
            told(reading(4.0, "ta-2", calls={"fc-a": 1.0}), seq=2),
            told(reading(2.0, "te-1", line="templates"), seq=3),
            told(reading(1.0, "im-1:1", line="builds"), seq=4),
        ]
    )
    found = store.metered.details(["kind", "id"], *ALL, ["container", "template", "build", "call"])
    assert {one.keys: one.used.wall_s for one in found} == {
        ("container", "ta-1"): 8.0,
        ("container", "ta-2"): 4.0,
        ("template", "te-1"): 2.0,
        ("build", "im-1:1"): 1.0,
        ("call", "fc-a"): 10.0,
        ("call", "fc-b"): 2.0,
    }


def test_what_is_kept_of_single_ones_goes_and_the_sums_stay(store: Store) -> None:
    for seq in range(1, 6):
        store.metered.add([told(reading(1.0, f"ta-{seq}"), seq=seq, at=AT + seq)])
    while store.metered.purge(AT + 3.5, most=2):
        pass
    kept = store.metered.details(["id"], *ALL, ["container"])
    assert sorted(one.keys[0] for one in kept) == ["ta-4", "ta-5"]
    assert wall_s(store) == {(): 5.0}


def test_an_environment_that_is_renamed_takes_its_usage_along_and_one_that_is_deleted_leaves_it(
    store: Store,
) -> None:
    store.environments.create("dev")
    store.metered.add([told(replace(reading(1.0), environment="dev"))])
    store.environments.change("dev", new_name="staging", web_suffix=None)
    assert wall_s(store, "environment") == {("staging",): 1.0}
    store.environments.begin_deletion("staging")
    store.environments.end_deletion("staging")
    assert wall_s(store, "environment") == {("staging",): 1.0}


# --- as people see it


def ask(server: Server, by: Sequence[By], **given: Any) -> UsageReport:
    times: dict[str, Any] = {"since_at": AT - DAY_S, "until_at": AT + DAY_S}
    return server.ask(ReadUsage(list(by), **{**times, **given}))


def test_a_report_has_a_row_for_each_and_names_apps(server: Server) -> None:
    app_id = server.new_app("reader")
    server.store.metered.add(
        [told(reading(1.0, app_id=app_id), reading(2.0, "ta-2", app_id=app_id, function_id="fu-2"))]
    )
    report = ask(server, ["app"])
    assert [(row.keys, row.names, row.used.wall_s) for row in report.rows] == [
        ({"environment": "main", "app": app_id}, {"app": "reader"}, 3.0)
    ]
    assert [row.used.wall_s for row in ask(server, ["function"], app="reader").rows] == [1.0, 2.0]
    assert [row.used.wall_s for row in ask(server, ["container"], app=app_id).rows] == [1.0, 2.0]
    with pytest.raises(Refused, match="there is no app 'writer'"):
        ask(server, ["app"], app="writer")


def test_days_are_those_of_a_time_zone(server: Server) -> None:
    server.store.metered.add([told(reading(1.0)), told(reading(2.0), seq=2, at=AT + 6 * 3600)])
    by_day = {row.keys["day"]: row.used.wall_s for row in ask(server, ["day"]).rows}
    assert by_day == {"2024-10-04": 3.0}
    there = {row.keys["day"]: row.used.wall_s for row in ask(server, ["day"], zone="America/New_York").rows}
    assert there == {"2024-10-03": 1.0, "2024-10-04": 2.0}
    rows = ask(server, ["day", "app"], zone="America/New_York").rows
    assert [tuple(row.keys) for row in rows] == [("day", "environment", "app")] * 2
    hours = [row.keys["hour"] for row in ask(server, ["hour"]).rows]
    assert hours == ["2024-10-04 00:00", "2024-10-04 06:00"]


def test_prices_make_costs_and_a_changed_file_counts_at_once(server: Server) -> None:
    server.store.metered.add([told(reading(3600.0), reading(7200.0, "ta-2", gpu="H100"))])
    report = ask(server, ["line"])
    assert (report.currency, report.rows[0].costs) == ("", {})
    path = Path(server.context.prices.path)
    path.write_text(
        'currency = "EUR"\nper_hour = { cpu_core = 0.5, memory_gib = 0.25, gpu = { H100 = 3 } }\n'
    )
    report = ask(server, ["line"])
    (row,) = report.rows
    assert (report.currency, row.gpus) == ("EUR", {"H100": 7200.0})
    assert row.costs == pytest.approx({"cpu": 1.5 * 0.5, "memory": 0.75 * 0.25, "H100": 6.0})
    path.write_text('currency = "EUR"\nper_hour = { cpu = 0.5 }\n')
    with pytest.raises(Refused, match=r"expected cpu_core, gpu, memory_gib, got per_hour\.cpu"):
        ask(server, ["line"])


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"by": []}, "by: expected some of day, hour"),
        ({"by": ["call", "day"]}, "container and call each alone"),
        ({"by": ["app"], "since_at": AT + DAY_S}, "expected a time before another"),
        ({"by": ["app"], "since_at": 0.0}, "at most 400 days"),
        ({"by": ["app"], "zone": "../etc/passwd"}, "zone: expected a time zone such as Europe/Berlin"),
    ],
)
def test_what_can_not_be_shown_is_refused(server: Server, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(Refused, match=sentence):
        ask(server, given.pop("by"), **given)


def test_a_token_of_one_environment_sees_its_own(server: Server) -> None:
    server.store.environments.create("dev")
    foreign = replace(reading(2.0, "ta-2", function_id="fu-2"), environment="dev")
    server.store.metered.add([told(reading(1.0), foreign)])
    dev = replace(server.client, environment="dev")
    message = ReadUsage(["environment"], AT - DAY_S, AT + DAY_S)
    assert [row.keys for row in server.ask(message, actor=dev).rows] == [{"environment": "dev"}]
    with pytest.raises(Refused, match="belongs to 'dev'"):
        server.ask(replace(message, environment="main"), actor=dev)
