"""Who comes into the dashboard: cookies, links and tokens, without a browser."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ionian.protocol.stream import Refused
from ionian.server.attempts import MOST, Attempts
from ionian.server.auth import admit_token, new_token
from ionian.server.dashboard import entrance
from ionian.server.dashboard.entrance import MOST_LINKS, Entrance
from ionian.server.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/state.db")
    yield opened
    opened.close()


@pytest.fixture
def door(store: Store, tmp_path: Path) -> Entrance:
    return Entrance(store, tmp_path / "key", Attempts(time.monotonic))


def admitted(store: Store, environment: str = "") -> tuple[str, str]:
    """A client's token, and its id."""
    token = new_token()
    return token, admit_token(store, token, kind="client", environment=environment)


def test_a_cookie_is_its_tokens_actor(store: Store, door: Entrance) -> None:
    token, token_id = admitted(store, "dev")
    visitor = door.by_cookie(door.by_token(token, "here"))
    assert visitor is not None
    assert (visitor.actor.kind, visitor.actor.environment, visitor.actor.token_id) == (
        "client",
        "dev",
        token_id,
    )


def test_a_cookie_in_which_anything_was_changed_is_no_good(store: Store, door: Entrance) -> None:
    token, _ = admitted(store)
    _, other_id = admitted(store)
    cookie = door.by_token(token, "here")
    token_id, end, session, mac = cookie.split("~")
    for wrong in (
        f"{other_id}~{end}~{session}~{mac}",
        f"{token_id}~{int(end) + 1}~{session}~{mac}",
        f"{token_id}~{end}~{session}x~{mac}",
        f"{token_id}~{end}~{session}~",
        *("", "~~~", "é~~~", cookie.replace("~", "")),
    ):
        assert door.by_cookie(wrong) is None


def test_a_cookie_is_good_for_the_next_start_and_for_no_other_server(
    store: Store, door: Entrance, tmp_path: Path
) -> None:
    cookie = door.by_token(admitted(store)[0], "here")
    assert Entrance(store, tmp_path / "key", Attempts(time.monotonic)).by_cookie(cookie) is not None
    assert Entrance(store, tmp_path / "another", Attempts(time.monotonic)).by_cookie(cookie) is None
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_cookie_ends_with_its_week_or_its_token(
    store: Store, door: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, token_id = admitted(store)
    cookie = door.by_token(token, "here")
    with monkeypatch.context() as patch:
        now = entrance.time.time() + entrance.STAY_S + 1
        patch.setattr(entrance.time, "time", lambda: now)
        assert door.by_cookie(cookie) is None
    assert door.by_cookie(cookie) is not None
    store.tokens.revoke(token_id)
    assert door.by_cookie(cookie) is None


def test_the_words_of_forms_differ_by_visit(store: Store, door: Entrance) -> None:
    token, _ = admitted(store)
    first, second = (door.by_cookie(door.by_token(token, "here")) for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.forgery != second.forgery


def test_a_link_is_good_once_and_for_a_minute(
    store: Store, door: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, token_id = admitted(store)
    code, late = door.code(token_id), door.code(token_id)
    assert door.by_cookie(door.by_code(code)) is not None
    later = entrance.time.monotonic() + entrance.LINK_S + 1
    monkeypatch.setattr(entrance.time, "monotonic", lambda: later)
    for used_or_old in (code, late, "made up"):
        with pytest.raises(Refused, match="has been used or is older than a minute"):
            door.by_code(used_or_old)


def test_links_are_kept_within_bounds(store: Store, door: Entrance) -> None:
    _, token_id = admitted(store)
    first = door.code(token_id)
    for _ in range(MOST_LINKS):
        door.code(token_id)
    with pytest.raises(Refused):
        door.by_code(first)


def test_wrong_tokens_of_one_address_do_not_shut_out_another(store: Store, door: Entrance) -> None:
    token, _ = admitted(store)
    for _ in range(MOST):
        with pytest.raises(Refused, match="does not know this token"):
            door.by_token("ti-x.y", "there")
    with pytest.raises(Refused, match="too many wrong tokens"):
        door.by_token(token, "there")
    assert door.by_cookie(door.by_token(token, "here")) is not None
