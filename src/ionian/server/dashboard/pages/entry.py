"""Coming in and going out: by a token that a person types, or by the link of `ionian dashboard`."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ionian.protocol.stream import Refused

from ..entrance import STAY_S
from ..rendering import bare
from ..visit import Visit, cookie_name, form_of, go, page_route


async def home(visit: Visit) -> Response:
    """The first page: the apps of this token's environment."""
    return go(f"/e/{visit.actor.environment or 'main'}/apps")


async def enter_by_link(request: Request) -> Response:
    """The link of `ionian dashboard`. A page that goes on by itself, and no redirect: a browser that came from another site
    would not bring along a cookie that is for this site alone."""
    dashboard = request.app.state.dashboard
    to = _inside(request.query_params.get("to", ""))
    try:
        cookie = dashboard.entrance.by_code(request.query_params.get("code", ""))
    except Refused as refused:
        return ask_for_token(request, to=to, problem=refused.message, status=401)
    return _let_in(request, bare("entered.html", to=to), cookie)


async def enter_by_token(request: Request) -> Response:
    """The form."""
    form = await form_of(request)
    to = _inside(form.get("to", ""))
    dashboard = request.app.state.dashboard
    address = request.client.host if request.client else ""
    try:
        cookie = await asyncio.to_thread(dashboard.entrance.by_token, form.get("token", ""), address)
    except Refused as refused:
        status = 429 if refused.type == "ResourceExhaustedError" else 401
        return ask_for_token(request, to=to, problem=refused.message, status=status)
    return _let_in(request, go(to), cookie)


async def leave(visit: Visit) -> Response:
    """Out again, in this browser."""
    visit.dashboard.entrance.leave(visit.visitor)
    answer = go("/")
    answer.delete_cookie(cookie_name(visit.dashboard), path="/", httponly=True, samesite="strict")
    return answer


def ask_for_token(request: Request, *, to: str = "", problem: str = "", status: int = 200) -> Response:
    """The page for who is not in."""
    query = f"?{request.url.query}" if request.url.query else ""
    wanted = to or (request.url.path + query if request.method == "GET" else "/")
    return bare("entrance.html", status, to=_inside(wanted), problem=problem)


def _let_in(request: Request, answer: Response, cookie: str) -> Response:
    answer.set_cookie(
        cookie_name(request.app.state.dashboard),
        cookie,
        max_age=STAY_S,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


def _inside(path: str) -> str:
    """A page of ours, whatever a link says."""
    fine = path.startswith("/") and path[1:2] not in ("/", "\\") and path.isprintable()
    return path if fine and not path.startswith(("/enter", "/leave")) else "/"


routes = [
    page_route("/", home),
    Route("/enter", enter_by_link, methods=["GET"]),
    Route("/enter", enter_by_token, methods=["POST"]),
    page_route("/leave", leave, post=True),
]
