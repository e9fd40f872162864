from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from ionian.machine.state import StateFolder
from ionian.protocol.ids import new_id
from ionian.server.master_key import KeyRing, MasterKey, SecretError
from ionian.server.secrets import Secrets
from ionian.server.store import Store
from ionian.server.store.schema import App


@pytest.fixture
def ring(state: StateFolder) -> KeyRing:
    return KeyRing.load(state.master_key)


@pytest.fixture
def secrets(store: Store, ring: KeyRing) -> Secrets:
    return Secrets(store.secrets, ring)


def new_app(store: Store, name: str = "app", environment: str = "main") -> App:
    store.environments.create(environment)
    return store.apps.create(new_id("ap"), environment=environment, name=name, detach=False, client="cl-1")


def test_values_come_back_and_a_later_secret_wins(store: Store, secrets: Secrets) -> None:
    app = new_app(store)
    first = secrets.put(app, {"A": "1", "B": "å\n"})
    second = secrets.put(app, {"A": "2"})
    assert secrets.values(app, [first, second]) == {"A": "2", "B": "å\n"}
    assert secrets.values(app, [second, first])["A"] == "1"
    assert secrets.each(app, [first]) == {first: {"A": "1", "B": "å\n"}}
    assert secrets.values(app, []) == {}


def test_equal_values_have_an_equal_id_in_every_run_of_one_app(store: Store, secrets: Secrets) -> None:
    first = secrets.put(new_app(store), {"A": "1", "B": "2"})
    assert secrets.put(new_app(store), {"B": "2", "A": "1"}) == first
    assert secrets.put(new_app(store), {"A": "1", "B": "3"}) != first
    assert secrets.put(new_app(store, "other"), {"A": "1", "B": "2"}) != first
    assert secrets.put(new_app(store, environment="dev"), {"A": "1", "B": "2"}) != first


def test_an_id_tells_nothing_without_the_master_key(store: Store, secrets: Secrets) -> None:
    app = new_app(store)
    other = Secrets(store.secrets, KeyRing([MasterKey(b"2" * 32)]))
    assert secrets.put(app, {"A": "1"}) != other.put(app, {"A": "1"})


def test_the_database_holds_no_plain_value_and_seals_each_time_anew(store: Store, secrets: Secrets) -> None:
    one, two = new_app(store), new_app(store)
    secret_id = secrets.put(one, {"PASSWORD": "correct horse"})
    secrets.put(two, {"PASSWORD": "correct horse"})
    first = store.secrets.find(one.app_id, [secret_id])[secret_id]
    second = store.secrets.find(two.app_id, [secret_id])[secret_id]
    assert b"horse" not in first.sealed + first.wrapped_key
    assert b"PASSWORD" not in first.sealed
    assert first.sealed != second.sealed


def test_an_app_has_no_secret_of_another(store: Store, secrets: Secrets) -> None:
    secret_id = secrets.put(new_app(store), {"A": "1"})
    with pytest.raises(SecretError, match=f"has no secret {secret_id}"):
        secrets.values(new_app(store), [secret_id])


def test_a_row_that_was_moved_to_another_app_does_not_open(store: Store, secrets: Secrets) -> None:
    app, thief = new_app(store), new_app(store)
    secret_id = secrets.put(app, {"A": "1"})
    row = store.secrets.find(app.app_id, [secret_id])[secret_id]
    row.app_id = thief.app_id
    store.secrets.replace(row)
    with pytest.raises(SecretError, match="was changed or moved"):
        secrets.values(thief, [secret_id])


def test_a_row_that_was_changed_does_not_open(store: Store, secrets: Secrets) -> None:
    app = new_app(store)
    secret_id = secrets.put(app, {"A": "1"})
    row = store.secrets.find(app.app_id, [secret_id])[secret_id]
    row.sealed = row.sealed[:-1] + bytes([row.sealed[-1] ^ 1])
    store.secrets.replace(row)
    with pytest.raises(SecretError, match="was changed or moved"):
        secrets.values(app, [secret_id])


def test_another_master_key_says_which_one_is_needed(
    store: Store, secrets: Secrets, ring: KeyRing, caplog: pytest.LogCaptureFixture
) -> None:
    app = new_app(store)
    secret_id = secrets.put(app, {"A": "1"})
    other = Secrets(store.secrets, KeyRing([MasterKey(b"2" * 32)]))
    with pytest.raises(
        SecretError, match=f"master key {ring.current.id}, this server has .*; put the former key back"
    ):
        other.values(app, [secret_id])
    other.settle()
    assert f"1 secrets are sealed with master key {ring.current.id}" in caplog.text
    assert "they are lost" in caplog.text
    assert Secrets(store.secrets, ring).values(app, [secret_id]) == {"A": "1"}  # the former key was found
    assert Secrets(store.secrets, ring).put(app, {"A": "1"}) == secret_id


def test_the_master_key_is_made_once_for_its_owner_alone(state: StateFolder) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = {ring.current.id for ring in threads.map(KeyRing.load, [state.master_key] * 8)}
    assert len(keys) == 1
    assert stat.S_IMODE(state.master_key.stat().st_mode) == 0o600
    assert [file.name for file in state.root.iterdir()] == ["master.key"]
