"""What users may do in an environment, and who changes that."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.server.answering import Server

from ionian.protocol.environment_roles import EnvironmentRole, ListRoles, RoleList, UpdateRoles
from ionian.protocol.environments import CreateEnvironment
from ionian.protocol.stream import Refused
from ionian.protocol.tokens import CreateToken, RevokeToken, Role, TokenCreated
from ionian.server.auth import Actor, authenticate, readmit


def token(server: Server, name: str, environment: str, role: Role = "member") -> TokenCreated:
    return server.ask(CreateToken(environment=environment, name=name, role=role))


def enter(server: Server, made: TokenCreated) -> Actor:
    return authenticate(server.store, made.token, role="client", peer_id="cl-1")


def listed(server: Server, environment: str = "dev") -> list[tuple[str, str, bool]]:
    found: RoleList = server.ask(ListRoles(environment))
    return [(one.user, one.role, one.given) for one in found.roles]


def give(
    server: Server, actor: Actor | None = None, environment: str = "dev", **users: EnvironmentRole
) -> None:
    given: dict[str, Any] = {} if actor is None else {"actor": actor}
    server.ask(UpdateRoles(environment, users), **given)


@pytest.fixture
def dev(server: Server) -> Server:
    server.ask(CreateEnvironment("dev"))
    return server


def test_users_are_the_names_of_good_tokens_of_the_environment_or_of_all(dev: Server) -> None:
    token(dev, "ann", "dev", "viewer")
    token(dev, "ann", "dev", "member")
    token(dev, "boss", "", "admin")
    token(dev, "elsewhere", "main")
    nameless = token(dev, "", "dev", "viewer")
    dev.ask(RevokeToken(token(dev, "gone", "dev").info.token_id))
    assert listed(dev) == [
        ("ann", "contributor", True),
        ("boss", "contributor", False),
        (nameless.info.token_id, "viewer", True),
    ]


def test_another_role_counts_for_all_tokens_of_a_user_at_once(dev: Server) -> None:
    made = [token(dev, "ann", "dev"), token(dev, "ann", "dev")]
    give(dev, ann="viewer")
    assert [enter(dev, one).role for one in made] == ["viewer", "viewer"]
    assert sorted(dev.engine.cut) == sorted(one.info.token_id for one in made)
    give(dev, ann="contributor")
    assert [enter(dev, one).role for one in made] == ["member", "member"]


def test_no_access_lets_nobody_in_until_there_is_a_role_again(dev: Server) -> None:
    made = token(dev, "ann", "dev")
    give(dev, ann="no-access")
    for come in (lambda: enter(dev, made), lambda: readmit(dev.store, made.info.token_id, "cl-1")):
        with pytest.raises(Refused, match="gives no access to environment 'dev' now"):
            come()
    assert listed(dev) == [("ann", "no-access", True)]
    give(dev, ann="viewer")
    assert enter(dev, made).role == "viewer"


@pytest.mark.parametrize("role", ["viewer", "member", "admin"])
def test_nobody_of_one_environment_changes_roles_their_own_least_of_all(dev: Server, role: Role) -> None:
    made = token(dev, "ann", "dev", role)
    before = listed(dev)
    ann = enter(dev, made)
    for environment in ("dev", "main", ""):
        with pytest.raises(Refused) as refused:
            give(dev, ann, environment, ann="contributor")
        assert refused.value.type == "PermissionDeniedError"
    assert listed(dev) == before
    seen: RoleList = dev.ask(ListRoles("dev"), actor=ann)
    assert [(one.user, one.role, one.given) for one in seen.roles] == before
    with pytest.raises(Refused, match="concerns environment 'main'"):
        dev.ask(ListRoles("main"), actor=ann)


@pytest.mark.parametrize("role", ["viewer", "member"])
def test_who_is_no_admin_of_the_server_changes_no_roles(dev: Server, role: Role) -> None:
    token(dev, "ann", "dev", "viewer")
    someone = enter(dev, token(dev, "someone", "", role))
    for users in ({"ann": "contributor"}, {"someone": "contributor"}, {}):
        with pytest.raises(Refused) as refused:
            dev.ask(UpdateRoles("dev", users), actor=someone)  # type: ignore[arg-type]
        assert refused.value.type == "PermissionDeniedError"


def test_roles_change_all_together_or_not_at_all(dev: Server) -> None:
    token(dev, "ann", "dev")
    token(dev, "boss", "", "admin")
    token(dev, "elsewhere", "main")
    before = listed(dev)
    for other, sentence in (
        ("boss", "has a token of all environments"),
        ("elsewhere", "there is no user 'elsewhere' in environment 'dev'"),
        ("nobody", "ionian token new --env dev --name 'nobody'"),
    ):
        with pytest.raises(Refused, match=sentence):
            dev.ask(UpdateRoles("dev", {"ann": "viewer", other: "viewer"}))
    assert listed(dev) == before
    with pytest.raises(Refused, match="there is no environment 'nowhere'"):
        give(dev, environment="nowhere", ann="viewer")
