"""`ionian setup`: which server this machine uses."""

from __future__ import annotations

import sys

import click

from .. import config
from ..exception import Error
from .lists import ask
from .token import keep


@click.command()
@click.option(
    "--server-url", default=None, help="The server, as in wss://host:4100; empty: this machine's own."
)
@click.option("--token", default=None, help="A client's token, as `ionian token new` shows it.")
@click.option("--profile", default=None, help="The profile to write; the current one unless given.")
def command(server_url: str | None, token: str | None, profile: str | None) -> None:
    """Chooses the server that programs on this machine use, and tries it.

    Without a server of others, one on this machine is used: it starts when it is needed.
    """
    from ..client import profiles
    from ..protocol.environments import FindEnvironment

    chosen = profile or config.active_profile()
    if server_url is None and sys.stdin.isatty():
        server_url = click.prompt(
            "Server URL (empty: a server on this machine)", default="", show_default=False
        )
    try:
        if server_url:
            token = token or click.prompt("Token (ti-….…)", hide_input=True)
            keep(chosen, server_url, token, activate=True, verify=True)
            return
        if config.path().exists() and chosen in config.profiles() and server_url is not None:
            profiles.store(chosen, {"server_url": None, "token": None}, activate=True)
    except Error as error:
        raise click.ClickException(str(error)) from None
    environment = ask(FindEnvironment(config.environment(None))).name
    where = config.get("server_url") or "this machine"
    click.echo(f"✓ The server of {where} answers; programs run in its environment {environment!r}.")
    if not config.get("server_url"):
        click.echo("`ionian doctor` says what this machine can do, `ionian run FILE` runs a program.")
