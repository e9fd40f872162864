"""The dashboard by HTTP: who comes in, what its pages show of a real app, and what its forms do."""

from __future__ import annotations

import html
import http.client
import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from tests.dashboards import Visitor, link_of
from tests.homes import Home, new_home

PROGRAM = Path(__file__).with_name("programs") / "dashboard.py"

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

SPAWN = """
import sys
import ionian as modal
print(modal.Function.from_name("looked-at", "wait").spawn(sys.argv[1]).object_id)
"""

OPEN = """
import sys
import ionian as modal
with modal.Volume.from_name("gate").batch_upload(force=True) as batch:
    batch.put_file(sys.argv[1], "/" + sys.argv[2])
"""


@pytest.fixture(scope="module")
def deployed() -> Iterator[Home]:
    with new_home() as home:
        for tag in ("first", "second"):
            text = PROGRAM.read_text().replace("x + 1", f"x + {len(tag)}")
            (home.folder / "looked_at.py").write_text(text)
            done = home.ionian(
                *("deploy", home.folder / "looked_at.py", "--tag", tag),
                timeout_s=250,
                environment={"LOGNAME": "<b>eve</b>"},
            )
            assert done.returncode == 0, done.stdout
        yield home


@pytest.fixture
def visitor(deployed: Home) -> Visitor:
    return Visitor.of(deployed)


def app_of(home: Home) -> str:
    """The id of the app that is looked at."""
    apps = json.loads(home.ionian("app", "list", "--json").stdout)
    return next(app["App ID"] for app in apps if app["Description"] == "looked-at")


# --- who comes in


def test_who_is_not_in_is_asked_for_a_token(deployed: Home) -> None:
    nobody = Visitor(link_of(deployed).partition("/enter")[0])
    for path in ("/", "/e/main/apps", f"/apps/{app_of(deployed)}", "/id/ap-x"):
        answer = nobody.get(path)
        assert answer.status == 401
        assert "looked-at" not in answer.text
        assert 'name="token"' in answer.text


def test_a_link_lets_one_browser_in_once(deployed: Home) -> None:
    link = link_of(deployed)
    first, second = (Visitor(link.partition("/enter")[0]) for _ in range(2))
    path = link.removeprefix(first.url)
    assert first.get(path).status == 200
    assert first.get("/").path == "/e/main/apps"
    refused = second.get(path)
    assert refused.status == 401
    assert "has been used or is older than a minute" in refused.text
    assert second.get("/").status == 401


def test_a_token_lets_in_and_a_wrong_one_does_not(deployed: Home) -> None:
    token = (deployed.folder / "run" / "client.token").read_text().strip()
    worker = (deployed.folder / "run" / "worker.token").read_text().strip()
    person = Visitor(link_of(deployed).partition("/enter")[0])
    for wrong in ("", "ti-x.y", f"{token}x", worker):
        assert person.post("/enter", {"token": wrong, "to": "/"}).status == 401
    assert person.post("/enter", {"token": token, "to": "//evil.example"}).path == "/e/main/apps"
    cookie = next(iter(person.jar))
    assert cookie.has_nonstandard_attr("HttpOnly")
    assert cookie.get_nonstandard_attr("SameSite", "").lower() == "strict"


@pytest.fixture
def uncounted(deployed: Home) -> Iterator[Home]:
    """A server that has seen no wrong token; and none of those of the test is held against the next."""
    deployed.ionian("server", "stop")
    yield deployed
    deployed.ionian("server", "stop")


def test_who_sends_many_wrong_tokens_has_to_wait(uncounted: Home) -> None:
    person = Visitor(link_of(uncounted).partition("/enter")[0])
    statuses = [person.post("/enter", {"token": f"ti-x.{n}", "to": "/"}).status for n in range(22)]
    assert statuses == [401] * 20 + [429] * 2


def test_who_leaves_is_out_though_the_cookie_was_kept(deployed: Home) -> None:
    visitor = Visitor.of(deployed)
    kept = next(iter(visitor.jar))
    assert visitor.press("/e/main/apps", "/leave").status == 401
    visitor.jar.set_cookie(kept)
    assert visitor.get("/e/main/apps").status == 401


