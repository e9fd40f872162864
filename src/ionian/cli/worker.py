"""`ionian worker`: this machine joins a server."""

from __future__ import annotations

import os
import re

import click

from .. import config
from .loglevel import set_up_logs


@click.command()
@click.option(
    "--server", "url", required=True, help="Where the server is, as `ionian server` says at its start."
)
@click.option(
    "--token", default="", help="A worker's token. Better in IONIAN_TOKEN: other users see command lines."
)
@click.option(
    "--name", default="", help="What the server calls this worker; this machine's name unless given."
)
@click.option("--no-gpu", is_flag=True, help="Run functions that ask for a GPU without one.")
@click.option(
    "--volumes",
    default="",
    help="Where this machine has the server's folder of volumes mounted; the setting `volumes` unless given.",
)
def command(url: str, token: str, name: str, no_gpu: bool, volumes: str) -> None:
    """Runs a worker for a server until Ctrl-C."""
    from ..machine.state import StateError, StateFolder
    from ..worker.main import CannotWork, Options, work

    token = token or os.environ.get("IONIAN_TOKEN", "")
    if not token:
        raise click.UsageError(
            "a worker needs a token: --token, or IONIAN_TOKEN; `ionian server status --tokens` shows it where the "
            "server runs"
        )
    if not url.startswith(("ws://", "wss://")):
        raise click.UsageError(f"expected the server's URL, as in ws://host:4100, got {url!r}")
    set_up_logs()
    chosen = name or re.sub(r"[^A-Za-z0-9-]+", "-", os.uname().nodename).strip("-")[:32] or "worker"
    try:
        work(
            Options(
                StateFolder.default(),
                name=chosen,
                url=url,
                token=token,
                no_gpu=no_gpu,
                volumes=volumes or config.get("volumes"),
            )
        )
    except (CannotWork, StateError) as error:
        raise click.ClickException(str(error)) from None
