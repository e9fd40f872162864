"""What the user wrote, made an ASGI app: a path operation of FastAPI, an ASGI or WSGI app, or a server that listens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from ...exception import InvalidError
from .. import loop
from .lifespan import Lifespan
from .serving import App, Served


def preload(web: dict[str, Any]) -> None:
    """Imports what making the app will need: once, where containers are forks of one process."""
    if web["kind"] == "fastapi":
        import importlib

        importlib.import_module("fastapi.middleware.cors")


class WebFunction:
    """A function, or a method of a live object, that answers web requests: what runs an input, and what is to be ended."""

    def __init__(self, raw: Callable[..., Any], web: dict[str, Any], most: int) -> None:
        self._lifespan: Lifespan | None = None
        state = None
        app = self._made(raw, web, most)
        if web["kind"] == "asgi":
            self._lifespan = Lifespan(app)
            state = loop.run(self._lifespan.start())
        served = Served(app, state)

        async def answer(*args: Any) -> None:
            await served.run(*args)

        answer.__ionian_web__ = True  # type: ignore[attr-defined]
        self.answer: Callable[..., Awaitable[None]] = answer

    def _made(self, raw: Callable[..., Any], web: dict[str, Any], most: int) -> App:
        if web["kind"] == "fastapi":
            return of_fastapi(raw, web["method"], web["docs"])
        made = raw()
        if hasattr(made, "__await__"):
            made = loop.run(made)
        if web["kind"] == "server":
            from .listening import Listening

            server = Listening(web["port"])
            loop.run(server.listens(web["startup_timeout_s"]))
            return server
        if not callable(made):
            what = f"@modal.{web['kind']}_app()"
            raise InvalidError(f"{what}: expected the function to return an app, got {type(made).__name__}")
        if web["kind"] == "wsgi":
            from .wsgi import Wsgi

            return Wsgi(made, most)
        return cast("App", made)

    def leave(self) -> None:
        """Ends the app's lifespan."""
        if self._lifespan is not None:
            loop.run(self._lifespan.stop())


def of_fastapi(raw: Callable[..., Any], method: str, docs: bool) -> App:
    """An app of FastAPI whose only path operation is the function, open to pages of all origins."""
    import importlib

    try:
        fastapi: Any = importlib.import_module("fastapi")
        cors: Any = importlib.import_module("fastapi.middleware.cors")
    except ModuleNotFoundError as error:
        raise InvalidError(
            f"@modal.fastapi_endpoint needs FastAPI in the image: image.pip_install('fastapi') ({error})"
        ) from None
    pages: Any = fastapi.FastAPI(openapi_url="/openapi.json" if docs else None)
    pages.add_middleware(
        cors.CORSMiddleware,
        allow_origins=["*"],
        allow_credentials=True,
        allow_methods=["*"],
        allow_headers=["*"],
    )
    pages.add_api_route("/", raw, methods=[method])
    return pages