def test_a_browser_stays_in_over_a_restart_of_the_server(deployed: Home, visitor: Visitor) -> None:
    deployed.ionian("server", "stop")
    assert link_of(deployed).startswith(visitor.url)
    assert visitor.get("/e/main/apps").status == 200


def test_a_revoked_token_takes_its_browsers_along(deployed: Home) -> None:
    made = deployed.ionian("token", "new", "--name", "guest").stdout
    token_id, secret = re.search(r"--token-id (\S+) --token-secret (\S+)", made).groups()  # type: ignore[union-attr]
    guest = Visitor(link_of(deployed).partition("/enter")[0])
    assert guest.post("/enter", {"token": f"{token_id}.{secret}", "to": "/"}).status == 200
    deployed.ionian("token", "revoke", token_id, "--yes")
    assert guest.get("/e/main/apps").status == 401


def test_a_token_of_one_environment_sees_that_one_alone(deployed: Home) -> None:
    deployed.ionian("environment", "create", "apart")
    made = deployed.ionian("token", "new", "--name", "apart", "--env", "apart").stdout
    token_id, secret = re.search(r"--token-id (\S+) --token-secret (\S+)", made).groups()  # type: ignore[union-attr]
    guest = Visitor(link_of(deployed).partition("/enter")[0])
    entered = guest.post("/enter", {"token": f"{token_id}.{secret}", "to": "/"})
    assert entered.path == "/e/apart/apps"
    assert 'href="/e/main/apps"' not in entered.text
    assert guest.get("/e/main/apps").status == 403
    assert guest.get(f"/apps/{app_of(deployed)}").status == 403
    assert guest.get(f"/id/{app_of(deployed)}").status == 403


# --- what browsers are told, and what pages elsewhere may not


def test_every_answer_forbids_scripts_and_frames_of_others(visitor: Visitor) -> None:
    for path in ("/e/main/apps", "/static/dashboard.js", "/nothing", "/enter?code=x"):
        headers = visitor.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert visitor.get("/e/main/apps").headers["cache-control"] == "no-store"


def test_headers_past_the_limit_are_refused(visitor: Visitor) -> None:
    to = urlsplit(visitor.url)
    with closing(http.client.HTTPConnection(to.hostname or "", to.port, timeout=60)) as connection:
        connection.request("GET", "/", headers={"x-long": "x" * (65 << 10)})
        assert connection.getresponse().status == 431


def test_a_form_from_elsewhere_changes_nothing(deployed: Home, visitor: Visitor) -> None:
    app_id = app_of(deployed)
    page = visitor.get(f"/apps/{app_id}").text
    word = re.search(r'name="forgery" value="(\w+)"', page)
    assert word is not None
    stop = f"/apps/{app_id}/stop"
    other = visitor.url.rpartition(":")[0] + ":1"
    assert visitor.post(stop, {"forgery": word[1]}, {}).status == 403
    assert visitor.post(stop, {"forgery": word[1]}, {"Origin": other}).status == 403
    cross = {"Origin": visitor.url, "Sec-Fetch-Site": "same-site"}
    assert visitor.post(stop, {"forgery": word[1]}, cross).status == 403
    assert visitor.post(stop, {}).status == 403
    assert visitor.post(stop, {"forgery": "x" * 64}).status == 403
    assert visitor.get(stop).status == 405
    apps = json.loads(deployed.ionian("app", "list", "--json").stdout)
    assert {app["App ID"]: app["State"] for app in apps}[app_id] == "deployed"


def test_a_name_that_was_made_to_lead_here_is_not_answered(visitor: Visitor) -> None:
    parts = urlsplit(visitor.url)
    assert parts.hostname
    with closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)) as connection:
        connection.request("GET", "/e/main/apps", headers={"Host": "evil.example"})
        answer = connection.getresponse()
        assert (answer.status, b"expected one of the names" in answer.read()) == (421, True)


def test_an_app_does_not_get_the_cookie_of_the_dashboard() -> None:
    from ionian.server.web.ingress import for_apps

    ours = (b"cookie", b"a=1; ionian_dashboard_4=secret; b=2")
    assert for_apps([(b"host", b"x"), ours]) == [(b"host", b"x"), (b"cookie", b"a=1; b=2")]
    assert for_apps([(b"cookie", b"ionian_dashboard_4=secret")]) == []


