"""From a template and facts to a page, or to that part of an open page which has changed."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse, Response

from ionian.protocol.environments import EnvironmentList, ListEnvironments
from ionian.protocol.tags import shown
from ionian.version import VERSION

from .visit import Visit

HERE = Path(__file__).parent
STATIC = HERE / "static"

_templates = Environment(
    loader=FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


async def page(
    visit: Visit,
    template: str,
    *,
    section: str,
    environment: str,
    title: str,
    **facts: Any,
) -> Response:
    """A page of the dashboard: whole, or where an open one asks, its live part, if that has changed."""
    facts = (
        {"still": False, "every": 1}
        | facts
        | {"visit": visit, "forgery": visit.visitor.forgery, "environment": environment, "title": title}
    )
    inner = _templates.get_template(template).render(facts)
    digest = hashlib.sha256(inner.encode()).hexdigest()[:20]
    if visit.live is not None:
        if visit.live == digest:
            return Response(status_code=204)
        return HTMLResponse(inner, headers={"X-Digest": digest})
    listed: EnvironmentList = await visit.ask(ListEnvironments())
    return HTMLResponse(
        _templates.get_template("layout.html").render(
            facts,
            inner=Markup(inner),
            digest=digest,
            section=section,
            environments=[one.name for one in listed.environments],
            version=VERSION,
        )
    )


def part(template: str, headers: dict[str, str], **facts: Any) -> Response:
    """What an open page puts into itself."""
    return HTMLResponse(_templates.get_template(template).render(facts), headers=headers)


def bare(template: str, status: int = 200, **facts: Any) -> Response:
    """A page for who is not in."""
    return HTMLResponse(_templates.get_template(template).render(facts), status)


# --- filters


def moment(at: float) -> Markup:
    """A time, which the page itself shows as "3 min ago" and keeps true; nothing for 0."""
    if not at:
        return Markup("")
    then = datetime.fromtimestamp(at, timezone.utc)
    return Markup('<time datetime="{}" data-at="{:.3f}">{}</time>').format(
        then.isoformat(timespec="seconds"), at, then.strftime("%Y-%m-%d %H:%M UTC")
    )


def clock(at: float) -> Markup:
    """The time of a line in a log, which the page itself shows as that of the person's place."""
    then = datetime.fromtimestamp(at, timezone.utc)
    return Markup('<time data-clock="{:.3f}">{}</time>').format(at, then.strftime("%H:%M:%S.%f")[:-3])


def tick(at: float, step_s: float) -> Markup:
    """A time below a chart, likewise: of a day past it, where its steps are long."""
    then = datetime.fromtimestamp(at, timezone.utc)
    day = step_s >= 3600
    text = then.strftime("%d %b" if day else "%H:%M")
    return Markup('<time data-tick="{:.0f}"{}>{}</time>').format(at, Markup(" data-day") if day else "", text)


def duration(seconds: float) -> str:
    """`4.6 ms`, `1.25 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 1:
        return f"{seconds * 1e3:.1f} ms" if seconds < 0.1 else f"{seconds * 1e3:.0f} ms"
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    whole = int(seconds)
    for large, small, name, rest in ((86400, 3600, "d", "h"), (3600, 60, "h", "min"), (60, 1, "min", "s")):
        if whole >= large:
            left = whole % large // small
            return f"{whole // large} {name}" + (f" {left} {rest}" if left else "")
    return f"{whole} s"


def brief(object_id: str) -> str:
    """An id in a list: its end tells it from others."""
    kind, _, rest = object_id.partition("-")
    return f"{kind}-…{rest[-8:]}" if len(rest) > 12 else object_id


def size(count: float) -> str:
    """Bytes: `512 B`, `3.4 KiB`, `1.2 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def count(number: int) -> str:
    """`1,234,567`."""
    return f"{number:,}"


def some(number: int, noun: str, plural: str = "") -> str:
    """`1 container`, `3 containers`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


_filters: dict[str, Any] = {
    "moment": moment,
    "clock": clock,
    "tick": tick,
    "duration": duration,
    "size": size,
    "brief": brief,
    "count": count,
    "some": some,
    "shown": shown,
}
_templates.filters.update(_filters)
