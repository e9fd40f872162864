import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ionian.cli import checks


@pytest.mark.parametrize(
    ("settings", "cure"),
    [
        ({"user/max_user_namespaces": "0"}, "sysctl -w user.max_user_namespaces="),
        ({"kernel/unprivileged_userns_clone": "0"}, "sysctl -w kernel.unprivileged_userns_clone=1"),
        ({"kernel/apparmor_restrict_unprivileged_userns": "1"}, "/etc/apparmor.d/ionian-bwrap"),
        ({}, "seccomp=unconfined"),
    ],
)
def test_what_keeps_user_namespaces_away_is_named_with_its_cure(settings: dict[str, str], cure: str):
    assert cure in checks.namespace_cure(lambda name: settings.get(name, ""), "/usr/bin/bwrap")


def test_an_old_kernel_is_refused_with_the_version_that_will_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.uname", lambda: type("U", (), {"release": "5.4.0-42-generic"})())
    found = checks.kernel()
    assert (found.state, found.found) == ("missing", "Linux 5.4.0-42-generic")
    assert "5.11" in found.cure


def test_another_system_than_linux_is_told_what_works_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.platform", "darwin")
    assert checks.kernel().state == "missing"
    assert "only the client works" in checks.kernel().cure


def test_an_overlay_is_mounted_for_real_and_nothing_of_it_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("IONIAN_HOME", str(tmp_path))
    assert checks.overlay().state == "ok"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def registry() -> Iterator[tuple[str, list[int]]]:
    """A registry that answers with the status that is set."""
    status = [401]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", status
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("status", "there"), [(200, True), (401, True), (404, False), (500, False)])
def test_a_registry_that_asks_for_a_token_answers(
    status: int, there: bool, registry: tuple[str, list[int]], monkeypatch: pytest.MonkeyPatch
):
    url, answer = registry
    answer[0] = status
    monkeypatch.setenv("IONIAN_REGISTRY", url)
    assert (f"the registry {url}" in checks.base_images().found) is there


def test_a_machine_without_a_gpu_is_in_order():
    if not list(Path("/dev").glob("nvidia[0-9]*")):
        assert checks.gpus() == ("GPUs", "ok", "none; functions with gpu= run with --no-gpu", "")


def test_the_range_of_user_ids_that_the_cure_asks_for_is_nobodys():
    assert checks.free_ids("") == "100000-165535"
    assert checks.free_ids("ann:100000:65536\n# a remark\nben:165536:10\n") == "165546-231081"
