"""`ionian config`: the settings of this machine."""

from __future__ import annotations

import json

import click

from .. import config
from ..exception import Error

SECRET = ("token", "token_secret")


@click.group(name="config")
def command() -> None:
    """Settings: IONIAN_… variables, else the active profile of ~/.ionian.toml, else the defaults."""


@command.command("show", short_help="Show the settings that count here.")
@click.option("--redact/--no-redact", default=True, help="Hide tokens (the default).")
@click.option("--json", "as_json", is_flag=True, hidden=True)  # it is JSON anyway
def show(redact: bool, as_json: bool) -> None:
    """Prints, as JSON, the settings that count in this folder and environment."""
    try:
        settings = {name: config.get(name) for name in config.DEFAULTS}
    except Error as error:
        raise click.ClickException(str(error)) from None
    for name in SECRET if redact else ():
        settings[name] = "***" if settings[name] else ""
    click.echo(json.dumps({"profile": config.active_profile(), **settings}, indent=2))


@command.command("set-environment", short_help="Choose the environment of the active profile.")
@click.argument("environment_name")
def set_environment(environment_name: str) -> None:
    """Makes ENVIRONMENT_NAME the one that counts where none is named. It has to be there."""
    from ..protocol.apps import ListApps
    from .lists import ask

    ask(ListApps(environment_name, stopped=False))  # refused where there is no such environment
    _store("environment", environment_name)
    click.echo(f"✓ The environment of profile {config.active_profile()} is {environment_name}.")


@command.command("set", hidden=True)
@click.argument("key")
@click.argument("value")
def set_key(key: str, value: str) -> None:
    """Sets KEY of the active profile; an empty VALUE takes it away."""
    if key not in config.DEFAULTS:
        raise click.UsageError(f"there is no setting {key!r}; there are: {', '.join(config.DEFAULTS)}")
    _store(key, value)


def _store(key: str, value: str) -> None:
    from ..client import profiles

    try:
        profiles.store(config.active_profile(), {key: value or None})
    except Error as error:
        raise click.ClickException(str(error)) from None
