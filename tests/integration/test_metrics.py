"""What the server tells by plain HTTP, beside its streams."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.homes import Home
from tests.integration.test_command_line import write

APP = """
    import modal

    app = modal.App("measured")

    @app.function(max_containers=1)
    def measured_half(n):
        return n / (n % 5)

    @app.local_entrypoint()
    def main():
        list(measured_half.map(range(10), return_exceptions=True))
"""


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


class Numbers:
    """What `/metrics` says at a moment."""

    def __init__(self, home: Home) -> None:
        status, text = get(home, "/metrics", (home.folder / "run" / "client.token").read_text().strip())
        assert status == 200, text
        families = text_string_to_metric_families(text)
        samples = [sample for family in families for sample in family.samples]
        self._samples = [(sample.name, sample.labels, sample.value) for sample in samples]
        of = [(name, *sorted(labels.items())) for name, labels, _ in self._samples]
        assert len(of) == len(set(of)), "a series is there twice"

    def sum(self, name: str, **labels: str) -> float:
        """All series of a name with these labels together."""
        return sum(
            value for found, has, value in self._samples if found == name and labels.items() <= has.items()
        )


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


@pytest.mark.container
@pytest.mark.timeout(300)
def test_calls_builds_and_transactions_are_counted(home: Home, tmp_path: Path) -> None:
    home.ionian("server", "start")
    before = Numbers(home)
    done = home.ionian("run", write(tmp_path, "measured.py", APP))
    assert done.returncode == 0, done.stdout
    now = Numbers(home)

    def grew(name: str, **labels: str) -> float:
        return now.sum(name, **labels) - before.sum(name, **labels)

    assert grew("ionian_inputs_ended_total", outcome="succeeded") == 8
    assert grew("ionian_inputs_ended_total", outcome="failed") == 2
    of_half = {"environment": "main", "function": "measured_half"}
    assert now.sum("ionian_function_inputs_ended_total", outcome="succeeded", **of_half) == 8
    assert now.sum("ionian_function_inputs_ended_total", outcome="failed", **of_half) == 2
    assert grew("ionian_input_run_seconds_count") >= 1  # some of a batch stand for all of it
    assert grew("ionian_input_latency_seconds_count") >= 1
    assert grew("ionian_containers_started_total") >= 1
    assert grew("ionian_container_start_seconds_count") >= 1
    assert grew("ionian_builds_total") == 1
    for part in ("waiting", "work"):
        assert grew("ionian_store_transaction_seconds_count", part=part) >= 1
    assert grew("ionian_store_transaction_seconds_sum", part="work") > 0
