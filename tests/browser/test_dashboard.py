"""The dashboard in a real Chromium: what changes by itself, the keyboard, and a phone."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from tests.dashboards import link_of
from tests.homes import Home, new_home

PROGRAM = Path(__file__).parents[1] / "integration" / "programs" / "dashboard.py"

pytestmark = [pytest.mark.container, pytest.mark.timeout(300), pytest.mark.xdist_group("browser")]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
]

CALL = 'import ionian as modal; print(modal.Cls.from_name("looked-at", "Model")().predict.remote(1))'

SUCCEEDED = "JSON.parse(document.querySelector('[data-key=Calls]').dataset.chart).series[0][2].reduce((sum, one) => sum + one)"


@pytest.fixture(scope="module")
def deployed() -> Iterator[Home]:
    with new_home() as home:
        done = home.ionian("deploy", PROGRAM, timeout_s=250)
        assert done.returncode == 0, done.stdout
        yield home


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed: script/setup --dev does it as root")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def visit(
    chromium: Browser, home: Home, *, width: int = 1280, height: int = 800, dark: bool = False
) -> Generator[Page]:
    """A page of a person who is in; at its end nothing has failed in it."""
    page = chromium.new_page(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
    )
    failed: list[str] = []
    page.set_default_timeout(60_000)
    page.on("pageerror", lambda error: failed.append(str(error)))
    page.on("console", lambda said: failed.append(said.text) if said.type == "error" else None)
    page.goto(link_of(home))
    page.wait_for_url("**/e/main/apps")
    yield page
    page.close()
    assert failed == []


def test_a_container_that_starts_appears_without_a_reload(chromium: Browser, deployed: Home) -> None:
    with visit(chromium, deployed) as page:
        page.get_by_role("link", name="looked-at").click()
        page.get_by_text("it has scaled to zero").wait_for()
        page.evaluate("window.opened = true")
        assert deployed.python("-c", CALL).stdout == "2\n"
        page.locator("[data-key^=ta-] .badge.ready").wait_for()
        assert page.evaluate("window.opened")


def test_a_chart_changes_without_a_reload_and_is_read_by_the_keyboard(
    chromium: Browser, deployed: Home
) -> None:
    with visit(chromium, deployed) as page:
        page.get_by_role("link", name="looked-at").click()
        page.get_by_role("link", name="Model").click()
        page.get_by_role("heading", name="What it did").wait_for()
        page.evaluate("window.opened = true")
        before = page.evaluate(SUCCEEDED)
        assert deployed.python("-c", CALL).stdout == "2\n"
        page.wait_for_function(f"before => ({SUCCEEDED}) > before", arg=before)
        assert page.locator("[data-key=Calls] path.bar.good[d*=M]").count() == 1
        assert page.evaluate("window.opened")
        page.get_by_role("link", name="7 days").focus()
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        readout = page.locator(".readout")
        readout.get_by_text("p95").wait_for()
        page.keyboard.press("Home")  # an hour ago there was no server
        readout.get_by_text("p95 –").wait_for()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowLeft")
        page.keyboard.press("Escape")
        readout.wait_for(state="hidden")


def test_focus_and_what_is_open_outlast_a_change(chromium: Browser, deployed: Home) -> None:
    with visit(chromium, deployed) as page:
        page.get_by_role("link", name="looked-at").click()
        page.get_by_role("button", name="Stop app").click()
        question = page.get_by_text("Stop looked-at for good?")
        question.wait_for()
        page.evaluate("document.getElementById('live').dataset.digest = ''")  # all is sent again
        page.locator("#live:not([data-digest=''])").wait_for()
        assert question.is_visible()
        page.keyboard.press("Escape")
        question.wait_for(state="hidden")


def test_apps_are_found_and_opened_by_the_keyboard_alone(chromium: Browser, deployed: Home) -> None:
    with visit(chromium, deployed) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
        page.keyboard.press("/")
        page.keyboard.type("nothing of that name")
        page.get_by_role("link", name="looked-at").wait_for(state="hidden")
        for _ in range(len("nothing of that name")):
            page.keyboard.press("Backspace")
        page.keyboard.type("look")
        page.get_by_role("link", name="looked-at").wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "looked-at"
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert page.evaluate(outline) == "solid"
        page.keyboard.press("Enter")
        page.wait_for_url("**/apps/ap-*")


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_phone_in_light_or_dark(
    chromium: Browser, deployed: Home, dark: bool
) -> None:
    with visit(chromium, deployed, width=390, height=844, dark=dark) as page:
        base = page.url.partition("/e/")[0]
        app = page.get_by_role("link", name="looked-at").get_attribute("href")
        page.get_by_role("link", name="looked-at").click()
        function = page.get_by_role("link", name="Model").get_attribute("href")
        lists = [f"/e/main/{name}" for name in ("apps", "containers", "schedules", "usage", "images")]
        for path in (*lists, app, function):
            page.goto(f"{base}{path}")
            page.get_by_role("heading", level=1).wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        light = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (light == "rgb(15, 15, 20)") == dark


def test_a_line_that_is_printed_appears_in_the_log_that_is_open(chromium: Browser, deployed: Home) -> None:
    with visit(chromium, deployed) as page:
        page.get_by_role("link", name="Logs").click()
        page.get_by_label("App").select_option("looked-at")
        page.get_by_text("Lines that come are shown at once.").wait_for()
        call = 'import ionian as modal; modal.Function.from_name("looked-at", "half").remote(40)'
        assert deployed.python("-c", call).returncode == 0
        page.locator("#log").get_by_text("halving 40").wait_for()


def test_a_container_shows_what_it_writes_while_the_rest_of_its_page_changes(
    chromium: Browser, deployed: Home
) -> None:
    call = 'import ionian as modal; modal.Function.from_name("looked-at", "half").remote({})'
    with visit(chromium, deployed) as page:
        assert deployed.python("-c", call.format(42)).returncode == 0
        page.get_by_role("link", name="Containers").click()
        page.locator("tr:has-text('half') a[href^='/containers/']").first.click()
        page.get_by_role("heading", name="What it wrote").wait_for()
        page.locator("#log").get_by_text("halving 42").wait_for()
        page.get_by_text("of memory").wait_for()
        page.evaluate("document.getElementById('live').dataset.digest = ''")  # all is sent again
        page.locator("#live:not([data-digest=''])").wait_for()
        assert page.locator("#log").get_by_text("halving 42").is_visible()
        assert deployed.python("-c", call.format(44)).returncode == 0
        page.locator("#log").get_by_text("halving 44").wait_for()


def test_who_comes_by_a_link_of_another_site_is_in_if_the_browser_is(
    chromium: Browser, deployed: Home
) -> None:
    page = chromium.new_page()
    page.goto(link_of(deployed))
    page.wait_for_url("**/e/main/apps")
    address = page.url
    elsewhere = address.replace("127.0.0.1", "localhost").partition("/e/")[0]  # another host: another site
    page.goto(f"{elsewhere}/static/icon.svg")
    page.evaluate(f"location.href = {address!r}")
    page.get_by_role("heading", name="Apps").wait_for()
    page.close()
