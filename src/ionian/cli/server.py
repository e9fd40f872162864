"""`ionian server`: the control plane, in the foreground or in the background."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import click

from ..exception import Error
from .install import install, uninstall
from .loglevel import set_up_logs
from .web_options import web_options

if TYPE_CHECKING:
    from pathlib import Path

    from ..machine.state import StateFolder

STOP_S = 30.0
"""So long a server may take to end its containers and write what it knows."""


@click.group(name="server", invoke_without_command=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=0, help="The port; 0 takes one that is free.")
@click.option("--database", default="", help="A SQLAlchemy URL; SQLite in the state folder unless given.")
@click.option("--no-worker", is_flag=True, help="Start no worker on this machine.")
@click.option(
    "--no-gpu", is_flag=True, help="The worker on this machine ignores what functions ask for in GPUs."
)
@web_options
@click.option("--insecure", is_flag=True, help="Listen beyond this machine without TLS.")
@click.option("--delegated", is_flag=True, hidden=True)  # in a systemd unit with Delegate=yes
@click.pass_context
def command(
    ctx: click.Context,
    host: str,
    port: int,
    database: str,
    no_worker: bool,
    no_gpu: bool,
    insecure: bool,
    delegated: bool,
    **web: Any,
) -> None:
    """Runs a server until Ctrl-C. `start`, `stop` and `status` are about one in the background, `install` and
    `uninstall` about one that systemd runs."""
    if ctx.invoked_subcommand is not None:
        return
    from ..server.main import CannotServe, Options, serve

    set_up_logs()
    if delegated:  # out of the unit's own cgroup: one with processes can't have controllers for containers
        from ..worker.sandbox.cgroup import writable_roots

        writable_roots()
    options = Options(
        _state(),
        host=host,
        port=port,
        database=database,
        local=not no_worker,
        worker_options=["--no-gpu"] if no_gpu else [],
        insecure=insecure,
        **web,
    )
    try:
        serve(options)
    except CannotServe as error:
        raise click.ClickException(str(error)) from None


@command.command(short_help="Start a server in the background, which stays.")
@click.option(
    "--no-gpu", is_flag=True, help="The worker on this machine ignores what functions ask for in GPUs."
)
def start(no_gpu: bool) -> None:
    """Starts a server in the background, which stays until `ionian server stop`."""
    from ..client.local import local_server, running
    from ..machine.state import STAY

    state = _state()
    already = running(state.runtime)
    local_server(state, ("--idle", "0", *(["--no-gpu"] if no_gpu else [])))
    (state.runtime / STAY).touch()  # one that a run started would end when idle
    facts = _facts(state)
    url = facts["url"] if facts is not None else "?"
    click.echo(f"Ionian server at {url}{' (it ran already)' if already else ''}")


@command.command(short_help="Stop it, its worker and all containers.")
def stop() -> None:
    """Stops the server in the background, its worker and all containers."""
    from ..client.local import START_S, held
    from ..machine.state import STARTING

    state = _state()
    runtime = state.runtime
    _wait_while(runtime / STARTING, START_S, "a server is starting, and not ready after {:.0f} s; try again")
    lock = runtime / "server.lock"
    if not held(lock):
        click.echo("No server runs.")
        return
    pid = int(lock.read_text() or (_facts(state) or {})["pid"])  # one of an earlier version wrote no number
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    _wait_while(lock, STOP_S, f"the server (process {pid}) has not ended within {{:.0f}} s")
    click.echo("The server has stopped.")


def _wait_while(lock: Path, timeout_s: float, otherwise: str) -> None:
    from ..client.local import held

    end = time.monotonic() + timeout_s
    while held(lock):
        if time.monotonic() > end:
            raise click.ClickException(otherwise.format(timeout_s))
        time.sleep(0.02)


@command.command(short_help="Say whether one runs on this machine.")
@click.option(
    "--tokens", is_flag=True, help="Show how clients and workers elsewhere join it. Keep it to yourself."
)
def status(tokens: bool) -> None:
    """Says whether a server runs on this machine; ends with 1 where none does."""
    from ..client.local import held, running

    state = _state()
    facts = _facts(state)
    try:
        there = running(state.runtime)
    except Error as error:  # one of another version: it runs, and can be stopped
        raise click.ClickException(str(error)) from None
    if there is None or facts is None or not held(state.runtime / "server.lock"):
        click.echo(f"No server runs. Its folder is {state.root}")
        raise click.exceptions.Exit(1)
    url = facts["url"]
    click.echo(
        f"Ionian {facts['version']} at {url}, process {facts['pid']}\nfolder {state.root}\nlog    {state.logs / 'server.log'}"
    )
    if tokens:
        from ..server.auth import local_token

        click.echo(
            f"client IONIAN_SERVER_URL={url} IONIAN_TOKEN={local_token(state, 'client')}\n"
            f"worker IONIAN_TOKEN={local_token(state, 'worker')} ionian worker --server {url}"
        )


command.add_command(install)
command.add_command(uninstall)


def _state() -> StateFolder:
    from ..machine.state import StateError, StateFolder

    try:
        state = StateFolder.default()
        _ = state.runtime
    except StateError as error:
        raise click.ClickException(str(error)) from None
    return state


def local_url() -> str:
    """Where the server of this machine listens; "" where none runs."""
    facts = _facts(_state())
    return str(facts["url"]) if facts is not None else ""


def _facts(state: StateFolder) -> dict[str, Any] | None:
    try:
        return json.loads((state.runtime / "server.json").read_text())
    except (OSError, ValueError):
        return None
