"""One request of a person who is in: who it is, what the form says, and the way to the handlers."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from ionian.protocol.stream import Refused

from ..web.ingress import COOKIES
from .entrance import Visitor

if TYPE_CHECKING:
    from ..auth import Actor
    from ..handlers.context import Context
    from ..server import Server
    from .dashboard import Dashboard

C = TypeVar("C")

MOST_FORM = 64 << 10
"""Bytes of a form."""

LIVE = "x-live"
"""A page that is open asks with this header for what has changed of it: its value is the digest of what it shows."""


class Visit:
    """What a page is made from."""

    def __init__(self, request: Request, visitor: Visitor, form: dict[str, str]) -> None:
        self.request = request
        self.visitor = visitor
        self.form = form
        self.dashboard: Dashboard = request.app.state.dashboard
        self.server: Server = self.dashboard.server
        self.context: Context = self.server.context

    @property
    def actor(self) -> Actor:
        """Who asks."""
        return self.visitor.actor

    @property
    def live(self) -> str | None:
        """What an open page shows; None where a page is opened."""
        return self.request.headers.get(LIVE)

    def word(self, name: str) -> str:
        """A part of the path."""
        return self.request.path_params[name]

    def asked(self, name: str, default: str = "") -> str:
        """A part of the query."""
        return self.request.query_params.get(name, default)

    def chosen(self, name: str, choices: Mapping[str, C], default: str) -> C:
        """One of some, by its word in the query. Raises Refused for a word that is none of theirs."""
        word = self.asked(name, default)
        if word not in choices:
            raise Refused("InvalidError", f"{name}: expected one of {', '.join(choices)}, got {word[:40]!r}")
        return choices[word]

    async def ask(self, message: Any) -> Any:
        """The answer of a handler. Raises Refused: each handler decides what this actor may do."""
        answer, _ = await self.server.handle(self.actor, message, b"")
        return answer


Page = Callable[[Visit], Awaitable[Response]]


def cookie_name(dashboard: Dashboard) -> str:
    """Browsers keep one jar a host, whatever the port: of two servers here each has its own cookie."""
    return f"{COOKIES.decode()}{dashboard.port}"


def page_route(path: str, page: Page, *, post: bool = False) -> Route:
    """A page for who is in; a `post` changes something, and needs the word of a form of ours."""

    @wraps(page)
    async def answer(request: Request) -> Response:
        dashboard: Dashboard = request.app.state.dashboard
        cookie = request.cookies.get(cookie_name(dashboard), "")
        visitor = await asyncio.to_thread(dashboard.entrance.by_cookie, cookie) if cookie else None
        if visitor is None:
            raise Refused("AuthError", "come in first")
        dashboard.seen()
        form = await form_of(request) if post else {}
        if post and not hmac.compare_digest(form.get("forgery", "").encode(), visitor.forgery.encode()):
            raise Refused("PermissionDeniedError", "this form is of another visit; open the page again")
        return await page(Visit(request, visitor, form))

    return Route(path, answer, methods=["POST"] if post else ["GET"])


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form. Raises Refused for one that is too large."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_FORM:
            raise Refused("InvalidError", f"expected a form of at most {MOST_FORM:,} bytes")
    return dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=100))


def go(path: str) -> Response:
    """To another page; also after a form, so that a reload does not send it again."""
    return RedirectResponse(quote(path, safe="/?&=-%:+.,~#"), 303)
