"""The pages as one ASGI app: which path is which page, and what a refusal is."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from ionian.protocol.stream import Refused

from .guard import Guard
from .history import Histories
from .pages import (
    apps,
    calls,
    containers,
    entry,
    functions,
    images,
    logs,
    objects,
    schedules,
    storage,
    usage,
)
from .rendering import STATIC, bare
from .visit import LIVE

if TYPE_CHECKING:
    from .dashboard import Dashboard

log = logging.getLogger("ionian.server")

STATUS = {
    "AuthError": 401,
    "PermissionDeniedError": 403,
    "NotFoundError": 404,
    "FileNotFoundError": 404,
    "NotADirectoryError": 404,
    "IsADirectoryError": 400,
    "PermissionError": 403,
    "InvalidError": 400,
    "AlreadyExistsError": 409,
    "ConflictError": 409,
    "ResourceExhaustedError": 429,
}
"""What a refusal is in HTTP, by its type."""


def site(dashboard: Dashboard) -> Any:
    """The app of a server's dashboard."""
    handlers: dict[Any, Any] = {Refused: _refused, HTTPException: _not_served, Exception: _broken}
    static = Mount("/static", StaticFiles(directory=STATIC))
    app = Starlette(
        routes=[
            static,
            *entry.routes,
            *apps.routes,
            *functions.routes,
            *containers.routes,
            *calls.routes,
            *logs.routes,
            *schedules.routes,
            *images.routes,
            *usage.routes,
            *storage.routes,
            *objects.routes,
        ],
        exception_handlers=handlers,
    )
    app.state.dashboard = dashboard
    app.state.histories = Histories(dashboard.server.engine.counts)
    return Guard(app, dashboard)


async def _refused(request: Request, refused: Refused) -> Response:
    status = STATUS.get(refused.type, 500)
    if status == 401 and LIVE not in request.headers:
        return entry.ask_for_token(request, status=401)
    return bare("refused.html", status, code=status, message=refused.message)


async def _not_served(request: Request, error: HTTPException) -> Response:
    message = "there is no such page" if error.status_code == 404 else error.detail
    return bare("refused.html", error.status_code, code=error.status_code, message=message)


async def _broken(request: Request, error: Exception) -> Response:
    log.error("a page of the dashboard failed: %s", request.url.path, exc_info=error)
    return bare("refused.html", 500, code=500, message="this page failed; the server's log says how")
