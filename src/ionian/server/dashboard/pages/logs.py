"""Logs of an app, a function, a container or a call: the last lines, with search, and those that follow as they come."""

from __future__ import annotations

from starlette.responses import Response

from ionian.protocol.apps import AppList, ListApps, LogLines, ReadLogs
from ionian.protocol.stream import Refused

from ...handlers.apps import app_of
from ...handlers.context import in_thread
from ..rendering import page, part
from ..visit import Visit, page_route

TAIL = 500
"""Lines that a page begins with."""

WAIT_S = 20.0
"""So long a page that follows waits for the next lines, and asks again."""

SOURCES = {"": 0, "stdout": 1, "stderr": 2, "system": 3, "start": 4}


async def logs_page(visit: Visit) -> Response:
    """The last lines of what the query names."""
    environment = visit.word("environment")
    asked = {
        name: visit.asked(name).strip()
        for name in ("app", "function", "container", "call", "grep", "source", "since")
    }
    apps: AppList = await visit.ask(ListApps(environment))
    lines, problem = LogLines(), ""
    functions: list[str] = []
    if asked["app"] or asked["container"] or asked["call"]:
        try:
            lines = await visit.ask(_question(asked, tail=TAIL))
            if asked["app"]:
                functions = sorted(await in_thread(visit.context.store.functions.tags, asked["app"]))
        except Refused as refused:
            if refused.type not in ("NotFoundError", "InvalidError"):
                raise
            problem = refused.message
    return await page(
        visit,
        "logs.html",
        section="logs",
        environment=environment,
        title="Logs",
        apps=apps.apps,
        functions=functions,
        asked=asked,
        lines=lines,
        problem=problem,
        still=True,
        sources=[name for name in SOURCES if name],
    )


async def next_lines(visit: Visit) -> Response:
    """The lines behind a cursor, once there are some."""
    names = ("app", "function", "container", "call", "grep", "source")
    asked = {name: visit.asked(name).strip() for name in names}
    return await lines_behind(visit, _question(asked | {"since": ""}, tail=0), visit.word("environment"))


async def lines_behind(visit: Visit, question: ReadLogs, environment: str) -> Response:
    """What an open page follows: the lines behind its cursor, once there are some."""
    question.cursor, question.wait_s = visit.asked("cursor"), WAIT_S
    lines: LogLines = await visit.ask(question)
    headers = {"X-Cursor": lines.cursor, "X-Ended": "1" if lines.ended else ""}
    return part("lines.html", headers, lines=lines.lines, environment=environment)


def _question(asked: dict[str, str], *, tail: int) -> ReadLogs:
    since = asked["since"]
    if since and not since.isdigit():
        raise Refused("InvalidError", f"since: expected minutes, got {since[:40]!r}")
    return ReadLogs(
        asked["app"],
        asked["container"],
        asked["function"],
        call_id=asked["call"],
        since_s=60.0 * int(since or 0),
        tail=tail,
        grep=asked["grep"],
        fd=SOURCES.get(asked["source"], 0),
    )


async def app_logs(visit: Visit) -> Response:
    """The logs of an app, by its id alone."""
    from ..visit import go

    app = await app_of(visit.actor, "FindApp", visit.word("app_id"), visit.context)
    return go(f"/e/{app.environment}/logs?app={app.app_id}")


routes = [
    page_route("/e/{environment}/logs", logs_page),
    page_route("/e/{environment}/logs/next", next_lines),
    page_route("/apps/{app_id}/logs", app_logs),
]
