"""Secrets with names, as requests: made, changed, found, listed, deleted; and who may have them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.server.answering import Server

from ionian.protocol.apps import PublishApp
from ionian.protocol.environments import CreateEnvironment, DeleteEnvironment, UpdateEnvironment
from ionian.protocol.ids import new_id
from ionian.protocol.images import image_id_of
from ionian.protocol.objects import (
    CreateEphemeral,
    CreateObject,
    DeleteObject,
    FindObject,
    ListObjects,
    ObjectInfo,
)
from ionian.protocol.secrets import (
    FindSecret,
    ListSecrets,
    MasterKeyRotated,
    PutNamedSecret,
    RotateMasterKey,
    SecretInfo,
)
from ionian.protocol.spec import FunctionSpec, ImageSpec
from ionian.protocol.stream import Refused
from ionian.server.auth import Actor
from ionian.server.master_key import KeyRing, MasterKey, SecretError
from ionian.server.secrets import Secrets

OF_DEV = Actor("client", new_id("cl"), "dev", stream=2)
IMAGE = image_id_of(ImageSpec())


def put(server: Server, name: str = "s", how: Any = "create", where: str = "", **values: str) -> ObjectInfo:
    return server.ask(PutNamedSecret(new_id("st"), name, values, where, how))


def opened(server: Server, secret_id: str, app_id: str = "") -> dict[str, str]:
    app = server.store.apps.find(app_id or server.new_app())
    assert app is not None
    return server.context.secrets.values(app, [secret_id])


def listed(server: Server, where: str = "") -> dict[str, SecretInfo]:
    return {one.name: one for one in server.ask(ListSecrets(where)).secrets}


def refused(server: Server, message: Any, text: str, actor: Actor | None = None) -> str:
    with pytest.raises(Refused, match=text) as caught:
        server.ask(message, actor=actor)
    return caught.value.type


def function(*secret_ids: str) -> FunctionSpec:
    return FunctionSpec(new_id("fu"), "f", "m", "f", image_id=IMAGE, secret_ids=list(secret_ids))


# --- made and changed


def test_a_secret_is_made_once_and_asking_again_is_harmless(server: Server) -> None:
    message = PutNamedSecret(new_id("st"), "s", {"A": "1"})
    made: ObjectInfo = server.ask(message)
    assert server.ask(message) == made
    assert (made.object_id, made.name, made.environment) == (message.object_id, "s", "main")
    again = replace(message, object_id=new_id("st"))
    assert refused(server, again, "there is a secret 's' in environment 'main'") == "AlreadyExistsError"
    assert opened(server, made.object_id) == {"A": "1"}


def test_each_change_of_values_is_a_version_under_the_same_id(server: Server) -> None:
    made = put(server, A="1", B="2")
    assert put(server, how="keep", A="9").object_id == made.object_id
    assert opened(server, made.object_id) == {"A": "1", "B": "2"}
    put(server, how="merge", B="3", C="4")
    assert opened(server, made.object_id) == {"A": "1", "B": "3", "C": "4"}
    put(server, how="merge", C="4")
    assert listed(server)["s"].version == 2
    put(server, how="replace", D="5")
    assert opened(server, made.object_id) == {"D": "5"}
    assert listed(server)["s"].version == 3
    refused(server, PutNamedSecret(new_id("st"), "t", {"A": "1"}, how="merge"), "there is no secret 't'")


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("a b", {"A": "hidden"}, "a secret: expected a name"),
        ("s", {"1A": "hidden"}, "expected a name of letters, digits and underscores"),
        ("s", {"A B": "hidden"}, "expected a name of letters, digits and underscores"),
        ("s", {"A": "hidden\0"}, "without NUL characters for A"),
        ("s", {"A": "hidden" * 20_000}, "up to 65,536 bytes"),
    ],
)
def test_what_no_container_could_have_is_refused_and_not_repeated(
    server: Server, name: str, values: dict[str, str], text: str
) -> None:
    with pytest.raises(Refused, match=text) as caught:
        server.ask(PutNamedSecret(new_id("st"), name, values))
    assert "hidden" not in str(caught.value)
    assert listed(server) == {}


def test_values_that_are_added_are_counted_with_those_that_are_there(server: Server) -> None:
    put(server, A="x" * 60_000)
    refused(server, PutNamedSecret(new_id("st"), "s", {"B": "y" * 6_000}, how="merge"), "up to 65,536 bytes")


# --- found, listed, deleted


def test_a_secret_is_found_with_the_variables_that_are_required(server: Server) -> None:
    made = put(server, A="1")
    assert server.ask(FindSecret("s", required_keys=["A"])) == made
    assert server.ask(FindObject("secret", "s")) == made
    text = "secret 's' in environment 'main' lacks B, C"
    assert refused(server, FindSecret("s", required_keys=["C", "A", "B"]), text) == "NotFoundError"
    refused(
        server,
        FindSecret("t"),
        "there is no secret 't' in environment 'main'; there are: s; make it with `ionian",
    )


def test_a_list_shows_use_and_users_and_no_value(server: Server) -> None:
    made = put(server, A="hidden")
    before = listed(server)["s"]
    assert (before.version, before.last_used_at, before.apps) == (1, 0.0, [])
    app_id = server.new_app("shop")
    server.ask(PublishApp(app_id, [function(made.object_id)]))
    opened(server, made.object_id, app_id)
    after = listed(server)["s"]
    assert after.last_used_at >= after.created_at
    assert after.apps == ["shop"]
    assert "hidden" not in repr(after)
    assert [one.name for one in server.ask(ListObjects("secret")).objects] == ["s"]


def test_a_deleted_secret_is_gone_with_its_values_and_its_name_is_free(server: Server) -> None:
    made = put(server, A="1")
    server.ask(DeleteObject("secret", "s"))
    assert listed(server) == {}
    assert server.store.secrets.named([made.object_id]) == {}
    with pytest.raises(SecretError, match=f"has no secret {made.object_id}: it may have been deleted"):
        opened(server, made.object_id)
    app_id = server.new_app()
    refused(server, PublishApp(app_id, [function(made.object_id)]), "it may have been deleted")
    assert put(server, A="2").object_id != made.object_id


def test_a_secret_is_not_made_without_values(server: Server) -> None:
    for message in (
        CreateObject("secret", new_id("st"), "s"),
        CreateEphemeral("secret", new_id("st")),
        FindObject("secret", "s", create=True),
    ):
        refused(server, message, "a secret is made with its values")


# --- environments, and who may


def test_a_name_is_another_secret_in_another_environment_and_goes_with_it(server: Server) -> None:
    server.ask(CreateEnvironment("dev"))
    main, dev = put(server, A="main"), put(server, where="dev", A="dev")
    assert opened(server, dev.object_id) == {"A": "dev"}
    server.ask(UpdateEnvironment("dev", "stage"))
    assert opened(server, dev.object_id) == {"A": "dev"}
    assert set(listed(server, "stage")) == {"s"}
    server.ask(DeleteEnvironment("stage"))
    assert server.store.secrets.named([dev.object_id, main.object_id]).keys() == {main.object_id}


def test_an_app_may_have_a_secret_of_another_environment_if_who_publishes_it_may(server: Server) -> None:
    server.ask(CreateEnvironment("dev"))
    main, dev = put(server, A="main"), put(server, where="dev", A="dev")
    app_id = server.new_app(environment="dev")
    server.ask(PublishApp(app_id, [function(main.object_id, dev.object_id)]))
    server.ask(PublishApp(app_id, [function(dev.object_id)]), actor=OF_DEV)
    message = PublishApp(app_id, [function(main.object_id)])
    assert refused(server, message, "belongs to 'dev'", OF_DEV) == "PermissionDeniedError"
    refused(server, FindSecret("s", "main"), "belongs to 'dev'", OF_DEV)
    refused(server, RotateMasterKey(), "for tokens of all environments", OF_DEV)


def test_a_container_finds_secrets_and_can_neither_list_nor_change_nor_delete_them(server: Server) -> None:
    made = put(server, A="1")
    container = server.container_of(server.new_app())
    assert server.ask(FindSecret("s"), actor=container) == made
    for message in (
        ListSecrets(),
        ListObjects("secret"),
        DeleteObject("secret", "s"),
        DeleteObject("secret", object_id=made.object_id),
        PutNamedSecret(new_id("st"), "s", {"A": "2"}, how="replace"),
        RotateMasterKey(),
    ):
        assert refused(server, message, "a container may not send", container) == "PermissionDeniedError"


# --- seals


def test_a_row_that_was_moved_to_another_name_or_version_does_not_open(server: Server) -> None:
    one, two = put(server, "one", A="1"), put(server, "two", A="2")
    rows = server.store.secrets.named([one.object_id, two.object_id])
    with server.store.database.write() as session:
        moved, kept = rows[one.object_id].row, rows[two.object_id].row
        kept.wrapped_key, kept.sealed = moved.wrapped_key, moved.sealed
        session.merge(kept)
        moved.version = 2
        session.merge(moved)
    for secret_id in (one.object_id, two.object_id):
        with pytest.raises(SecretError, match="was changed or moved"):
            opened(server, secret_id)


def test_a_secret_whose_key_is_lost_says_so_and_can_be_made_anew(server: Server) -> None:
    made = put(server, A="1")
    server.context.secrets = Secrets(server.store.secrets, KeyRing([MasterKey(b"2" * 32)]))
    with pytest.raises(SecretError, match="put the former key back"):
        opened(server, made.object_id)
    for message in (
        FindSecret("s", required_keys=["A"]),
        PutNamedSecret(new_id("st"), "s", {"B": "1"}, how="merge"),
    ):
        assert refused(server, message, "put the former key back") == "InternalFailure"
    assert listed(server)["s"].lost
    put(server, how="replace", A="2")
    assert opened(server, made.object_id) == {"A": "2"}
    assert not listed(server)["s"].lost


def test_another_master_key_is_named_by_its_id_alone(server: Server) -> None:
    made = put(server, A="1")
    file = server.context.state.master_key
    before = file.read_text()
    done: MasterKeyRotated = server.ask(RotateMasterKey())
    assert done.wrapped == 1
    assert done.source == str(file)
    assert file.read_text() != before
    assert file.read_text().strip() not in repr(done)
    assert opened(server, made.object_id) == {"A": "1"}
