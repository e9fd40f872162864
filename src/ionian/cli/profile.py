"""`ionian profile`: the servers, tokens and environments that the file of profiles names."""

from __future__ import annotations

import click

from .. import config
from ..exception import Error
from .lists import json_option, show_table


@click.group(name="profile")
def command() -> None:
    """Profiles: which server is used, with which token and environment. They are in ~/.ionian.toml."""


@command.command("list", short_help="List the profiles.")
@json_option
def list_profiles(as_json: bool) -> None:
    """Lists the profiles of the file; the active one counts where neither --profile nor IONIAN_PROFILE names one."""
    try:
        profiles, active = config.profiles(), config.active_profile()
    except Error as error:
        raise click.ClickException(str(error)) from None
    rows = [
        (
            "•" if name == active else "",
            name,
            str(values.get("server_url", "") or "this machine"),
            str(values.get("environment", "")),
        )
        for name, values in profiles.items()
    ]
    columns = ("Active", "Profile", "Server", "Environment")
    show_table(columns, rows, as_json=as_json, nothing=f"There is no profile in {config.path()}.")


@command.command("current", short_help="Say which profile counts.")
def current() -> None:
    """Prints the name of the profile that counts."""
    try:
        click.echo(config.active_profile())
    except Error as error:
        raise click.ClickException(str(error)) from None


@command.command("activate", short_help="Make a profile the one that counts.")
@click.argument("profile")
def activate(profile: str) -> None:
    """Makes PROFILE the one that counts."""
    from ..client import profiles

    try:
        profiles.activate(profile)
    except Error as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"✓ Profile {profile} is active.")