# --- what pages show


def test_the_apps_are_shown_with_their_states(visitor: Visitor) -> None:
    page = visitor.get("/e/main/apps").text
    assert "looked-at" in page
    assert '<span class="badge deployed">deployed</span>' in page
    assert "team=red" in page
    assert re.search(r'<time datetime="[^"]+06:00:00', page)  # the next run


def test_an_app_shows_functions_versions_and_addresses(deployed: Home, visitor: Visitor) -> None:
    page = visitor.get(f"/apps/{app_of(deployed)}").text
    for text in ("wait", "nightly", "Model", "hello", "0 to 1 containers", "0 6 * * *", "first", "second"):
        assert text in page
    assert "&lt;b&gt;eve&lt;/b&gt;" in page
    assert "<b>eve" not in page
    assert re.search(r'href="http://127\.0\.0\.1:\d+/looked-at-hello/"', page)


def test_a_container_that_starts_is_shown_by_a_page_that_is_open(
    deployed: Home, visitor: Visitor, tmp_path: Path
) -> None:
    page = f"/apps/{app_of(deployed)}"
    for name in ("one", "two"):
        deployed.python("-c", SPAWN, name)
    shown = visitor.until(page, '<span class="badge ready">ready</span>', "all 1 of its containers are busy")
    container = re.search(r"ta-[0-9A-Z]{26}", shown)
    assert container is not None
    assert 'class="tile wait"' in visitor.until("/e/main/apps", "input waiting")
    assert visitor.get(f"/id/{container[0]}").path == f"/containers/{container[0]}"
    (tmp_path / "empty").touch()
    for name in ("one", "two"):
        deployed.python("-c", OPEN, tmp_path / "empty", name)
    visitor.until(page, "<b>0</b><span>inputs running")
    ended = visitor.press(page, f"{page}/containers/{container[0]}/end")
    assert (ended.status, ended.path) == (200, page)
    visitor.until(page, "it has scaled to zero")


def test_a_container_shows_what_it_uses_and_writes_and_how_it_ended(
    deployed: Home, visitor: Visitor, tmp_path: Path
) -> None:
    deployed.python("-c", SPAWN, "three")
    listed = visitor.until("/e/main/containers", 'data-is="State"><span class="badge ready">ready', ">wait")
    assert "looked-at</a>" in listed
    container = json.loads(deployed.ionian("container", "list", "--json").stdout)
    (container_id,) = [one["Container ID"] for one in container if one["Function"] == "wait"]
    path = f"/containers/{container_id}"
    assert f'href="{path}"' in listed
    shown = visitor.until(path, "MiB</b><span>of memory", "How it started")
    data = {
        json.loads(html.unescape(one))["series"][0][0] for one in re.findall(r'data-chart="([^"]*)"', shown)
    }
    assert data == {"cores", "memory"}
    page = visitor.get(path).text
    assert "waiting for three" in page
    assert f"ionian container exec {container_id}" in page
    cursor = re.search(r'data-cursor="([^"]+)"', page)
    assert cursor is not None
    (tmp_path / "empty").touch()
    deployed.python("-c", OPEN, tmp_path / "empty", "three")
    assert visitor.press(path, f"{path}/end").path == path
    visitor.until(path, '<span class="badge">stopped</span>')
    following = visitor.get(f"{path}/next?cursor={quote(cursor[1])}")
    while not following.headers["x-ended"]:
        following = visitor.get(f"{path}/next?cursor={quote(following.headers['x-cursor'])}")
    assert container_id in visitor.get("/e/main/containers").text.partition("Ended in the last hour")[2]
    assert visitor.get("/containers/ta-none").status == 404


