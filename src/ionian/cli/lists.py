"""What commands that look at a server have in common: asking it, tables, `--json`, times."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import click

from .. import config, link
from ..exception import Error
from ..protocol.apps import AppCreated, AppInfo, AppList, FindApp, ListApps

F = TypeVar("F", bound=Callable[..., Any])

GAP = "  "


def env_option(function: F) -> F:
    """`-e, --env`: the environment to look at."""
    return click.option(
        "-e", "--env", "environment", default="", help="The environment; the current one unless given."
    )(function)


def json_option(function: F) -> F:
    """`--json`: for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def ask(message: Any) -> Any:
    """The server's answer. A refusal ends the command with its sentence."""
    try:
        return link.current().request(message)[0]
    except Error as error:
        raise click.ClickException(str(error)) from None


class Found(NamedTuple):
    """An app that a command names."""

    app_id: str
    name: str
    state: str
    environment: str


def find_app(named: str, environment: str) -> Found:
    """The app of an id; or of a name the deployed one, else the newest that runs, else the newest that has ended."""
    if named.startswith("ap-"):
        app: AppCreated = ask(FindApp(named))
        return Found(app.app_id, app.name, app.state, app.environment)
    listed: AppList = ask(ListApps(config.environment(environment)))
    rank = {"deployed": 0, "stopped": 2}
    apps = sorted(
        (app for app in listed.apps if app.name == named),
        key=lambda app: (rank.get(app.state, 1), -app.created_at),
    )
    if not apps:
        raise click.ClickException(_no_app(named, environment, listed.apps))
    return Found(apps[0].app_id, apps[0].name, apps[0].state, apps[0].environment)


def _no_app(named: str, environment: str, apps: Sequence[AppInfo]) -> str:
    names = sorted({app.name for app in apps})
    there = f"there are: {', '.join(names)}" if names else "there is none"
    where = apps[0].environment if apps else config.environment(environment) or "main"
    return f"there is no app {named!r} in environment {where!r}; {there}"


def show_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, as_json: bool, nothing: str) -> None:
    """Prints rows under their columns; a column that is empty in each row is left out, but for JSON.

    `nothing` is said, on stderr, where there are no rows.
    """
    if as_json:
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], indent=2))
        return
    if not rows:
        click.echo(nothing, err=True)
        return
    shown = [place for place in range(len(columns)) if any(row[place] for row in rows)]
    widths = {place: max(len(columns[place]), *(len(row[place]) for row in rows)) for place in shown}
    heading = GAP.join(columns[place].ljust(widths[place]) for place in shown)
    click.secho(heading.rstrip(), bold=True)
    for row in rows:
        click.echo(GAP.join(row[place].ljust(widths[place]) for place in shown).rstrip())


def moment(at: float) -> str:
    """A time of day, here: `2026-11-25 06:00:00+01:00`; nothing for 0."""
    return datetime.fromtimestamp(at).astimezone().isoformat(" ", "seconds") if at else ""


def confirm(question: str, *, yes: bool) -> None:
    """Asks before something is ended. Where nobody can answer, `--yes` is needed."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Say --yes where nobody can be asked.")
    click.confirm(question, abort=True)


def now() -> float:
    """Seconds since 1970."""
    return time.time()
