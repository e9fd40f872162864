"""Kept logs of apps, functions and calls: what `App.logs`, `Function.logs` and `FunctionCall.logs` are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from .arguments import integer, number, wrong
from .steps import Item, Steps, StreamMethod

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import Literal

    from .protocol.apps import LogLine, LogLines, ReadLogs

    LogSource = Literal["stdout", "stderr", "system"]

FDS = {"stdout": 1, "stderr": 2, "system": 3}
SOURCES = {fd: name for name, fd in FDS.items()}

WAIT_S = 20.0
"""How long one request waits for the next line: shorter than what proxies take for a dead connection."""

ROUNDED_S = 1e-6
"""A datetime is rounded to this: the line at the very time that an entry has is one of those wanted."""

LONGEST_S = 365 * 86_400.0


class LogEntry(NamedTuple):
    """One line of a log; `str()` gives its text, with the newline."""

    message: str  # ends with a newline
    timestamp: datetime  # when it was written, in UTC
    source: LogSource
    object_id: str  # whose log this is: an app's, a function's or a call's
    context_ids: list[str]  # what is known besides, from the outside in: function, call, input, container

    def __str__(self) -> str:
        return self.message


class _Log:
    """What the logs of apps, functions and calls have in common."""

    def __init__(self, object_id: Callable[[], Any]) -> None:
        self._object_id = object_id

    def _fetch(
        self, since_at: float, until: datetime | None, source: LogSource | None, search_text: str
    ) -> Steps[None]:
        if not isinstance(search_text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise wrong("search_text", "text", search_text)
        wanted = self._wanted(source)
        wanted.since_at, wanted.grep = since_at, search_text
        wanted.until_at = 0.0 if until is None else _at("until", until) + ROUNDED_S
        answer = yield from self._page(wanted)
        while answer.more:
            wanted.cursor = answer.cursor
            answer = yield from self._page(wanted)

    @StreamMethod
    def tail(self, entries: int = 100, *, source: LogSource | None = None) -> Steps[None]:
        """The last lines, oldest first: `entries` of them at most."""
        integer("entries", entries, least=1)
        wanted = self._wanted(source)
        wanted.tail = entries
        answer = yield from self._page(wanted)
        while answer.more:
            wanted.cursor = answer.cursor
            answer = yield from self._page(wanted)

    @StreamMethod
    def stream(self, timeout: float | None = None) -> Steps[None]:
        """The lines that are written from now on (of a call: from its begin), as they come, until the app or the call
        has ended.

        Args:
            timeout: ends it after so many seconds without a line; None: never.
        """
        if timeout is not None and number("timeout", timeout, least=0, most=LONGEST_S, unit="seconds") <= 0:
            return
        wanted = self._wanted(None)
        wanted.since_s = 0.0 if wanted.call_id else 1e-6
        until = None if timeout is None else time.monotonic() + timeout
        answer = yield from self._page(wanted)
        while not answer.ended:
            if answer.lines and timeout is not None:
                until = time.monotonic() + timeout
            left = WAIT_S if until is None else until - time.monotonic()
            if left <= 0 and not answer.more:
                return
            wanted.cursor, wanted.wait_s = answer.cursor, 0.0 if answer.more else min(left, WAIT_S)
            answer = yield from self._page(wanted)

    def _wanted(self, source: Any) -> ReadLogs:
        from .protocol.apps import ReadLogs

        if source is not None and source not in FDS:
            raise wrong("source", "one of 'stdout', 'stderr' and 'system'", source)
        object_id: str = self._object_id()
        wanted = ReadLogs(tail=0, fd=FDS[source] if source else 0)
        setattr(wanted, {"ap": "app_id", "fu": "function_id", "fc": "call_id"}[object_id[:2]], object_id)
        return wanted

    def _page(self, wanted: ReadLogs) -> Steps[LogLines]:
        answer: LogLines = (yield wanted)[0]
        object_id = wanted.call_id or wanted.function_id or wanted.app_id
        for line in answer.lines:
            yield Item(_entry(line, object_id))
        return answer


class LogsManager(_Log):
    """The log of an app or a function.

    ```python
    for entry in train.logs.tail(20):
        print(entry.timestamp, entry.message, end="")
    ```
    """

    @StreamMethod
    def fetch(
        self,
        *,
        since: datetime,
        until: datetime | None = None,
        source: LogSource | None = None,
        search_text: str = "",
    ) -> Steps[None]:
        """The lines between two times, oldest first.

        Args:
            since: from then on; a time without a zone is local.
            until: up to then; None: until now.
            source: "stdout", "stderr" or "system" alone.
            search_text: only lines that hold it.
        """
        yield from self._fetch(_at("since", since) - ROUNDED_S, until, source, search_text)


class CallLogs(_Log):
    """The log of a call."""

    @StreamMethod
    def fetch(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        source: LogSource | None = None,
        search_text: str = "",
    ) -> Steps[None]:
        """The lines of the call between two times, oldest first; without `since` from its begin."""
        yield from self._fetch(
            0.0 if since is None else _at("since", since) - ROUNDED_S, until, source, search_text
        )


def _at(name: str, at: Any) -> float:
    from datetime import datetime

    if not isinstance(at, datetime):
        raise wrong(name, "a datetime", at)
    return at.timestamp()


def _entry(line: LogLine, object_id: str) -> LogEntry:
    from datetime import datetime, timezone

    ids: list[str] = []
    if object_id.startswith("ap-"):
        ids.append(line.function)
    if line.call_id:
        from .protocol.ids import input_id

        if not object_id.startswith("fc-"):
            ids.append(line.call_id)
        if line.index >= 0:
            ids.append(input_id(line.call_id, line.index))
    if line.container_id:
        ids.append(line.container_id)
    at = datetime.fromtimestamp(line.at, timezone.utc)
    return LogEntry(f"{line.text}\n", at, SOURCES.get(line.fd, "system"), object_id, ids)  # type: ignore[arg-type]