def test_a_function_shows_what_it_did(deployed: Home, visitor: Visitor) -> None:
    program = """
import ionian as modal
half = modal.Function.from_name("looked-at", "half")
for result in half.map([2, 3, 4], return_exceptions=True):
    pass
half.spawn(6).get()
print(half.get_dashboard_url())
"""
    done = deployed.python("-c", program)
    assert done.returncode == 0, done.stdout
    function = visitor.get(done.stdout.strip().removeprefix(visitor.url))
    assert re.fullmatch(r"/functions/fu-\w+", function.path)
    assert f'href="{function.path}">half</a>' in visitor.get(f"/apps/{app_of(deployed)}").text
    for over in ("hour", "day", "week"):
        page = visitor.until(f"{function.path}?over={over}", "failed in the last", "/calls/fc-")
        found = [json.loads(html.unescape(data)) for data in re.findall(r'data-chart="([^"]*)"', page)]
        series = {name: values for chart in found for name, _, values in chart["series"]}
        assert sum(series["succeeded"]) >= 3
        assert sum(series["failed"]) >= 1
        assert sum(series["started"]) >= 1
        assert max(series["containers"]) >= 1
        assert max(value or 0 for value in series["p95"]) > 0
        assert {len(values) for values in series.values()} == {
            60 if over == "hour" else 96 if over == "day" else 84
        }
    assert visitor.get(f"{function.path}?over=never").status == 400
    assert visitor.get("/functions/fu-none").status == 404


def test_what_is_not_there_is_said(visitor: Visitor) -> None:
    assert visitor.get("/apps/ap-none").status == 404
    assert visitor.get("/id/vo-none").status == 404
    assert "there is no such page" in visitor.get("/nothing").text


def test_an_object_says_the_address_of_its_page(deployed: Home, visitor: Visitor) -> None:
    program = """
import ionian as modal
app = modal.App.lookup("looked-at")
print(app.get_dashboard_url())
print(modal.Function.from_name("looked-at", "wait").get_dashboard_url())
print(modal.Cls.from_name("looked-at", "Model").get_dashboard_url())
print(modal.Volume.from_name("gate").get_dashboard_url())
print(modal.Dict.from_name("words", create_if_missing=True).get_dashboard_url())
print(modal.Queue.from_name("jobs", create_if_missing=True).get_dashboard_url())
print(modal.Environment.from_name("main").get_dashboard_url())
print(modal.Image.debian_slim().build().get_dashboard_url())
"""
    done = deployed.python("-c", program)
    assert done.returncode == 0, done.stdout
    addresses = done.stdout.split()
    assert len(addresses) == 8
    for address in addresses:
        assert address.startswith(f"{visitor.url}/id/")
        assert visitor.get(address.removeprefix(visitor.url)).status == 200, address
    app_id = app_of(deployed)
    assert visitor.get(addresses[0].removeprefix(visitor.url)).path == f"/apps/{app_id}"
    for command in (("app", "dashboard", "looked-at"), ("volume", "dashboard", "gate")):
        assert "/enter?code=" in deployed.ionian(*command).stdout


def test_calls_are_shown_with_their_inputs_results_and_tracebacks(deployed: Home, visitor: Visitor) -> None:
    program = """
import ionian as modal
half, quarter = (modal.Function.from_name("looked-at", name) for name in ("half", "quarter"))
failed = half.spawn(3, name="three")
nested = quarter.spawn(8)
print(failed.object_id, nested.object_id)
print(nested.get())
try:
    failed.get()
except ValueError as error:
    print(error)
print(failed.get_dashboard_url())
"""
    done = deployed.python("-c", program)
    assert done.returncode == 0, done.stdout
    failed, nested = done.stdout.split()[:2]
    page = visitor.get(f"/calls/{failed}").text
    assert "(3, name=&#39;three&#39;)" in page
    assert '<span class="badge failure">failure</span>' in page
    assert "ValueError: three &lt;b&gt;has&lt;/b&gt; no half" in page
    assert "raise ValueError(" in page
    assert "<b>has" not in page
    page = visitor.get(f"/calls/{nested}").text
    assert "(8)" in page
    assert ">2.0<" in page
    assert "What it called" in page
    assert ">half</a>" in page
    assert visitor.get(done.stdout.split()[-1].removeprefix(visitor.url)).path == f"/calls/{failed}"
    listed = visitor.get(f"/e/main/calls?app={app_of(deployed)}&function=half&status=done").text
    assert failed in listed
    assert nested not in listed


