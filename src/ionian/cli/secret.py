"""`ionian secret`: secrets that have names, and the master key that seals them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from .. import config, link
from ..exception import Error, NotFoundError
from ..protocol.ids import new_id
from ..protocol.objects import DeleteObject, ObjectInfo
from ..protocol.secrets import (
    ListSecrets,
    MasterKeyRotated,
    PutNamedSecret,
    RotateMasterKey,
    SecretList,
)
from .lists import ask, confirm, env_option, json_option, moment, show_table


@click.group(name="secret")
def command() -> None:
    """Secrets: variables that containers get, sealed on the server, whose values nothing shows again."""


@command.command("list", short_help="List the secrets.")
@env_option
@json_option
def list_secrets(environment: str, as_json: bool) -> None:
    """Lists the secrets of an environment, newest first: never their values."""
    listed: SecretList = ask(ListSecrets(config.environment(environment)))
    rows = [
        (
            one.name,
            moment(one.created_at),
            one.created_by,
            moment(one.last_used_at),
            f"v{one.version}",
            moment(one.updated_at),
            ", ".join(one.apps),
            "its master key is lost: --force makes it anew" if one.lost else "",
        )
        for one in listed.secrets
    ]
    columns = ("Name", "Created at", "Created by", "Last used at", "Version", "Updated at", "Apps", "State")
    show_table(columns, rows, as_json=as_json, nothing="There is no secret.")


@command.command("create", short_help="Make a secret, or change one with --force.")
@click.argument("secret_name")
@click.argument("keyvalues", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--from-dotenv",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take the variables of a .env file.",
)
@click.option(
    "--from-json",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take those of a JSON file, an object of texts.",
)
@click.option("--force", is_flag=True, help="Where there is such a secret, give it these variables alone.")
@env_option
def create(
    secret_name: str,
    keyvalues: tuple[str, ...],
    from_dotenv: Path | None,
    from_json: Path | None,
    force: bool,
    environment: str,
) -> None:
    """Makes the secret SECRET_NAME of variables; later ones win: those of --from-json, --from-dotenv, KEY=VALUE.

    Other users of this machine see command lines: KEY=- reads the value from the editor, or from stdin where that is no
    terminal.
    """
    values: dict[str, str] = {}
    if from_json is not None:
        values |= _of_json(from_json)
    if from_dotenv is not None:
        values |= _of_dotenv(from_dotenv)
    values |= dict(_pair(text) for text in keyvalues)
    if not values:
        raise click.UsageError("a secret needs a variable: KEY=VALUE, --from-dotenv or --from-json")
    how = "replace" if force else "create"
    where = config.environment(environment)
    made: ObjectInfo = ask(PutNamedSecret(new_id("st"), secret_name, values, where, how))
    click.echo(f"✓ Secret {made.name} has {', '.join(sorted(values))}. In a program:")
    there = f", environment_name={made.environment!r}" if environment else ""
    click.echo(f'  @app.function(secrets=[modal.Secret.from_name("{made.name}"{there})])')


@command.command("delete", short_help="Delete a secret.")
@click.argument("name")
@click.option("--allow-missing", is_flag=True, help="Don't fail where there is none.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@env_option
def delete(name: str, allow_missing: bool, yes: bool, environment: str) -> None:
    """Deletes a secret for good. Containers of functions that have it can't start any more."""
    where = config.environment(environment)
    listed: SecretList = ask(ListSecrets(where))
    apps = [app for one in listed.secrets if one.name == name for app in one.apps]
    users = f" The containers of {', '.join(apps)} can't start without it." if apps else ""
    confirm(f"Delete secret {name}?{users}", yes=yes)
    try:
        link.current().request(DeleteObject("secret", name, where))
    except NotFoundError as error:
        if not allow_missing:
            raise click.ClickException(str(error)) from None
    except Error as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"✓ Deleted secret {name}.")


@command.command("rotate-key", short_help="Seal all secrets with another master key.")
def rotate_key() -> None:
    """Has another master key take the place of the server's: all secrets are sealed with it, while apps run on."""
    done: MasterKeyRotated = ask(RotateMasterKey())
    click.echo(f"✓ Master key {done.key_id} seals all secrets now ({done.wrapped} were sealed anew).")
    for key_id in done.former:
        outside = done.source.startswith("IONIAN_")
        what = f"can be taken out of {done.source}" if outside else f"is gone from {done.source}"
        click.echo(f"  Key {key_id} {what}. Backups of before need it.")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"expected KEY=VALUE, got {name!r} without '='")
    if value != "-":
        return name, value
    if not sys.stdin.isatty():
        return name, sys.stdin.read().rstrip("\n")
    written = click.edit(f"\n# The value of {name}; what begins with # is left out.\n")
    lines = [line for line in (written or "").splitlines() if not line.startswith("#")]
    value = "\n".join(lines).strip("\n")
    if not value:
        raise click.UsageError(f"no value was written for {name}")
    return name, value


def _of_dotenv(file: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    try:
        return {name: value for name, value in dotenv_values(file).items() if value is not None}
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{file} can't be read: {error}") from None


def _of_json(file: Path) -> dict[str, str]:
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):  # what the error says may hold a value
        raise click.UsageError(f"{file} can't be read as JSON") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        raise click.UsageError(f'{file}: expected an object of texts, such as {{"KEY": "value"}}')
    return found  # pyright: ignore[reportUnknownVariableType]
