"""`ionian call`: spawned calls, and why one has no result yet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import click

from .. import config
from ..protocol.calls import (
    CallExplained,
    CallInfo,
    CallList,
    ExplainCall,
    GetCallInfo,
    ListCalls,
    ListedCall,
)
from ..protocol.tags import shown
from . import logs as log_lines
from .lists import ask, env_option, find_app, json_option, moment, show_table

Status = Literal["pending", "done", "cancelled"]
STATUSES = ("pending", "done", "cancelled")


@click.group(name="call")
def command() -> None:
    """Spawned calls: what they are, and why they have no result yet."""


@command.command("list", short_help="List spawned and scheduled calls, newest first.")
@click.option("--app-id", "--app", "app", default="", help="Of this app alone, by its id or name.")
@click.option("--function", default="", help="Of this function, class or method alone, by its name.")
@click.option("--status", type=click.Choice(STATUSES), default=None, help="Those of this status alone.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    help="So many at most, newest first.",
)
@env_option
@json_option
def list_calls(
    app: str, function: str, status: Status | None, limit: int, environment: str, as_json: bool
) -> None:
    """Lists spawned and scheduled calls, newest first: those that go on, and those of the last 30 days."""
    app_id = find_app(app, environment).app_id if app else ""
    listed: CallList = ask(ListCalls(config.environment(environment), app_id, function, status or "", limit))
    show_calls(listed.calls, as_json=as_json)


def show_calls(calls: Sequence[ListedCall], *, as_json: bool) -> None:
    """Prints calls, one a line."""
    rows = [
        (
            call.call_id,
            call.app_id,
            call.app_name,
            shown(call.tag),
            call.status,
            f"{call.done:,} of {call.total:,}",
            moment(call.created_at),
            moment(call.finished_at),
            call.caller or "schedule",
        )
        for call in calls
    ]
    columns = (
        *("Call ID", "App ID", "App Name", "Function", "Status", "Inputs Done", "Created at", "Finished at"),
        "Caller",
    )
    show_table(columns, rows, as_json=as_json, nothing="There is no such call.")


@command.command("why", short_help="Say why a call has no result yet.")
@click.argument("call_id", metavar="CALL")
@json_option
def why(call_id: str, as_json: bool) -> None:
    """Says why a call has no result yet: what runs, what waits and for what. CALL is an id such as fc-…"""
    info: CallInfo = ask(GetCallInfo(call_id))
    explained: CallExplained = ask(ExplainCall(call_id))
    rows = [
        (
            reason.state,
            f"{reason.count:,}",
            f"{call_id.replace('fc-', 'in-', 1)}:{reason.first}",
            str(reason.place or ""),
            reason.container_id,
            reason.reason,
        )
        for reason in explained.reasons
    ]
    if not as_json:
        cancelled = ", cancelled" if info.cancelled else ""
        done = f"{info.done:,} of {info.total:,} inputs done{cancelled}"
        click.echo(f"{explained.tag} ({call_id}), spawned {moment(info.created_at)}: {done}")
    columns = ("State", "Inputs", "First", "Place", "Container ID", "Reason")
    show_table(columns, rows, as_json=as_json, nothing="It waits for nothing.")


@command.command("logs", short_help="Show what a call printed.")
@click.argument("call", metavar="CALL")
@click.option("--all", "everything", is_flag=True, help="All lines that are kept.")
@log_lines.options
def logs(call: str, **options: Any) -> None:
    """Shows what a call printed, or one input of it: CALL is an id such as fc-… or in-…:0"""
    log_lines.show(call=call, **options)