def test_calls_are_listed_page_by_page(deployed: Home, visitor: Visitor) -> None:
    program = """
import ionian as modal
half = modal.Function.from_name("looked-at", "half")
calls = [half.spawn(10) for _ in range(230)]
for call in calls:
    call.get()
print(*[call.object_id for call in calls])
"""
    done = deployed.python("-c", program)
    assert done.returncode == 0, done.stdout
    found: list[str] = []
    path = "/e/main/calls"
    while path:
        page = visitor.get(path).text
        here = re.findall(r'href="/calls/(fc-\w+)"', page)
        assert len(here) <= 100
        found += here
        older = re.search(r'rel="next" href="([^"]+)"', page)
        path = f"/e/main/calls{older[1].replace('&amp;', '&')}" if older else ""
    assert len(found) == len(set(found))
    assert set(done.stdout.split()) <= set(found)
    assert visitor.get("/e/main/calls?before=x~y").status == 400


def test_lines_are_found_and_followed(deployed: Home, visitor: Visitor) -> None:
    app_id = app_of(deployed)
    call = 'import ionian as modal; modal.Function.from_name("looked-at", "half").remote({})'
    assert deployed.python("-c", call.format(20)).returncode == 0
    page = visitor.until(f"/e/main/logs?app={app_id}", "halving 20")
    cursor = re.search(r'data-cursor="([^"]+)"', page)
    assert cursor is not None
    assert deployed.python("-c", call.format(21)).returncode == 0
    following, at, lines = f"/e/main/logs/next?app={app_id}&cursor=", cursor[1], ""
    while "halving 21" not in lines:
        answer = visitor.get(following + at)
        at, lines = answer.headers["x-cursor"], answer.text
    assert "halving 20" not in lines
    searched = visitor.get(f"/e/main/logs?app={app_id}&grep=halving+20&function=half").text
    assert "halving 20" in searched
    assert "halving 21" not in searched
    assert "has no function or class" in visitor.get(f"/e/main/logs?app={app_id}&function=none").text
    assert "Whose logs?" in visitor.get("/e/main/logs").text


def test_the_files_of_a_volume_are_browsed_and_downloaded(
    deployed: Home, visitor: Visitor, tmp_path: Path
) -> None:
    name = "<i>50% & ü?#.bin"
    content = os.urandom(3 << 20)
    (tmp_path / "content").write_bytes(content)
    for where in (f"/deep/er/{name}", "/plain.html"):
        done = deployed.ionian("volume", "put", "gate", str(tmp_path / "content"), where)
        assert done.returncode == 0, done.stdout
    listed = visitor.get("/e/main/volumes").text
    volume = re.search(r'href="(/volumes/vo-\w+)">gate<', listed)
    assert volume is not None
    assert f'href="{volume[1]}/files/deep">deep/<' in visitor.get(volume[1]).text
    page = visitor.get(f"{volume[1]}/files/deep/er").text
    assert "&lt;i&gt;50% &amp; ü?#.bin" in page
    assert "<i>50" not in page
    link = re.search(r'href="([^"]*/download/[^"]*)"', page)
    assert link is not None
    status, headers, body = visitor.fetch(link[1])
    assert (status, body == content) == (200, True)
    assert headers["content-disposition"] == f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    assert visitor.fetch(f"{volume[1]}/download/plain.html")[1]["content-type"] == "application/octet-stream"
    for path in ("..", "../state.db", "%2e%2e/%2e%2e/state.db", "/etc/passwd", "deep/../../x", "none"):
        assert visitor.fetch(f"{volume[1]}/download/{path}")[0] in (400, 403, 404)
        assert visitor.fetch(f"{volume[1]}/files/{path}")[0] in (400, 403, 404)


def test_secrets_dicts_and_queues_are_listed_by_name(deployed: Home, visitor: Visitor) -> None:
    value = "a value that no page shows"
    assert deployed.ionian("secret", "create", "token", f"WORD={value}", "--force").returncode == 0
    program = """
import ionian as modal
modal.Dict.from_name("counts", create_if_missing=True).put("key", "entry")
modal.Queue.from_name("errands", create_if_missing=True).put_many(list(range(1234)))
"""
    assert deployed.python("-c", program).returncode == 0
    secrets = visitor.get("/e/main/secrets").text
    assert "<b>token</b>" in secrets
    assert "<b>counts</b>" in visitor.get("/e/main/dicts").text
    queues = visitor.get("/e/main/queues").text
    assert "<b>errands</b>" in queues
    assert "1,234" in queues
    assert not any(value in text for text in (secrets, queues))


