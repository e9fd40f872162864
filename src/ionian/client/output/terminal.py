"""A terminal: lines scroll, and below them live rows show what is going on."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

from .redirect import Redirect
from .screen import REFRESH_S, Line, Row, RowSource, Screen, painted

PATIENCE_S = 0.3
"""A row that is gone within this time is never drawn: a quick run doesn't flicker, and doesn't load `rich`."""

BAR_WIDTH = 28


class TerminalScreen(Screen):
    """Output on a terminal. `rich` is loaded with the first row that is drawn."""

    live = True

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, tuple[float, RowSource]] = {}
        self._display: Any = None
        self._redirects: list[Redirect] = []
        self._rests = False

    def show(self, key: str, row: RowSource) -> None:
        """Adds a live row, or replaces the one of the same key in its place."""
        since = self._rows[key][0] if key in self._rows else time.monotonic()
        self._rows[key] = (since, row)
        self._notice()

    def drop(self, key: str) -> None:
        """Takes a live row away."""
        if self._rows.pop(key, None) is not None:
            self._notice()

    def rest(self, rest: bool) -> None:
        """Another program has the terminal, from when this returns on."""
        self._rests = rest
        self.flush()

    def close(self) -> None:
        """Writes the rest; the live rows disappear."""
        self._rows.clear()
        super().close()

    def _put(self, lines: list[Line]) -> None:
        colour = "NO_COLOR" not in os.environ
        end = "\r\n" if self._rests else "\n"
        text = "".join(f"{painted(line, colour)}{end}" for line in lines)
        if self._display is None:
            sys.stdout.write(text)
            sys.stdout.flush()
            return
        from rich.text import Text

        self._display.console.print(Text.from_ansi(text, end=""), soft_wrap=True, end="")

    def _draw(self) -> float | None:
        rows, wait = self._visible()
        if rows:
            try:
                self._update(rows)
            except (OSError, ValueError):
                self._broken = True
                self._rows.clear()
        else:
            self._end_display()
        return wait

    def _visible(self) -> tuple[list[Row], float | None]:
        now = time.monotonic()
        sources = [] if self._rests else list(self._rows.values())
        rows = [
            row for since, source in sources if now - since >= PATIENCE_S and (row := source()) is not None
        ]
        return rows, REFRESH_S if sources else None

    def _update(self, rows: list[Row]) -> None:
        if self._display is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=sys.stdout, highlight=False)
            redirects = [Redirect("stdout", self._print)]
            if sys.stderr.isatty():
                redirects.append(Redirect("stderr", self._print))
            self._redirects = redirects
            self._display = Live(
                console=console,
                auto_refresh=False,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._display.start()
        self._display.update(_table(rows), refresh=True)

    def _end_display(self) -> None:
        """The rows go. Nobody prints between the last line that waits and the end: lines keep their order."""
        if self._display is None:
            return
        with contextlib.ExitStack() as held:
            for redirect in self._redirects:
                held.enter_context(redirect.lock)
            self._write_waiting()
            display, self._display = self._display, None
            display.stop()
            for redirect in self._redirects:
                redirect.end()
            self._redirects = []

    def _print(self, line: str) -> None:
        self.write(Line(line, own=True))


def _table(rows: list[Row]) -> Any:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    shown: list[Any] = []
    for row in rows:
        table = Table.grid(padding=(0, 1))
        cells: list[Any] = [Text(_spinner(), style="cyan"), Text(row.text, overflow="ellipsis", no_wrap=True)]
        if row.total is not None and row.done is not None:
            cells.append(ProgressBar(total=max(row.total, 1), completed=row.done, width=BAR_WIDTH))
        cells.append(Text(row.detail, style="dim", overflow="ellipsis", no_wrap=True))
        table.add_row(*cells)
        shown.append(table)
    return Group(*shown)


def _spinner() -> str:
    frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
    return frames[int(time.monotonic() / REFRESH_S) % len(frames)]
