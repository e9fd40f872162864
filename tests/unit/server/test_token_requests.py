"""Tokens as requests: made, shown once, listed, revoked; and what they are no longer good for."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.unit.server.answering import Server

from ionian.protocol.environments import CreateEnvironment
from ionian.protocol.ids import new_id
from ionian.protocol.stream import Refused
from ionian.protocol.tokens import (
    CreateToken,
    DescribeToken,
    ListTokens,
    RevokeToken,
    TokenCreated,
    TokenInfo,
    TokenList,
)
from ionian.server.auth import Actor, admit_token, authenticate, new_token


def enter(server: Server, token: str, role: str = "client") -> Actor:
    return authenticate(server.store, token, role=role, peer_id=new_id("cl" if role == "client" else "wo"))


def refused(server: Server, message: Any, text: str, actor: Actor) -> None:
    with pytest.raises(Refused, match=text):
        server.ask(message, actor=actor)


def test_a_new_token_lets_its_kind_in_and_is_shown_once(server: Server) -> None:
    made: TokenCreated = server.ask(CreateToken(name="bob's laptop"))
    bob = enter(server, made.token)
    assert bob.environment == ""
    said: TokenInfo = server.ask(DescribeToken(), actor=bob)
    assert said == made.info
    assert (said.name, said.kind, said.expires_at) == ("bob's laptop", "client", 0.0)
    listed: TokenList = server.ask(ListTokens())
    assert listed.tokens == [said]
    secret = made.token.partition(".")[2]
    assert secret not in repr((made, listed))
    worker: TokenCreated = server.ask(CreateToken("worker"))
    assert enter(server, worker.token, "worker").kind == "worker"


def test_a_token_of_an_environment_is_good_for_it_alone_and_makes_no_others(server: Server) -> None:
    server.ask(CreateEnvironment("dev"))
    made: TokenCreated = server.ask(CreateToken(environment="dev"))
    actor = enter(server, made.token)
    assert actor.environment == "dev"
    for message in (CreateToken(environment="dev"), CreateToken(), ListTokens()):
        refused(server, message, "is for tokens of all environments", actor)
    with pytest.raises(Refused, match="no environment 'nowhere'"):
        server.ask(CreateToken(environment="nowhere"))


def test_a_token_ends_with_its_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    made: TokenCreated = server.ask(CreateToken(expires_s=3600))
    enter(server, made.token)
    late = time.time() + 3601
    monkeypatch.setattr(time, "time", lambda: late)
    with pytest.raises(Refused, match="has expired"):
        enter(server, made.token)


@pytest.mark.parametrize("expires_s", [-1.0, float("nan"), 1e300])
def test_a_time_that_is_none_is_refused(server: Server, expires_s: float) -> None:
    with pytest.raises(Refused, match="expires_s: expected"):
        server.ask(CreateToken(expires_s=expires_s))


def test_who_has_a_revoked_token_is_cut_off(server: Server) -> None:
    made: TokenCreated = server.ask(CreateToken())
    server.ask(RevokeToken(made.info.token_id))
    assert server.engine.cut == [made.info.token_id]
    with pytest.raises(Refused, match="was revoked"):
        enter(server, made.token)
    with pytest.raises(Refused, match="there is no token 'ti-x'"):
        server.ask(RevokeToken("ti-x"))


def test_anybody_may_revoke_the_own_token_and_no_other(server: Server) -> None:
    server.ask(CreateEnvironment("dev"))
    mine: TokenCreated = server.ask(CreateToken(environment="dev"))
    other: TokenCreated = server.ask(CreateToken())
    actor = enter(server, mine.token)
    refused(server, RevokeToken(other.info.token_id), "for tokens of all environments", actor)
    server.ask(RevokeToken(mine.info.token_id), actor=actor)


def test_the_token_of_the_machine_itself_is_not_revoked(server: Server) -> None:
    token_id = admit_token(server.store, new_token(), kind="client", name="local")
    with pytest.raises(Refused, match="is this machine's own"):
        server.ask(RevokeToken(token_id))
