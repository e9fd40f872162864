"""What each role of a token may send, message by message."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest
from tests.unit.server.answering import Server

from ionian.protocol.apps import FindApp
from ionian.protocol.codec import MESSAGES
from ionian.protocol.objects import FindObject
from ionian.protocol.stream import Refused
from ionian.protocol.tokens import CreateToken, DescribeToken, ListTokens, RevokeToken, Role, TokenCreated
from ionian.server.auth import ALLOWED, Actor, PermissionDenied, Target, authenticate, authorise, permit
from ionian.server.handlers import HANDLED
from ionian.server.roles import FOR_ADMINS, VIEWS, role_of

CHANGES = (
    "Create",
    "Delete",
    "Update",
    "Put",
    "Remove",
    "Rename",
    "Publish",
    "Start",
    "Stop",
    "Spawn",
    "Bind",
    "End",
)
"""So begin the names of messages that change or run something."""


def actor(role: Role) -> Actor:
    return Actor("client", "cl-1", role=role)


def made(name: str) -> Any:
    """A message, without what is in it: who may not send it learns so before anything looks."""
    kind: Any = MESSAGES[name]
    return object.__new__(kind)


def may(role: Role, name: str) -> bool:
    """Whether both places that look at roles let it pass; they agree."""
    answers: set[bool] = set()
    for decide in (permit_by_name, authorise_by_name):
        try:
            decide(actor(role), name)
            answers.add(True)
        except PermissionDenied:
            answers.add(False)
    assert len(answers) == 1
    return answers.pop()


def permit_by_name(actor: Actor, name: str) -> None:
    if name == "INPUTS":  # no message, but a batch
        authorise_by_name(actor, name)
    else:
        permit(actor, made(name))


def authorise_by_name(actor: Actor, name: str) -> None:
    authorise(actor, name, Target())


@pytest.mark.parametrize("name", sorted(ALLOWED["client"]))
def test_every_message_of_clients_is_decided_by_the_lists_of_roles(name: str) -> None:
    assert may("admin", name)
    assert may("member", name) == (name not in FOR_ADMINS)
    assert may("viewer", name) == (name in VIEWS)


def test_what_viewers_may_send_changes_nothing_by_its_name() -> None:
    assert ALLOWED["client"] >= VIEWS
    assert ALLOWED["client"] >= FOR_ADMINS
    assert not VIEWS & FOR_ADMINS
    assert not [name for name in VIEWS if name.startswith(CHANGES)]


def test_a_viewer_makes_nothing_by_looking_for_it() -> None:
    creating = [
        name for name in VIEWS if "create" in {field.name for field in dataclasses.fields(MESSAGES[name])}
    ]
    assert {"FindApp", "FindObject"} <= set(creating)
    for message in (FindApp("app", create=True), FindObject("dict", "name", create=True)):
        with pytest.raises(PermissionDenied, match="create_if_missing"):
            permit(actor("viewer"), message)
        permit(actor("member"), message)


def test_a_viewer_is_refused_by_the_server_whatever_it_sends(server: Server) -> None:
    token: TokenCreated = server.ask(CreateToken(role="viewer"))
    viewer = authenticate(server.store, token.token, role="client", peer_id="cl-1")
    assert viewer.role == "viewer"
    for kind in HANDLED:
        if kind.__name__ in ALLOWED["client"] - VIEWS:
            with pytest.raises(Refused, match="a viewer's token shows everything"):
                server.ask(made(kind.__name__), actor=viewer)
    assert server.ask(DescribeToken(), actor=viewer).role == "viewer"
    other: TokenCreated = server.ask(CreateToken())
    with pytest.raises(Refused, match="a viewer's token"):
        server.ask(RevokeToken(other.info.token_id), actor=viewer)
    server.ask(RevokeToken(viewer.token_id), actor=viewer)


def test_a_member_makes_no_tokens_and_sees_none(server: Server) -> None:
    token: TokenCreated = server.ask(CreateToken(role="member"))
    member = authenticate(server.store, token.token, role="client", peer_id="cl-1")
    for message in (CreateToken(role="member"), ListTokens()):
        with pytest.raises(Refused, match="is for admins"):
            server.ask(message, actor=member)
    with pytest.raises(Refused, match="roles are of clients"):
        server.ask(CreateToken("worker", role="viewer"))


def test_a_role_that_is_not_known_is_the_least() -> None:
    assert [role_of(word) for word in (*get_args(Role), "owner")] == ["admin", "member", "viewer", "viewer"]
