"""The master key: where it comes from, and another one in its place."""

from __future__ import annotations

import base64
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.unit.server.test_sealed_secrets import new_app

from ionian.machine.state import StateFolder
from ionian.protocol.ids import new_id
from ionian.server.master_key import KeyRing, MasterKey, SecretError
from ionian.server.secrets import Secrets
from ionian.server.store import Store


def text(letter: bytes) -> str:
    return base64.b64encode(letter * 32).decode()


def key_id(letter: bytes) -> str:
    return MasterKey(letter * 32).id


def named(secrets: Secrets, name: str, **values: str) -> str:
    made = secrets.put_named(
        new_id("st"), environment="main", name=name, created_by="me", change=lambda _: values
    )
    return made.object_id


# --- where it comes from


def test_a_variable_gives_the_key_before_the_file(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IONIAN_MASTER_KEY", text(b"3"))
    assert KeyRing.load(state.master_key).current.id == key_id(b"3")
    assert not state.master_key.exists()


def test_a_command_gives_the_key(state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IONIAN_MASTER_KEY_COMMAND", f"echo {text(b'3')} {text(b'4')}")
    ring = KeyRing.load(state.master_key)
    assert (ring.current.id, [key.id for key in ring.former]) == (key_id(b"3"), [key_id(b"4")])
    assert ring.source == "IONIAN_MASTER_KEY_COMMAND"
    assert not state.master_key.exists()


def test_a_command_that_fails_says_so_without_what_it_printed(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IONIAN_MASTER_KEY_COMMAND", f"echo {text(b'3')}; echo no vault >&2; exit 3")
    with pytest.raises(SecretError, match=r"COMMAND failed with 3: no vault") as caught:
        KeyRing.load(state.master_key)
    assert text(b"3") not in str(caught.value)


@pytest.mark.parametrize("written", ["", "short", text(b"4")[:-4], "ö" * 44, f"{text(b'4')}\nshort"])
def test_a_key_file_that_is_no_key_says_how_to_make_one(tmp_path: Path, written: str) -> None:
    file = tmp_path / "master.key"
    file.write_text(written)
    with pytest.raises(SecretError, match=r"expected 32 bytes in base 64 in .*master\.key; make a key with"):
        KeyRing.load(file)


def test_a_key_file_that_was_put_back_is_its_owners_alone_again(tmp_path: Path) -> None:
    file = tmp_path / "master.key"
    file.write_text(text(b"3"))
    file.chmod(0o644)
    assert KeyRing.load(file).current.id == key_id(b"3")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


# --- another one


def test_another_key_seals_all_and_the_former_one_is_gone(store: Store, state: StateFolder) -> None:
    before = KeyRing.load(state.master_key)
    secrets, app = Secrets(store.secrets, before), new_app(store)
    of_app = secrets.put(app, {"A": "1"})
    of_name = named(secrets, "n", B="2")
    done = secrets.rotate()
    assert (done.wrapped, done.former) == (2, [before.current.id])
    assert done.key_id != before.current.id
    after = KeyRing.load(state.master_key)
    assert (after.current.id, after.former) == (done.key_id, [])
    assert stat.S_IMODE(state.master_key.stat().st_mode) == 0o600
    assert store.secrets.sealed_otherwise(done.key_id) == {}
    for each in (secrets, Secrets(store.secrets, after)):
        assert each.values(app, [of_app, of_name]) == {"A": "1", "B": "2"}
        assert each.put(app, {"A": "1"}) == of_app  # ids stay, and deploys so too
    with pytest.raises(SecretError, match="was sealed with master key"):
        Secrets(store.secrets, before).values(app, [of_name])


class CutOff(Exception):
    pass


@pytest.mark.parametrize("point", ["rotation.key", "rotation.secret", "rotation.wrapped"])
def test_a_change_of_the_key_that_is_cut_off_is_completed_at_the_next_start(
    store: Store, state: StateFolder, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    secrets, app = Secrets(store.secrets, KeyRing.load(state.master_key)), new_app(store)
    ids = [secrets.put(app, {f"A{n}": str(n)}) for n in range(3)] + [named(secrets, "n", B="2")]

    def reach(name: str) -> None:
        if name == point:
            raise CutOff

    monkeypatch.setattr("ionian.faults.ARMED", True)
    monkeypatch.setattr("ionian.faults.reach", reach)
    with pytest.raises(CutOff):
        secrets.rotate()
    monkeypatch.setattr("ionian.faults.ARMED", False)
    again = Secrets(store.secrets, KeyRing.load(state.master_key))
    assert again.values(app, ids) == {"A0": "0", "A1": "1", "A2": "2", "B": "2"}
    again.settle()
    ring = KeyRing.load(state.master_key)
    assert ring.former == []
    assert store.secrets.sealed_otherwise(ring.current.id) == {}
    last = Secrets(store.secrets, ring)
    assert last.values(app, ids) == {"A0": "0", "A1": "1", "A2": "2", "B": "2"}
    assert last.put(app, {"A0": "0"}) == ids[0]


def test_secrets_are_kept_and_opened_while_the_key_changes(store: Store, state: StateFolder) -> None:
    secrets, app = Secrets(store.secrets, KeyRing.load(state.master_key)), new_app(store)
    first = secrets.put(app, {"A": "1"})
    over = threading.Event()

    def use(thread: int) -> list[str]:
        made: list[str] = []
        while not over.is_set():
            made.append(secrets.put(app, {f"B{thread}": str(len(made) % 20)}))
            assert secrets.values(app, [first, made[-1]])["A"] == "1"
        return made

    with ThreadPoolExecutor(3) as threads:
        using = [threads.submit(use, thread) for thread in range(2)]
        for _ in range(3):
            secrets.rotate()
        over.set()
        made = {secret_id for each in using for secret_id in each.result(60)}
    again = Secrets(store.secrets, KeyRing.load(state.master_key))
    assert again.values(app, [first, *made])["A"] == "1"


def test_a_row_that_was_changed_does_not_hinder_a_new_key(store: Store, state: StateFolder) -> None:
    secrets, app = Secrets(store.secrets, KeyRing.load(state.master_key)), new_app(store)
    broken, good = secrets.put(app, {"A": "1"}), secrets.put(app, {"A": "2"})
    row = store.secrets.find(app.app_id, [broken])[broken]
    row.wrapped_key = row.wrapped_key[:-1] + bytes([row.wrapped_key[-1] ^ 1])
    store.secrets.replace(row)
    assert secrets.rotate().wrapped == 1
    assert secrets.values(app, [good]) == {"A": "2"}


def test_a_key_of_a_variable_changes_where_its_owner_says_so(
    store: Store, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IONIAN_MASTER_KEY", text(b"3"))
    secrets, app = Secrets(store.secrets, KeyRing.load(state.master_key)), new_app(store)
    secret_id = secrets.put(app, {"A": "1"})
    with pytest.raises(SecretError, match=r"only you can change: make a key .* start the server again"):
        secrets.rotate()
    monkeypatch.setenv("IONIAN_MASTER_KEY", f"{text(b'4')} {text(b'3')}")
    again = Secrets(store.secrets, KeyRing.load(state.master_key))
    again.settle()
    assert store.secrets.sealed_otherwise(key_id(b"4")) == {}
    assert again.rotate().former == [key_id(b"3")]
    assert again.values(app, [secret_id]) == {"A": "1"}


def test_a_key_of_a_command_changes_while_the_server_runs(
    store: Store, state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault = tmp_path / "vault"
    vault.write_text(text(b"3"))
    monkeypatch.setenv("IONIAN_MASTER_KEY_COMMAND", f"cat {vault}")
    secrets, app = Secrets(store.secrets, KeyRing.load(state.master_key)), new_app(store)
    secret_id = secrets.put(app, {"A": "1"})
    with pytest.raises(SecretError, match="put it before the present one there"):
        secrets.rotate()
    vault.write_text(text(b"4"))
    done = secrets.rotate()
    assert (done.key_id, done.wrapped, done.source) == (key_id(b"4"), 1, "IONIAN_MASTER_KEY_COMMAND")
    assert secrets.values(app, [secret_id]) == {"A": "1"}
