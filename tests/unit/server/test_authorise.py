from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionian.machine.state import StateFolder
from ionian.protocol.codec import MESSAGES
from ionian.protocol.stream import Refused
from ionian.server.auth import (
    ALLOWED,
    NOBODY,
    OF_ALL,
    OWN_APP,
    RESTRICTED,
    Actor,
    PermissionDenied,
    Target,
    admit_token,
    authenticate,
    authorise,
    container_actor,
    local_token,
    new_token,
)
from ionian.server.handlers import HANDLED
from ionian.server.store import Store

BATCHES = ("INPUTS", "RESULTS", "RUN", "OUTPUTS")
ACTIONS = (*MESSAGES, *BATCHES)

SENT_BY_SERVER = frozenset(
    {
        *("Welcome", "AppCreated", "ImageBuilt", "FoundVolume", "SecretKept", "ContainerNews", "AppUsage"),
        "ResourcesChecked",
        *("FoundFunction", "CallState", "AppFunctions", "MissingBlobs", "RUN", "OUTPUTS"),
        *("StartContainer", "StopContainer", "TakeBack", "ConfirmResults", "MakeImage", "ToContainer"),
    }
)
"""What nobody may send to the server."""

CLIENT_ONLY = frozenset(
    {"CreateApp", "StopApp", "PublishApp", "BuildImage", "PutSecret", "FollowApp", "CheckResources"}
)
WORKER_ONLY = frozenset({"Inventory", "ContainerState", "TakenBack", "FromContainer", "RESULTS"})

actors = st.one_of(
    st.just(NOBODY),
    st.builds(
        Actor, st.sampled_from(["client", "worker"]), st.just("x-1"), st.sampled_from(["", "main", "dev"])
    ),
    st.builds(
        container_actor,
        st.just("ta-1"),
        environment=st.sampled_from(["main", "dev"]),
        app_id=st.sampled_from(["ap-1", "ap-2"]),
        restricted=st.booleans(),
    ),
)
targets = st.builds(Target, st.sampled_from(["", "main", "dev"]), st.sampled_from(["", "ap-1", "ap-2"]))


def allowed(actor: Actor, action: str, target: Target) -> bool:
    try:
        authorise(actor, action, target)
    except PermissionDenied:
        return False
    return True


@given(actors, st.sampled_from(ACTIONS), targets)
def test_every_message_of_every_actor_is_decided_by_the_lists_alone(
    actor: Actor, action: str, target: Target
) -> None:
    same_environment = not actor.environment or target.environment in ("", actor.environment)
    own_app = actor.kind != "container" or action not in OWN_APP or target.app_id == actor.app_id
    of_all = not actor.environment or action not in OF_ALL
    listed = RESTRICTED if actor.restricted else ALLOWED[actor.kind]
    expected = action in listed and same_environment and own_app and of_all
    assert allowed(actor, action, target) == expected


@pytest.mark.parametrize("action", ACTIONS)
def test_each_message_is_for_whom_it_is_meant(action: str) -> None:
    by = {kind for kind in ALLOWED if action in ALLOWED[kind]}
    if action in SENT_BY_SERVER:
        assert by == set()
    if action in CLIENT_ONLY:
        assert by == {"client"}
    if action in WORKER_ONLY:
        assert by == {"worker"}
    if action == "Hello":
        assert by == {"nobody"}
    assert action == "Hello" or "nobody" not in by


def test_the_lists_name_only_messages_that_exist() -> None:
    assert frozenset[str]().union(*ALLOWED.values()) <= set(ACTIONS)
    assert ALLOWED["container"] >= OWN_APP | RESTRICTED


def test_every_message_with_a_handler_is_somebodys() -> None:
    for message in HANDLED:
        assert any(message.__name__ in ALLOWED[kind] for kind in ALLOWED), message


def test_a_container_without_an_app_may_do_nothing() -> None:
    stray = container_actor("ta-1", environment="", app_id="")
    assert not any(allowed(stray, action, Target()) for action in ACTIONS)


