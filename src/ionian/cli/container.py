"""`ionian container`: the containers of a server."""

from __future__ import annotations

from typing import Any

import click

from .. import config
from ..protocol.apps import ContainerInfo, ContainerList, EndContainer, ListContainers
from ..protocol.tags import shown
from . import logs as log_lines
from .container_exec import container_exec
from .lists import ask, confirm, env_option, find_app, json_option, moment, now, show_table


@click.group(name="container")
def command() -> None:
    """Containers: list, logs, exec, stop."""


@command.command("list", short_help="List what is there, and what is wanted.")
@click.option("--app-id", "--app", "app", default="", help="Of this app alone, by its id or name.")
@env_option
@json_option
def list_containers(app: str, environment: str, as_json: bool) -> None:
    """Lists the containers that are there, and those that are wanted and not there, with the reason."""
    app_id = find_app(app, environment).app_id if app else ""
    listed: ContainerList = ask(ListContainers(config.environment(environment), app_id))
    columns = (
        *("Container ID", "App ID", "App Name", "Function", "State", "Start Time", "Inputs"),
        *("Version", "Worker", "GPUs", "Start", "Reason"),
    )
    rows = [_row(info) for info in listed.containers]
    if as_json:  # too wide for a terminal
        columns = (*columns, "Start Parts", "Cluster ID")
        rows = [
            (*row, _parts(info), info.cluster_id) for row, info in zip(rows, listed.containers, strict=True)
        ]
    show_table(columns, rows, as_json=as_json, nothing="No container is there, and none is wanted.")


def _row(info: ContainerInfo) -> tuple[str, ...]:
    return (
        info.container_id,
        info.app_id,
        info.app_name,
        shown(info.tag) + (f" (rank {info.rank})" if info.cluster_id else ""),
        info.state,
        moment(now() - info.age_s) if info.container_id else "Pending",
        str(info.inputs),
        f"v{info.version}" if info.version else "",
        info.worker,
        ", ".join(info.devices),
        f"{info.start.kind} {sum(info.start.parts.values()) * 1e3:.0f} ms" if info.start is not None else "",
        info.reason,
    )


def _parts(info: ContainerInfo) -> str:
    """The milliseconds of each part of its start, and why it is no fork of a template."""
    if info.start is None:
        return ""
    parts = ", ".join(f"{name} {seconds * 1e3:.1f}" for name, seconds in info.start.parts.items())
    return "; ".join(text for text in (parts, info.start.fallback, info.start.why_fresh) if text)


@command.command("logs", short_help="Show what a container printed.")
@click.argument("container_id", metavar="CONTAINER")
@click.option("--all", "everything", is_flag=True, help="All lines that are kept.")
@log_lines.call_option
@log_lines.options
def logs(container_id: str, **options: Any) -> None:
    """Shows what a container printed, also one that has ended: CONTAINER is an id such as ta-…"""
    log_lines.show(container_id=container_id, **options)


@command.command("stop", short_help="End a container.")
@click.argument("container_id", metavar="CONTAINER")
@click.option("--graceful", is_flag=True, help="Let it end what it runs first.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
def stop(container_id: str, graceful: bool, yes: bool) -> None:
    """Ends a container; what it ran runs again elsewhere, and is not counted as a retry."""
    runs = "It ends with what it runs." if graceful else "What it runs will run again elsewhere."
    confirm(f"Stop container {container_id}? {runs}", yes=yes)
    ask(EndContainer(container_id, graceful))
    click.echo(
        f"✓ {'Told' if graceful else 'Stopped'} container {container_id}{' to end' if graceful else ''}."
    )


command.add_command(container_exec)
