"""Who lost a role, or an environment, has no stream any more that still has it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.server.test_engine import Person, World, in_world

from ionian.machine.state import StateFolder
from ionian.protocol.ids import new_id
from ionian.protocol.messages import Hello
from ionian.protocol.stream import Refused, dial
from ionian.server.auth import Actor, admit_token, local_token, new_token
from ionian.server.session import Session
from ionian.version import VERSION


async def stranger(world: World) -> Person:
    """A peer that has not said Hello."""
    person = await dial(world.url, Person)
    world.people.append(person)
    return person


def sessions_of(world: World, token_id: str) -> list[Session]:
    return [session for session in world.server.sessions if session.actor.token_id == token_id]


def test_who_loses_a_role_while_their_token_is_looked_up_comes_in_without_it(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: World) -> None:
        server, loop, token = world.server, asyncio.get_running_loop(), new_token()
        token_id = admit_token(server.store, token, kind="client", environment="main", role="member")
        looked_up, roles = server.attempts.authenticate, list[str]()

        async def cut_off() -> None:
            server.cut_off(token_id)

        def authenticate(*args: Any, **named: Any) -> Actor:
            actor = looked_up(*args, **named)
            roles.append(actor.role)
            if len(roles) == 1:  # its answer is on its way
                server.store.tokens.set_roles({token_id: "viewer"})
                asyncio.run_coroutine_threadsafe(cut_off(), loop).result()
            return actor

        monkeypatch.setattr(server.attempts, "authenticate", authenticate)
        person = await stranger(world)
        await person.request(Hello("client", token, VERSION, new_id("cl")))
        assert roles == ["member", "viewer"]
        assert [session.actor.role for session in sessions_of(world, token_id)] == ["viewer"]

    in_world(state, story)


def test_of_two_hellos_at_once_one_is_taken(state: StateFolder) -> None:
    async def story(world: World) -> None:
        person, token = await stranger(world), local_token(world.server.state)
        asked = [person.request(Hello("client", token, VERSION, new_id("cl"))) for _ in range(2)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        (refused,) = [answer for answer in answers if isinstance(answer, Refused)]
        assert "expected one Hello" in refused.message
        assert len(world.server.engine.clients) == 1

    in_world(state, story)
