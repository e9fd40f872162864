"""Kept logs in the terminal: of an app or a container, the last lines or as they come."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeVar

import click

from ..protocol.apps import STARTED, SYSTEM, LogLine, LogLines, ReadLogs
from ..protocol.ids import input_id
from .lists import ask, now

F = TypeVar("F", bound=Callable[..., Any])

TAIL = 100
SOURCES = {"stdout": 1, "stderr": 2, "system": SYSTEM, "start": STARTED}
COLOURS = {2: "red", 3: "yellow"}
UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
WAIT_S = 20.0


class Ago(click.ParamType[float]):
    """A time that has passed, as seconds ago: `90s`, `30m`, `2h`, `1d`, or a time in ISO 8601."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Reads it, or refuses it."""
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([smhdw])", str(value).strip())
        if match is not None:
            return max(float(match[1]) * UNITS_S[match[2]], 1e-6)
        try:
            at = datetime.fromisoformat(str(value).strip()).timestamp()
        except ValueError:
            self.fail(f"expected a time such as 30m, 2h, 1d or 2026-11-25T06:00, got {value!r}", param, ctx)
        return max(now() - at, 1e-6)


def options(function: F) -> F:
    """The options that all commands have."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, for programs."),
        click.option(
            "--show-function-call-id", is_flag=True, help="Begin each line with its call and input."
        ),
        click.option(
            "--timestamps", is_flag=True, help="Begin each line with the time at which it was written."
        ),
        click.option(
            "-s", "--source", type=click.Choice(list(SOURCES)), default=None, help="Of this stream alone."
        ),
        click.option("--search", "--grep", "search", default="", help="Only lines with this text."),
        click.option(
            "-n", "--tail", type=click.IntRange(1), default=None, help=f"The last so many lines [{TAIL}]."
        ),
        click.option("--until", type=Ago(), default=0.0, help="Up to then."),
        click.option("--since", type=Ago(), default=0.0, help="From then on: 30m, 2h, 1d or ISO 8601."),
        click.option("-f", "--follow", is_flag=True, help="Go on with what is printed next, until the end."),
    ):
        function = option(function)
    return function


def call_option(function: F) -> F:
    """`--call`: of commands that show what is of many calls."""
    text = "Of this call alone, fc-…, or of this input of it, in-…"
    return click.option("--function-call", "--call", "call", default="", help=text)(function)


def show(
    *,
    app_id: str = "",
    function: str = "",
    function_id: str = "",
    container_id: str = "",
    call: str = "",
    follow: bool,
    since: float,
    until: float,
    tail: int | None,
    search: str,
    source: str | None,
    timestamps: bool,
    as_json: bool = False,
    show_function_id: bool = False,
    show_function_call_id: bool = False,
    show_container_id: bool = False,
    everything: bool = False,
) -> None:
    """Prints the lines that the options ask for; `everything`: however many there are."""
    if follow and until:
        raise click.UsageError("--until and --follow: expected one of them, got both")
    lines = 0 if everything or (tail is None and (since or until)) else tail or TAIL
    call_id, index = _call(call)
    wanted = ReadLogs(
        app_id,
        container_id,
        function,
        function_id,
        call_id=call_id,
        index=index,
        since_s=since,
        until_s=until,
        tail=lines,
        grep=search,
        fd=SOURCES[source] if source else 0,
    )
    answer: LogLines = ask(wanted)
    while True:
        for line in answer.lines:
            if as_json:
                click.echo(_json(line))
                continue
            shown = [
                line.function if show_function_id else "",
                _input(line) if show_function_call_id else "",
                line.container_id if show_container_id else "",
            ]
            _print(line, [part for part in shown if part], timestamps=timestamps)
        if answer.ended or not (answer.more or follow):
            return
        wanted.cursor, wanted.wait_s = answer.cursor, 0.0 if answer.more else WAIT_S
        answer = ask(wanted)


def _call(named: str) -> tuple[str, int]:
    """A call, and which of its inputs, of the id of either."""
    match = re.fullmatch(r"(fc|in)-([0-9A-Za-z]{26})(?::([0-9]{1,9}))?", named)
    if match is None or (match[1] == "fc") == bool(match[3]):
        if not named:
            return "", -1
        raise click.UsageError(
            f"--call: expected the id of a call, fc-…, or of an input, in-…:0, got {named!r}"
        )
    return f"fc-{match[2]}", int(match[3]) if match[3] else -1


def _json(line: LogLine) -> str:
    named = {
        "time": datetime.fromtimestamp(line.at, timezone.utc).isoformat(),
        "source": next(name for name, fd in SOURCES.items() if fd == line.fd),
        "function": line.function,
        "container_id": line.container_id,
        "function_call_id": line.call_id,
        "input_id": input_id(line.call_id, line.index) if line.call_id and line.index >= 0 else "",
        "message": line.text,
    }
    return json.dumps({name: value for name, value in named.items() if value or name == "message"})


def _input(line: LogLine) -> str:
    """Which call, or input, a line is of."""
    if not line.call_id:
        return "-"
    return input_id(line.call_id, line.index) if line.index >= 0 else line.call_id


def _print(line: LogLine, about: list[str], *, timestamps: bool) -> None:
    if timestamps:
        about.insert(0, datetime.fromtimestamp(line.at).astimezone().isoformat(" ", "milliseconds"))
    prefix = click.style(" ".join(about), dim=True) + " " if about else ""
    colour = COLOURS.get(line.fd)
    click.echo(prefix + (click.style(line.text, fg=colour) if colour else line.text))
