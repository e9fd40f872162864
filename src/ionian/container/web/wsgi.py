"""A WSGI app as an ASGI app: each request in a thread, its body and its response part by part."""

from __future__ import annotations

import io
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .. import loop


class Wsgi:
    """Runs a WSGI app (PEP 3333) for HTTP requests, `most` at once."""

    def __init__(self, app: Any, most: int) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(max(1, most), "ionian-wsgi")

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1003, "reason": "a WSGI app has no WebSockets"})
            return
        import contextvars

        context = contextvars.copy_context()
        await loop.get().run_in_executor(self._threads, lambda: context.run(self._run, scope, receive, send))

    def _run(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        exchange = _Exchange(receive, send)
        body = self._app(_environ(scope, exchange), exchange.start)
        try:
            for part in body:
                exchange.write(part)
            exchange.end()
        finally:
            if hasattr(body, "close"):
                body.close()


class _Exchange(io.RawIOBase):
    """One request, from the app's thread: the body that it reads, and what it answers."""

    def __init__(self, receive: Any, send: Any) -> None:
        self._receive = receive
        self._send = send
        self._rest = b""
        self._more = True
        self._started: dict[str, Any] | None = None
        self._sent = False

    # --- the body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest and self._more:
            event = _on_loop(self._receive())
            if event["type"] != "http.request":
                raise ConnectionError("the client has gone amid the body of its request")
            self._rest, self._more = event["body"], event["more_body"]
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size

    # --- the response

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """WSGI's start_response."""
        if exc_info is not None and self._sent:
            raise exc_info[1].with_traceback(exc_info[2])
        if self._started is not None and exc_info is None:
            raise AssertionError("start_response was called before")
        pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        self._started = {
            "type": "http.response.start",
            "status": int(status.split(" ", 1)[0]),
            "headers": pairs,
        }
        return self.write

    def write(self, part: Any) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Sends a part of the body; waits while the client is far behind."""
        if part:
            self._begin()
            _on_loop(self._send({"type": "http.response.body", "body": part, "more_body": True}))
        return len(part)

    def end(self) -> None:
        """The response is whole."""
        self._begin()
        _on_loop(self._send({"type": "http.response.body", "body": b"", "more_body": False}))

    def _begin(self) -> None:
        if self._sent:
            return
        if self._started is None:
            raise AssertionError("the WSGI app sent a body before it called start_response")
        self._sent = True
        _on_loop(self._send(self._started))


def _on_loop(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run_coroutine_threadsafe(coroutine, loop.get()).result()


def _environ(scope: dict[str, Any], body: _Exchange) -> dict[str, Any]:
    """What PEP 3333 says of a request."""
    host, port = scope["server"] or ("localhost", 80)
    root = scope["root_path"]
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": scope["path"][len(root) :].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope["client"] or ("",))[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": io.BufferedReader(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    for raw_name, raw_value in scope["headers"]:
        if b"_" in raw_name:
            continue  # X_Forwarded_For would come as X-Forwarded-For, which a proxy vouches for
        name, value = raw_name.decode("latin-1").upper().replace("-", "_"), raw_value.decode("latin-1")
        key = name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    return environ
