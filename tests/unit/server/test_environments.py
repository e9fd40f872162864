"""Environments as requests: who may make, change and delete them, and what goes with one."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.server.answering import Server

from ionian.protocol.apps import AppList, FindApp, FindVolume, ListApps
from ionian.protocol.environments import (
    CreateEnvironment,
    DeleteEnvironment,
    EnvironmentInfo,
    EnvironmentList,
    FindEnvironment,
    ListEnvironments,
    UpdateEnvironment,
)
from ionian.protocol.ids import new_id
from ionian.protocol.objects import CreateObject
from ionian.protocol.stream import Refused
from ionian.protocol.tokens import CreateToken, TokenCreated
from ionian.server.auth import Actor
from ionian.server.store import Store
from ionian.server.store.environments import StillLive

OF_DEV = Actor("client", new_id("cl"), "dev", stream=2)


def names(server: Server, actor: Actor | None = None) -> list[str]:
    listed: EnvironmentList = server.ask(ListEnvironments(), actor=actor)
    return [one.name for one in listed.environments]


def refused(server: Server, message: Any, text: str, actor: Actor | None = None) -> str:
    with pytest.raises(Refused, match=text) as caught:
        server.ask(message, actor=actor)
    return caught.value.type


def test_an_environment_is_made_once_and_found_by_name_and_id(server: Server) -> None:
    made: EnvironmentInfo = server.ask(CreateEnvironment("dev"))
    assert made.environment_id.startswith("en-")
    assert made.web_suffix == "dev"
    assert refused(server, CreateEnvironment("dev"), "there is an environment 'dev'") == "AlreadyExistsError"
    assert server.ask(CreateEnvironment("dev", allow_existing=True)) == made
    assert server.ask(FindEnvironment("dev")) == server.ask(FindEnvironment(made.environment_id)) == made
    assert server.ask(FindEnvironment()).name == "main"
    assert names(server) == ["dev", "main"]


@pytest.mark.parametrize("name", ["", "a", "-a", ".a", "en-x", "a b", "a/b", "x" * 65, "ä1"])
def test_an_environment_needs_a_plain_name(server: Server, name: str) -> None:
    for message in (CreateEnvironment(name), UpdateEnvironment("main", name or " ")):
        assert refused(server, message, "expected a name of 2 to 64") == "InvalidError"


def test_one_that_is_not_there_is_named_with_those_that_are(server: Server) -> None:
    server.ask(CreateEnvironment("development"))
    for message in (
        FindEnvironment("develop"),
        UpdateEnvironment("develop", "other"),
        DeleteEnvironment("develop"),
        ListApps("develop"),
    ):
        text = "no environment 'develop'; there are: development, main"
        assert refused(server, message, text) == "NotFoundError"


def test_web_suffixes_are_parts_of_host_names_and_each_is_one_environments(server: Server) -> None:
    server.ask(CreateEnvironment("Dev.1"))
    assert server.ask(FindEnvironment("Dev.1")).web_suffix == "dev-1"
    assert server.ask(CreateEnvironment("dev_1")).web_suffix == "dev-1-2"
    assert server.ask(UpdateEnvironment("dev_1", web_suffix="x")).web_suffix == "x"
    refused(server, UpdateEnvironment("Dev.1", web_suffix="x"), "another environment has 'x'")
    for suffix in ("-x", "x-", "X", "a" * 33, "ä"):
        refused(server, UpdateEnvironment("Dev.1", web_suffix=suffix), "web_suffix: expected")


def test_another_name_takes_all_along(server: Server) -> None:
    made: EnvironmentInfo = server.ask(CreateEnvironment("dev"))
    app_id = server.new_app(environment="dev")
    volume = server.ask(FindVolume("data", "dev", create=True))
    refused(server, UpdateEnvironment("dev", "stage"), "has an app that is not stopped .app.")
    server.store.apps.stop(app_id, "")
    assert server.ask(UpdateEnvironment("dev", "stage")).environment_id == made.environment_id
    assert names(server) == ["main", "stage"]
    assert server.ask(FindVolume("data", "stage")) == volume
    listed: AppList = server.ask(ListApps("stage"))
    assert [app.app_id for app in listed.apps] == [app_id]
    server.ask(CreateEnvironment("dev"))
    refused(server, UpdateEnvironment("stage", "dev"), "another environment has 'dev'")


def test_what_it_has_goes_with_an_environment(server: Server) -> None:
    server.ask(CreateEnvironment("dev"))
    app_id = server.new_app(environment="dev")
    other = server.new_app()
    volume = server.ask(FindVolume("data", "dev", create=True))
    server.ask(CreateObject("dict", new_id("di"), "d", "dev"))
    folder = server.context.state.volume(volume.volume_id)
    (folder / "file").touch()
    server.ask(DeleteEnvironment("dev"))
    assert names(server) == ["main"]
    assert [stopped for stopped, _ in server.engine.stopped] == [app_id]
    assert not folder.exists()
    assert server.store.apps.find(app_id) is None
    assert server.store.apps.find(other) is not None
    server.ask(CreateEnvironment("dev"))
    refused(server, FindVolume("data", "dev"), "there is no volume 'data'")


@pytest.mark.parametrize("end", [DeleteEnvironment("dev"), UpdateEnvironment("dev", "stage")])
def test_who_came_with_a_token_of_it_is_cut_off_when_it_goes_or_has_another_name(
    server: Server, end: DeleteEnvironment | UpdateEnvironment
) -> None:
    server.ask(CreateEnvironment("dev"))
    asked = [
        CreateToken("client", "dev"),
        CreateToken("worker", "dev"),
        CreateToken("client", "main"),
        CreateToken(),
    ]
    made: list[TokenCreated] = [server.ask(one) for one in asked]
    server.ask(UpdateEnvironment("dev", web_suffix="x"))
    assert server.engine.cut == []
    server.ask(end)
    assert sorted(server.engine.cut) == sorted(one.info.token_id for one in made[:2])


def test_while_it_is_deleted_nothing_finds_an_environment_or_makes_one_of_its_name(server: Server) -> None:
    server.ask(CreateEnvironment("dev"))
    server.store.environments.begin_deletion("dev")
    assert names(server) == ["main"]
    refused(server, FindApp("app", "dev", create=True), "there is no environment 'dev'")
    refused(server, CreateEnvironment("dev"), "is being deleted")
    server.ask(DeleteEnvironment("dev"))  # who asked for it may ask again
    server.ask(CreateEnvironment("dev"))


def test_a_live_app_keeps_the_last_step_of_a_deletion_from_being_done(store: Store) -> None:
    store.environments.create("dev")
    app_id = new_id("ap")
    store.apps.create(app_id, environment="dev", name="late", detach=False, client="cl-1")
    store.environments.begin_deletion("dev")
    assert store.environments.being_deleted() == ["dev"]
    with pytest.raises(StillLive, match="late"):
        store.environments.end_deletion("dev")
    store.apps.stop(app_id, "")
    store.environments.end_deletion("dev")
    assert store.environments.being_deleted() == []


def test_the_default_environment_keeps_its_name_and_stays(server: Server) -> None:
    refused(server, UpdateEnvironment("main", "other"), "keeps its name")
    refused(server, DeleteEnvironment("main"), "can't be deleted")
    assert names(server) == ["main"]


def test_who_belongs_to_one_environment_sees_it_alone_and_changes_none(server: Server) -> None:
    server.ask(CreateEnvironment("dev"))
    assert names(server, OF_DEV) == ["dev"]
    assert server.ask(FindEnvironment(), actor=OF_DEV).name == "dev"
    main = server.ask(FindEnvironment("main"))
    for message in (
        CreateEnvironment("new"),
        UpdateEnvironment("dev", "new"),
        DeleteEnvironment("dev"),
        FindEnvironment("main"),
        FindEnvironment(main.environment_id),
    ):
        assert refused(server, message, "belongs to 'dev'", OF_DEV) == "PermissionDeniedError"


def test_a_container_finds_its_own_environment_alone(server: Server) -> None:
    server.ask(CreateEnvironment("dev"))
    container = server.container_of(server.new_app(environment="dev"))
    assert server.ask(FindEnvironment(), actor=container).name == "dev"
    refused(server, FindEnvironment("main"), "belongs to 'dev'", container)
    refused(server, ListEnvironments(), "a container may not send", container)
