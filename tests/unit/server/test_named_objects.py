"""Objects by their names, from the handle of a program to the store, without a wire between them."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, ClassVar

import pytest
from tests.unit.server.answering import Server

from ionian import exception
from ionian import link as links
from ionian.named_object import Ephemeral, NamedObject, NamedObjects
from ionian.protocol.ids import new_id
from ionian.protocol.objects import CreateEphemeral, CreateObject, DeleteObject, FindObject, KeepEphemeral
from ionian.protocol.stream import Refused
from ionian.server.store import Store

DAY_S = 86_400.0


class Thing(NamedObject):
    """A kind of object, as programs have it."""

    _kind = "dict"
    objects: ClassVar[NamedObjects[Thing]] = NamedObjects()


class Straight:
    """A link whose other end is the handlers."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def request(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        try:
            return self._server.exchange(message, payload)
        except Refused as refused:
            raise getattr(exception, refused.type)(refused.message) from None

    async def request_async(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        return await asyncio.to_thread(self.request, message, payload)


@pytest.fixture
def linked(server: Server) -> Iterator[Server]:
    links.use(Straight(server))  # type: ignore[arg-type]  # the part of a link that objects use
    yield server
    links.use(None)


def thing(name: str = "a", **arguments: Any) -> Thing:
    return Thing._named(name, arguments.get("environment_name"), arguments.get("create_if_missing", False))  # pyright: ignore[reportPrivateUsage]


def refused(server: Server, message: Any, text: str, **actor: Any) -> str:
    """The type of the failure that answers a message."""
    with pytest.raises(Refused, match=text) as caught:
        server.ask(message, **actor)
    return caught.value.type


# --- handles


def test_an_object_is_looked_for_at_its_first_use_and_made_where_that_is_asked(linked: Server) -> None:
    handle = thing(create_if_missing=True)
    with pytest.raises(exception.ExecutionError, match=r"from_name\('a'\) has no id before it is used"):
        _ = handle.object_id
    assert handle.hydrate() is handle
    assert handle.object_id.startswith("di-")
    assert asyncio.run(thing().hydrate.aio()).object_id == handle.object_id
    assert thing().info().name == "a"
    assert abs(thing().info().created_at.timestamp() - time.time()) < DAY_S


def test_a_name_that_is_not_there_is_refused_with_those_that_are(linked: Server) -> None:
    Thing.objects.create("orders")
    with pytest.raises(
        exception.NotFoundError, match="no dict 'order' in environment 'main'; there are: orders"
    ):
        thing("order").hydrate()


def test_an_object_is_known_by_its_id_until_it_is_deleted(linked: Server) -> None:
    object_id = thing(create_if_missing=True).hydrate().object_id
    by_id = Thing._of_id("dict_id", object_id)  # pyright: ignore[reportPrivateUsage]
    assert by_id.name is None
    assert by_id.hydrate().name == "a"
    Thing.objects.delete("a")
    with pytest.raises(exception.NotFoundError, match="may have been deleted"):
        by_id.hydrate()
    assert thing(create_if_missing=True).hydrate().object_id != object_id


@pytest.mark.parametrize("object_id", ["", "qu-1", 3])
def test_what_is_no_id_of_this_kind_is_refused(object_id: Any) -> None:
    with pytest.raises(exception.InvalidError, match="dict_id: expected the id of a dict"):
        Thing._of_id("dict_id", object_id)  # pyright: ignore[reportPrivateUsage]


def test_a_handle_means_the_same_object_in_another_process(linked: Server) -> None:
    Thing.objects.create("a")
    for handle in (thing(), thing().hydrate()):
        assert pickle.loads(pickle.dumps(handle)).hydrate().object_id == thing().hydrate().object_id


def test_a_handle_is_not_made_by_its_class() -> None:
    with pytest.raises(exception.InvalidError, match=r'modal\.Thing\.from_name\("…"'):
        Thing()


# --- all of a kind


def test_objects_are_made_once_unless_the_program_takes_the_one_that_is_there(linked: Server) -> None:
    Thing.objects.create("a")
    Thing.objects.create("a", allow_existing=True)
    with pytest.raises(
        exception.AlreadyExistsError, match="there is a dict 'a' in environment 'main' already"
    ):
        Thing.objects.create("a")


def test_objects_are_listed_newest_first_within_bounds(linked: Server) -> None:
    for name in ("a", "b", "c"):
        Thing.objects.create(name)
    assert [each.name for each in Thing.objects.list()] == ["c", "b", "a"]
    assert [each.name for each in Thing.objects.list(max_objects=2)] == ["c", "b"]
    assert Thing.objects.list(max_objects=0) == []
    middle = thing("b").info().created_at
    assert [each.name for each in Thing.objects.list(created_before=middle)] == ["a"]
    assert Thing.objects.list(created_before="2001-01-01") == []
    assert [each.name for each in asyncio.run(Thing.objects.list.aio(max_objects=1))] == ["c"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [({"max_objects": -1}, "max_objects"), ({"created_before": "soon"}, "created_before")],
)
def test_bounds_of_a_list_that_make_no_sense_are_refused(arguments: Any, text: str) -> None:
    with pytest.raises(exception.InvalidError, match=text):
        Thing.objects.list(**arguments)


def test_what_is_deleted_is_gone_and_its_name_is_free(linked: Server) -> None:
    Thing.objects.create("a")
    Thing.objects.delete("a")
    assert Thing.objects.list() == []
    with pytest.raises(exception.NotFoundError, match="no dict 'a'"):
        Thing.objects.delete("a")
    Thing.objects.delete("a", allow_missing=True)
    Thing.objects.create("a")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "x" * 65, "ap-1234567890123456789012", None])
