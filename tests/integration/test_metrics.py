"""What the server tells by plain HTTP, beside its streams."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from tests.homes import Home


def get(home: Home, path: str, token: str = "") -> tuple[int, str]:
    """The status and text of a page."""
    url = json.loads((home.folder / "run" / "server.json").read_text())["url"].replace("ws:", "http:")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url + path, headers=headers), timeout=60
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def served(home: Home) -> Home:
    home.ionian("server", "start")
    return home


def test_health_is_said_to_anybody(served: Home) -> None:
    assert get(served, "/healthz") == (200, "ok\n")


def test_the_metrics_are_shown_to_a_token_alone(served: Home) -> None:
    assert get(served, "/metrics")[0] == 401
    assert get(served, "/metrics", "ti-nobody.x")[0] == 401
    token = (served.folder / "run" / "client.token").read_text().strip()
    status, text = get(served, "/metrics", token)
    assert status == 200
    assert "# TYPE ionian_container_start_seconds histogram" in text
    assert "ionian_fork_fallbacks_total 0.0" in text


def test_what_is_no_page_is_not_found(served: Home) -> None:
    assert get(served, "/nothing")[0] in (400, 404)
