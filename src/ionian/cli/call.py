"""`ionian call`: why a spawned call has no result yet."""

from __future__ import annotations

import click

from ..protocol.calls import CallExplained, CallInfo, ExplainCall, GetCallInfo
from .lists import ask, json_option, moment, show_table


@click.group(name="call")
def command() -> None:
    """Spawned calls: what they are, and why they have no result yet."""


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