def test_names_are_checked_where_they_are_written(name: Any) -> None:
    for use in (thing, Thing.objects.create, Thing.objects.delete):
        with pytest.raises(exception.InvalidError, match="name: expected a name of 1 to 64"):
            use(name)


def test_two_environments_have_objects_of_one_name(linked: Server) -> None:
    linked.store.environments.create("dev")
    main = thing(create_if_missing=True).hydrate().object_id
    Thing.objects.create("a", environment_name="dev")
    assert thing(environment_name="dev").hydrate().object_id != main
    Thing.objects.delete("a", environment_name="dev")
    assert thing().hydrate().object_id == main


# --- without a name


def test_an_ephemeral_object_is_there_in_its_block_alone(linked: Server) -> None:
    with Ephemeral(Thing, None) as handle:
        assert handle.name is None
        assert handle.info().name is None
        assert Thing.objects.list() == []
    with pytest.raises(exception.NotFoundError):
        handle.hydrate()

    async def block() -> str:
        async with Ephemeral(Thing, None) as inner:
            return (await inner.hydrate.aio()).object_id

    assert asyncio.run(block()).startswith("di-")


def test_an_ephemeral_object_goes_when_nobody_keeps_it(store: Store) -> None:
    first, second = (
        store.objects.create_ephemeral(new_id("di"), kind="dict", environment="main", keep_s=100.0)
        for _ in range(2)
    )
    store.objects.keep(second.object_id, 300.0)
    soon = time.time() + 200
    assert [each.object_id for each in store.objects.expired(soon)] == [first.object_id]
    store.objects.keep_all(600.0)
    assert store.objects.expired(soon) == []


# --- the server by itself


def test_the_store_keeps_a_deleted_object_until_its_content_is_gone(store: Store) -> None:
    made = store.objects.create(new_id("di"), kind="dict", environment="main", name="a")
    store.objects.delete(made.object_id)
    assert store.objects.by_id(made.object_id) is None
    assert [each.object_id for each in store.objects.expired(time.time())] == [made.object_id]
    store.objects.forget(made.object_id)
    assert store.objects.expired(time.time()) == []


def test_a_request_that_comes_twice_makes_one_object(server: Server) -> None:
    for message in (CreateObject("dict", new_id("di"), "a"), CreateEphemeral("dict", new_id("di"))):
        assert server.ask(message) == server.ask(message)


def test_objects_of_other_environments_are_out_of_reach_of_a_container(server: Server) -> None:
    server.store.environments.create("dev")
    theirs = server.ask(FindObject("dict", "a", "dev", create=True)).object_id
    container = server.container_of(server.new_app())
    for message in (
        FindObject("dict", "a", "dev"),
        FindObject("dict", object_id=theirs),
        DeleteObject("dict", object_id=theirs),
        KeepEphemeral(theirs),
    ):
        assert refused(server, message, "belongs to 'main'", actor=container) == "PermissionDeniedError"
    own = server.ask(FindObject("dict", "a", create=True), actor=container)
    assert (own.environment, own.created_by) == ("main", "app app")


def test_an_id_of_another_kind_is_refused(server: Server) -> None:
    found = server.ask(FindObject("dict", "a", create=True)).object_id
    assert refused(server, FindObject("queue", object_id=found), "there is no queue di-") == "NotFoundError"
    assert refused(server, CreateObject("queue", new_id("di"), "q"), "like qu-") == "InvalidError"
    dev = replace(server.client, environment="dev")
    assert refused(server, FindObject("dict", "a", "main"), "'dev'", actor=dev) == "PermissionDeniedError"


def test_what_is_made_names_who_made_it_and_when(linked: Server) -> None:
    Thing.objects.create("a")
    info = thing().info()
    assert info.created_at <= datetime.now().astimezone()
    assert info.created_by is None  # the client of this test has no token
