"""What stands before every page: names of this server alone, forms of its own pages alone, and headers for browsers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse

if TYPE_CHECKING:
    from .dashboard import Dashboard

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """Wraps the app."""

    def __init__(self, app: Any, dashboard: Dashboard) -> None:
        self._app = app
        self._dashboard = dashboard

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        headers = Headers(scope=scope)
        problem = self._problem(scope, headers)

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                said = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    said.setdefault(name, value)
                said.setdefault(
                    "Cache-Control", "no-cache" if scope["path"].startswith("/static/") else "no-store"
                )
            await send(message)

        app = self._app if problem is None else PlainTextResponse(f"{problem[1]}\n", problem[0])
        await app(scope, receive, answer)

    def _problem(self, scope: dict[str, Any], headers: Headers) -> tuple[int, str] | None:
        """Why a request is not answered, if it is not."""
        host = headers.get("host", "")
        name = urlsplit(f"//{host}").hostname if "@" not in host else None
        hosts = self._dashboard.hosts
        if hosts is not None and name not in hosts:
            return 421, (
                f"expected one of the names {', '.join(sorted(hosts))}, got {host[:80]!r}; behind a proxy start the server with "
                "--dashboard-url"
            )
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return 405, "expected GET or POST"
        if scope["method"] == "POST" and not self._is_own(scope, headers, host):
            return 403, "this form does not come from a page of this dashboard"
        return None

    def _is_own(self, scope: dict[str, Any], headers: Headers, host: str) -> bool:
        """Whether a form was sent by one of our pages: pages of users' apps are on this machine, too, on another port."""
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return False
        return headers.get("origin", "") in (f"{scope['scheme']}://{host}", self._dashboard.url)