def test_what_was_used_is_shown_by_day_and_app(deployed: Home, visitor: Visitor) -> None:
    call = 'import ionian as modal; modal.Function.from_name("looked-at", "half").remote(8)'
    assert deployed.python("-c", call).returncode == 0
    for over in ("day", "month", "quarter"):
        page = visitor.until(f"/e/main/usage?over={over}", ">looked-at</a>", "<b>calls</b>")
        found = [json.loads(html.unescape(data)) for data in re.findall(r'data-chart="([^"]*)"', page)]
        names, sums = {found[0]["series"][0][0]}, sum(found[0]["series"][0][2])
        assert (names, sums > 0) == ({"looked-at"}, True)
    assert "Nothing has a price here" in page
    (deployed.folder / "prices.toml").write_text('currency = "EUR"\n[per_hour]\ncpu_core = 3600.0\n')
    assert "<b>Cost</b>" in visitor.until("/e/main/usage", "EUR</b>")
    (deployed.folder / "prices.toml").unlink()
    assert visitor.get("/e/main/usage?over=never").status == 400


def test_schedules_are_shown_with_what_came_of_their_last_run(deployed: Home, visitor: Visitor) -> None:
    program = """
import modal
app = modal.App("clock")
@app.function(schedule=modal.Period(seconds=10))
def tick():
    raise ValueError("a broken clock")
"""
    (deployed.folder / "clock.py").write_text(program)
    assert deployed.ionian("deploy", deployed.folder / "clock.py").returncode == 0
    page = visitor.until("/e/main/schedules", "ValueError: a broken clock", "nightly", "0 6 * * *")
    assert "it has not run yet" in page
    assert "every 10 seconds<" in page
    assert deployed.ionian("app", "stop", "clock", "--yes").returncode == 0
    assert ">clock</a>" not in visitor.get("/e/main/schedules").text


def test_images_are_shown_with_what_their_steps_printed(deployed: Home, visitor: Visitor) -> None:
    program = f"""
import ionian as modal
image = modal.Image.debian_slim().run_commands("echo '<i>of {deployed.folder.name}' $((6 * 7))").build()
image.publish("looked-at:v1")
print(image.get_dashboard_url())
"""
    done = deployed.python("-c", program)
    assert done.returncode == 0, done.stdout
    image = visitor.get(done.stdout.split()[-1].removeprefix(visitor.url))
    assert image.path.startswith("/images/im-")
    assert "RUN echo" in image.text
    listed = visitor.get("/e/main/images").text
    assert f'href="{image.path}"' in listed
    assert "looked-at:v1" in listed
    assert f"&lt;i&gt;of {deployed.folder.name} 42" in image.text
    assert "<i>of" not in image.text
    assert visitor.get("/images/im-none").status == 404
    image_id = image.path.removeprefix("/images/").partition("?")[0]
    assert deployed.ionian("image", "rm", image_id, "--force", "--yes").returncode == 0


# --- what its forms do


def test_a_call_is_cancelled(deployed: Home, visitor: Visitor) -> None:
    call = deployed.python("-c", SPAWN, "never").stdout.strip()
    cancelled = visitor.press(f"/calls/{call}", f"/calls/{call}/cancel")
    assert (cancelled.status, cancelled.path) == (200, f"/calls/{call}")
    visitor.until(f"/calls/{call}", '<span class="badge cancelled">cancelled</span>')


def test_an_earlier_version_is_brought_back_and_the_app_stopped(deployed: Home, visitor: Visitor) -> None:
    app_id = app_of(deployed)
    page = f"/apps/{app_id}"
    rolled = visitor.press(page, f"{page}/versions/1/rollback")
    assert (rolled.status, rolled.path) == (200, page)
    assert "brings back v1" in rolled.text
    stopped = visitor.press(page, f"{page}/stop")
    assert "stopped in the dashboard" in stopped.text
    assert "looked-at" in visitor.get("/e/main/apps").text
