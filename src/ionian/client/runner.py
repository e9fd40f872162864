"""The run of an ephemeral app: defined on the server, then the body, then stopped and forgotten."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .. import config
from .. import link as links
from ..exception import Error, InvalidError
from ..protocol.apps import AppCreated, AppUsage, CreateApp, FollowApp, StopApp
from ..protocol.ids import new_id
from . import entry, output

if TYPE_CHECKING:
    from ..app import App
    from ..link import Link
    from .lending import Lending

_lock = threading.Lock()


def run_app(
    app: App,
    *,
    name: str | None = None,
    detach: bool = False,
    interactive: bool = False,
    environment_name: str | None = None,
    client: Any = None,
) -> AppRun:
    """The run of an app, for `with` and for `async with`. Nothing happens before the block is entered.

    Raises InvalidError where the app runs already, or is to run interactively without a terminal.
    """
    if interactive:
        from .lending import check

        check()
    return AppRun(
        app,
        name or app.name or _script(),
        detach=detach,
        interactive=interactive,
        environment=config.environment(environment_name),
        link=client,
    )


class AppRun:
    """One run of an app."""

    def __init__(
        self,
        app: App,
        name: str,
        *,
        detach: bool = False,
        interactive: bool = False,
        environment: str,
        link: Link | None = None,
        quiet: bool = False,
    ) -> None:
        self._app = app
        self._name = name
        self._detach = detach
        self._interactive = interactive
        self._lending: Lending | None = None
        self._environment = environment
        self._link = link
        self._report = None if quiet else output.current()
        self._ignore: Callable[[], None] = lambda: None  # ends what the report hears
        self._app_id = ""
        self._begun = 0.0

    def __enter__(self) -> App:
        self._claim()
        try:
            self._start()
        except BaseException as error:
            self._end(error)
            raise
        return self._app

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, trace
        self._end(error)

    async def __aenter__(self) -> App:
        self._claim()
        try:
            await beside(self._start)
        except BaseException as error:
            await beside(self._end, error)
            raise
        return self._app

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del kind, trace
        await asyncio.shield(beside(self._end, error))

    # -- the beginning

    def _claim(self) -> None:
        claim(self._app, self._name, detach=self._detach)

    def _start(self) -> None:
        self._begun = time.monotonic()
        entry.adopt_main()
        link = self._link = self._link or links.current()
        if self._report is not None:
            self._ignore = self._report.listen(link)
        self._app_id = new_id("ap")
        created, _ = link.request(
            CreateApp(self._app_id, self._name, self._environment, self._detach, tags=self._app.tags)
        )
        assert isinstance(created, AppCreated), created
        self._app.app_id = self._app_id
        if self._report is not None:
            link.post(FollowApp(self._app_id))
            self._report.say(f"✓ Initialized {self._name} ({self._app_id})")
        self._publish(link, created.environment)
        if self._interactive and self._report is not None:
            from .lending import Lending

            self._lending = Lending(link, self._app_id, self._report.screen)
            self._lending.begin()
        if self._report is not None:
            self._report.screen.flush()  # else the program's first line may come in the middle of one of ours

    def _publish(self, link: Link, environment: str) -> None:
        from .publish import Publication
        from .upload import Uploader

        uploader = Uploader(link)
        try:
            Publication(self._app, self._app_id, environment, link, uploader, self._report).publish()
        finally:
            uploader.close()

    # -- the end

    def _end(self, error: BaseException | None) -> None:
        """Stops the app, shows what it had still to say, and makes its functions what they were before."""
        try:
            if self._lending is not None:
                self._lending.end()
            if error is not None and not isinstance(error, Exception):
                self._stop_at_once(error)
                self._tell_interrupted(error)
            usage = self._stop(error)
            if self._report is not None:
                self._report.drain()
                if self._detach and error is None:
                    self._report.say(f"Leaving; {self._app_id} goes on with the calls under way")
                elif usage is not None and error is None:
                    self._report.summary(time.monotonic() - self._begun, usage)
        finally:
            self._ignore()
            for function in self._app.registered_functions.values():
                function.function_id = ""
            release(self._app)

    def _stop(self, error: BaseException | None) -> AppUsage | None:
        if self._link is None or not self._app_id:
            return None
        reason = "" if error is None else f"{type(error).__name__}: {error}"[:1000]
        try:
            answer, _ = self._link.request(StopApp(self._app_id, reason))
        except Error as failure:  # the server stops an app whose client is gone by itself
            if error is None:
                print(f"The app could not be stopped properly: {failure}", file=sys.stderr)
            return None
        return answer if isinstance(answer, AppUsage) else None

    def _stop_at_once(self, error: BaseException) -> None:
        """Asks for the end without waiting: a second Ctrl-C ends this program before it hears the answer."""
        if self._link is not None and self._app_id and not self._detach:
            self._link.post(StopApp(self._app_id, type(error).__name__))

    def _tell_interrupted(self, error: BaseException) -> None:
        if self._report is None or not isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)):
            return
        if self._detach:
            self._report.say(
                f"Leaving; {self._app_id} goes on with the calls under way", "yellow", always=True
            )
        else:
            self._report.say("Stopping the app …", "yellow", always=True)


def claim(app: App, name: str, *, detach: bool = False) -> None:
    """One run or deploy of an app at a time: its functions have one id each. Raises InvalidError."""
    with _lock:
        if app.is_running:
            raise InvalidError(
                f"the app {name!r} runs already; one app.run() or app.deploy() can't be inside another of it"
            )
        app.is_running, app.is_detached = True, detach


def release(app: App) -> None:
    """The run or deploy is over."""
    with _lock:
        app.is_running = app.is_detached = False


def beside(function: Callable[..., None], *args: Any) -> asyncio.Future[None]:
    """Runs a function in a thread that nobody waits for at the end of the loop, as `asyncio.to_thread` has it: after
    Ctrl-C an image that is being built keeps no program."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def run() -> None:
        failure: BaseException | None = None
        try:
            context.run(function, *args)
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, failure)

    context = contextvars.copy_context()
    threading.Thread(target=run, name="ionian-run", daemon=True).start()
    return future


def _script() -> str:
    """The name of an app that has none: that of the script."""
    file = getattr(sys.modules.get("__main__"), "__file__", None) or "app"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", os.path.basename(file)).strip("-")[:64] or "app"
