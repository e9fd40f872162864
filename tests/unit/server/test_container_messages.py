"""Containers and their logs, asked for by name, and by those who may."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.server.answering import Server

from ionian.protocol.apps import (
    ContainerInfo,
    EndContainer,
    ListContainers,
    Log,
    LogLines,
    ReadLogs,
    StopApp,
)
from ionian.protocol.ids import new_id
from ionian.protocol.spec import FunctionSpec
from ionian.protocol.stream import Refused
from ionian.protocol.workers import Usage
from ionian.server.auth import Actor

STRANGER = Actor("client", new_id("cl"), environment="elsewhere")


@pytest.fixture
def app_id(server: Server) -> str:
    app_id = server.new_app("shop")
    server.engine.containers = [
        ContainerInfo("ta-1", app_id, "", "f", "ready", "wo-1"),
        ContainerInfo("", app_id, "", "g", "wanted", reason="no GPU is free"),
    ]
    return app_id


def write(server: Server, app_id: str, text: str, container_id: str = "ta-1") -> None:
    server.context.logbook.write(Log(app_id, "f", container_id, 1), text.encode())


def texts(answer: LogLines) -> list[str]:
    return [line.text for line in answer.lines]


def test_containers_are_listed_with_the_names_of_their_app_and_worker(server: Server, app_id: str) -> None:
    server.store.workers.joined("wo-1", name="big", token_id="ti-1")
    listed = server.ask(ListContainers()).containers
    assert [(info.container_id, info.app_name, info.worker) for info in listed] == [
        ("ta-1", "shop", "big"),
        ("", "shop", ""),
    ]
    assert server.ask(ListContainers(app_id=server.new_app("empty"))).containers == []


def test_a_container_is_ended_and_an_unknown_one_is_refused_with_those_that_are_there(
    server: Server, app_id: str
) -> None:
    server.ask(EndContainer("ta-1", graceful=True))
    assert server.engine.ended == [("ta-1", True)]
    with pytest.raises(Refused, match="there is no container 'ta-2' now; there are: ta-1"):
        server.ask(EndContainer("ta-2"))


def test_logs_are_read_by_app_and_by_container(server: Server, app_id: str) -> None:
    write(server, app_id, "one\n")
    write(server, app_id, "two\n", "ta-2")
    assert texts(server.ask(ReadLogs(app_id))) == ["one", "two"]
    assert texts(server.ask(ReadLogs(app_id, tail=1))) == ["two"]
    assert texts(server.ask(ReadLogs(container_id="ta-1"))) == ["one"]
    assert texts(server.ask(ReadLogs(app_id, since_s=3600, until_s=1800))) == []


def test_a_container_reads_the_logs_of_its_own_app_alone(server: Server, app_id: str) -> None:
    write(server, app_id, "one\n")
    assert texts(server.ask(ReadLogs(app_id), actor=Actor("container", "ta-1", "main", app_id))) == ["one"]
    with pytest.raises(Refused, match="its containers may not do that"):
        server.ask(ReadLogs(app_id), actor=Actor("container", "ta-2", "main", server.new_app("other")))


def test_logs_of_an_ended_container_are_found_by_what_it_used(server: Server, app_id: str) -> None:
    write(server, app_id, "one\n", "ta-old")
    fields: dict[str, Any] = {
        "environment": "main",
        "app_id": app_id,
        "function_id": "fu-1",
        "worker_id": "wo-1",
    }
    server.store.usage.record("ta-old", Usage(), **fields)
    answer = server.ask(ReadLogs(container_id="ta-old"))
    assert (texts(answer), answer.ended) == (["one"], True)


def test_a_cursor_reads_on_and_a_stopped_app_is_over_and_keeps_its_logs(server: Server, app_id: str) -> None:
    write(server, app_id, "one\n")
    first = server.ask(ReadLogs(app_id))
    assert (texts(first), first.ended) == (["one"], False)
    write(server, app_id, "two\n")
    second = server.ask(ReadLogs(app_id, cursor=first.cursor, wait_s=10))
    assert (texts(second), second.ended) == (["two"], False)
    server.ask(StopApp(app_id))
    third = server.ask(ReadLogs(app_id, cursor=second.cursor, wait_s=10))
    assert (texts(third), third.ended) == ([], True)
    assert texts(server.ask(ReadLogs(app_id))) == ["one", "two"]


def test_logs_of_a_class_are_found_by_its_name_and_its_methods(server: Server, app_id: str) -> None:
    specs = [FunctionSpec(new_id("fu"), tag, "m", tag) for tag in ("Model.*", "f")]
    server.store.functions.publish(app_id, specs)
    for tag in ("Model.*", "f", "gone"):
        server.context.logbook.write(Log(app_id, tag, "ta-1", 1), f"by {tag}\n".encode())
    for named in ("Model", "Model.*", "Model.predict"):
        assert texts(server.ask(ReadLogs(app_id, function=named))) == ["by Model.*"]
    assert texts(server.ask(ReadLogs(app_id, function="gone"))) == ["by gone"]  # of an earlier version
    with pytest.raises(Refused, match=r"app shop has no function or class 'g'; there are: Model\.\*, f"):
        server.ask(ReadLogs(app_id, function="g"))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (ReadLogs(), "app_id: expected an app or a container, got neither"),
        (ReadLogs("ap-none"), "there is no app 'ap-none'"),
        (ReadLogs(container_id="ta-9"), "there is no container 'ta-9' now; there are: ta-1"),
        (ReadLogs(container_id="ta-1", tail=-1), "tail, since_s, until_s: expected 0 or more"),
        (
            ReadLogs(container_id="ta-1", cursor="x"),
            "cursor: expected a cursor of an earlier answer, got 'x'",
        ),
        (ReadLogs(function_id="fu-1"), "there is no function 'fu-1' in any app of this server"),
    ],
)
def test_what_can_not_be_read_is_refused(server: Server, app_id: str, message: ReadLogs, words: str) -> None:
    with pytest.raises(Refused, match=words):
        server.ask(message)


@pytest.mark.parametrize("ask", [ReadLogs(container_id="ta-1"), EndContainer("ta-1")])
def test_another_environments_client_is_refused(server: Server, app_id: str, ask: Any) -> None:
    with pytest.raises(Refused, match="belongs to 'elsewhere'"):
        server.ask(ask, actor=STRANGER)