def test_a_refusal_says_who_may_not_do_what() -> None:
    container = container_actor("ta-1", environment="main", app_id="ap-1")
    with pytest.raises(PermissionDenied, match="a container may not send CreateApp"):
        authorise(container, "CreateApp", Target("main"))
    with pytest.raises(PermissionDenied, match="environment 'dev'; this container belongs to 'main'"):
        authorise(container, "OpenCall", Target("dev", "ap-2"))
    with pytest.raises(PermissionDenied, match="not of app ap-1"):
        authorise(container, "ReadBlob", Target("main", "ap-2"))
    with pytest.raises(PermissionDenied) as caught:
        authorise(NOBODY, "OpenCall", Target())
    assert caught.value.type == "PermissionDeniedError"


def test_a_token_lets_its_kind_of_peer_in(store: Store) -> None:
    token = new_token()
    token_id = admit_token(store, token, kind="client", environment="dev", name="laptop")
    actor = authenticate(store, token, role="client", peer_id="cl-1")
    assert (actor.kind, actor.id, actor.environment, actor.token_id) == ("client", "cl-1", "dev", token_id)
    bulk = authenticate(store, token, role="blobs", peer_id="cl-1")
    assert (bulk.kind, bulk.id) == ("client", "cl-1")
    assert bulk.stream != actor.stream


@pytest.mark.parametrize(
    ("role", "peer_id", "message"),
    [
        ("worker", "wo-1", "expected a token for a worker, got one for a client"),
        ("admin", "cl-1", "expected a token for a admin, got one for a client"),
        ("client", "wo-1", "expected the id of a client"),
        ("blobs", "wo-1", "expected the id of a client"),
    ],
)
def test_a_client_token_is_good_for_nothing_else(store: Store, role: str, peer_id: str, message: str) -> None:
    token = new_token()
    admit_token(store, token, kind="client")
    with pytest.raises(Refused, match=message) as caught:
        authenticate(store, token, role=role, peer_id=peer_id)
    assert caught.value.type == "AuthError"


def test_an_unknown_a_wrong_and_a_revoked_token_are_refused(store: Store) -> None:
    token, other = new_token(), new_token()
    token_id = admit_token(store, token, kind="worker")
    with pytest.raises(Refused, match="does not know this token"):
        authenticate(store, other, role="worker", peer_id="wo-1")
    with pytest.raises(Refused, match="does not know this token"):
        authenticate(store, f"{token_id}.{other.partition('.')[2]}", role="worker", peer_id="wo-1")
    store.tokens.revoke(token_id)
    admit_token(store, token, kind="worker")
    with pytest.raises(Refused, match=f"{token_id} was revoked"):
        authenticate(store, token, role="worker", peer_id="wo-1")


@pytest.mark.parametrize("token", ["", "ti-1", "ti-1.", "tk-1.secret", "ti-1.sécret"])
def test_what_is_no_token_is_refused_and_not_repeated(store: Store, token: str) -> None:
    with pytest.raises(Refused, match="expected a token like") as caught:
        authenticate(store, token, role="client", peer_id="cl-1")
    assert not token or token not in str(caught.value)


def test_the_store_has_no_secret_half(store: Store) -> None:
    token = new_token()
    admit_token(store, token, kind="client")
    (row,) = store.tokens.all()
    assert token.partition(".")[2] not in repr(row)


def test_the_local_token_is_made_once_for_its_owner_alone(state: StateFolder) -> None:
    with ThreadPoolExecutor(8) as threads:
        (token,) = set(threads.map(local_token, [state] * 8))
    assert local_token(state, "worker") != token
    file = state.runtime / "client.token"
    assert file.read_text() == token + "\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {each.name for each in state.runtime.iterdir()} == {"client.token", "worker.token"}


def test_the_local_token_needs_no_database_library() -> None:
    code = "import sys, ionian.server.auth; sys.exit('sqlalchemy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
