"""Dicts in real containers (programs/dicts.py), and on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    assert home.ionian("environment", "create", "other").returncode == 0
    return seen_by(home, "dicts.py")[0]


def test_of_many_who_put_a_key_that_is_not_there_one_does(seen: dict[str, Any]) -> None:
    assert seen["claims"] == 1


def test_many_operations_at_once_are_all_done(seen: dict[str, Any]) -> None:
    assert seen["from coroutines"] == sum(range(200))
    assert seen["of many"] == 3000


def test_values_of_any_size_pass_between_client_and_container(seen: dict[str, Any]) -> None:
    assert seen["sizes"] is True
    assert seen["by a container"] == 3 << 20


def test_keys_and_values_are_objects_of_any_kind(seen: dict[str, Any]) -> None:
    assert seen["keys"] == ["Place(row=1, column='a')", "handle"]
    assert seen["a handle as a value"] is True


def test_what_is_there_is_seen_once_each_while_others_write(seen: dict[str, Any]) -> None:
    assert seen["while others write"] is True
    assert seen["cleared"] == [0, []]


def test_a_dict_that_is_gone_or_of_another_environment_says_so(seen: dict[str, Any]) -> None:
    other, nowhere, unknown, *theirs = seen["elsewhere"]
    assert other.startswith("PermissionDeniedError: FindObject concerns environment 'dev'")
    assert nowhere.startswith(
        "NotFoundError: there is no dict 'dicts-nowhere' in environment 'main'; there are: "
    )
    assert unknown.startswith("NotFoundError: there is no dict or queue di-01JDZX0000000000000000000A")
    assert [each.partition(" concerns")[0] for each in theirs] == [
        "PermissionDeniedError: ItemOps",
        "PermissionDeniedError: ReadDict",
    ]
    assert "it may have been deleted" in seen["after its block"]


# --- the command line


def ran(home: Home, *arguments: str) -> str:
    done = home.ionian("dict", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def failed(home: Home, *arguments: str) -> str:
    done = home.ionian("dict", *arguments)
    assert done.returncode != 0, done.stdout
    return done.stdout


def test_a_dict_is_seen_and_changed_on_the_command_line(home: Home) -> None:
    program = (
        "import ionian; d = ionian.Dict.from_name('shown'); "
        "d.update({'name': 'Ada', 'tags': ['a', 'b'], 3: None})"
    )
    for _ in range(2):
        assert "✓ The dict shown is there." in ran(home, "create", "shown")
    assert home.python("-c", program).returncode == 0
    (row,) = [row for row in json.loads(ran(home, "list", "--json")) if row["Name"] == "shown"]
    assert row["Created by"] == "local"
    assert ran(home, "get", "shown", "name") == "Ada\n"
    assert "the dict shown has no key '3'" in failed(home, "get", "shown", "3")
    rows = json.loads(ran(home, "items", "shown", "--json", "--repr"))
    assert sorted((row["Key"], row["Value"]) for row in rows) == [
        ("'name'", "'Ada'"),
        ("'tags'", "['a', 'b']"),
        ("3", "None"),
    ]
    assert "There are more" in ran(home, "items", "shown", "2")
    assert "There are more" not in ran(home, "items", "shown", "2", "--all")
    assert "Say --yes" in failed(home, "clear", "shown")
    ran(home, "clear", "shown", "--yes")
    assert "It is empty." in ran(home, "items", "shown")
    ran(home, "delete", "shown", "--yes")
    assert "there is no dict 'shown'" in failed(home, "delete", "shown", "--yes")
    ran(home, "delete", "shown", "--yes", "--allow-missing")
    assert "expected a name" in failed(home, "create", "a/b")


def test_a_value_whose_class_is_not_here_names_it(home: Home) -> None:
    program = (
        "import sys, types, ionian; m = types.ModuleType('elsewhere'); sys.modules['elsewhere'] = m; "
        "exec('class Thing: pass', m.__dict__); d = ionian.Dict.from_name('odd', create_if_missing=True); "
        "d['x'] = m.Thing()"
    )
    assert home.python("-c", program).returncode == 0
    assert "'elsewhere', which is not installed here" in failed(home, "get", "odd", "x")


def test_what_is_no_operation_is_refused_with_a_sentence(home: Home) -> None:
    program = """
import pickle, sys
from ionian import Dict, link, exception
from ionian.protocol.items import ItemOps, Op, Value, pack_ops, GET, PUT, TAKE
d = Dict.from_name("nonsense", create_if_missing=True).hydrate()
for ops, count, wait in (
    ([Op(99, d.object_id)], 1, 0), ([Op(GET, d.object_id, b"short")], 1, 0),
    ([Op(TAKE, d.object_id, b"", (), 1)], 1, 0), ([Op(GET, d.object_id, b"x" * 32)] * 2, 2, 5.0),
    ([Op(PUT, d.object_id, b"x" * 40, (Value(b"no digest", True),))], 1, 0),
    ([Op(PUT, d.object_id, b"x" * 40, (Value(b"a" * 64 + b" 3", True),))], 1, 0),
    ([Op(GET, d.object_id, b"x" * 32)], 3, 0), ([Op(GET, d.object_id, b"x" * 32)], -1, 0),
):
    objects = []
    payload = pack_ops(ops, objects)
    try:
        link.current().request(ItemOps("io-1", objects, count, wait_s=wait), payload)
        print("taken")
    except exception.InvalidError as error:
        print(error)
d["x"] = 1
assert d["x"] == 1
"""
    done = home.python("-c", program)
    assert done.returncode == 0, done.stdout
    lines = done.stdout.splitlines()
    assert len(lines) == 8
    assert all(line.startswith("expected ") for line in lines), done.stdout


TOGETHER = """
import asyncio
from ionian import Dict, exception

async def main():
    good = await Dict.from_name("together", create_if_missing=True).hydrate.aio()
    async with Dict.ephemeral() as gone:
        await gone.put.aio("x", 1)
    large = b"x" * (2_000_000)
    done = await asyncio.gather(
        *(good.put.aio(n, large) for n in range(8)), gone.get.aio("x"), return_exceptions=True
    )
    assert done[:8] == [True] * 8, done
    assert isinstance(done[8], exception.NotFoundError), done
    got = await asyncio.gather(*(good.get.aio(n) for n in range(8)))
    assert got == [large] * 8
    await good.clear.aio()
    print("fine")

asyncio.run(main())
"""


def test_operations_that_travel_together_fail_and_fit_each_by_itself(home: Home) -> None:
    done = home.python("-c", TOGETHER)
    assert done.stdout == "fine\n", done.stdout
