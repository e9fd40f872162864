"""Output of runs: nothing is printed unless `enable_output()` is in force, which the command line sees to."""

from __future__ import annotations

import os
import sys
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ... import link

if TYPE_CHECKING:
    from .progress import MapProgress
    from .report import Report


class _Active:
    report: Report | None = None
    depth = 0


class enable_output:
    """Shows what apps do while the block runs: steps, containers' output, progress.

        with modal.enable_output(), app.run():
            ...

    Blocks may be nested; the outermost decides. `show_progress=False` leaves the containers' output alone.
    """

    def __init__(self, show_progress: bool = True, *, timestamps: bool = False) -> None:
        self._show_progress = show_progress
        self._timestamps = timestamps

    def __enter__(self) -> None:
        _Active.depth += 1
        if _Active.report is None:
            from .report import Report

            _keep_lines_whole()
            _Active.report = Report(_screen(), show_progress=self._show_progress, timestamps=self._timestamps)
            link.progress = _Active.report.map_progress if self._show_progress else None
            link.shown = _Active.report.screen.catch_up

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _Active.depth -= 1
        if _Active.depth == 0 and _Active.report is not None:
            report, _Active.report = _Active.report, None
            link.progress = link.shown = None
            report.drain()
            report.screen.close()


def current() -> Report | None:
    """What shows the runs of this process, or None where nothing shall."""
    return _Active.report


def map_progress(function: Any) -> MapProgress | None:
    """The progress of a map over this function, where output is on."""
    report = _Active.report
    return report.map_progress(function) if report is not None and report.show_progress else None


def _keep_lines_whole() -> None:
    """With PYTHONUNBUFFERED `print` writes a line and its end apart, and a container's line came in between."""
    stream: Any = sys.stdout
    if getattr(stream, "write_through", False) and hasattr(stream, "reconfigure"):
        stream.reconfigure(line_buffering=True, write_through=False)


def _screen() -> Any:
    if not sys.stdout.isatty() or os.environ.get("TERM") == "dumb":
        from .screen import Screen

        return Screen()
    from .terminal import TerminalScreen

    return TerminalScreen()
