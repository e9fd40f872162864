"""`ionian dict`: dicts that the server keeps."""

from __future__ import annotations

import itertools

import click

from ..dict import Dict
from .lists import confirm, env_option, json_option, show_table
from .named import add_commands, said


@click.group(name="dict")
def command() -> None:
    """Dicts: create, list, get, items, clear, delete.

    What is shown is unpickled here: its classes must be installed, and whoever may write to a dict can run code in who reads it.
    """


add_commands(command, Dict)


@command.command("get", short_help="Print the value of a key.")
@click.argument("name")
@click.argument("key")
@env_option
def get(name: str, key: str, environment: str) -> None:
    """Prints the value of a key, which is taken as a string."""
    with said():
        try:
            click.echo(Dict.from_name(name, environment_name=environment or None)[key])
        except KeyError:
            raise click.ClickException(f"the dict {name} has no key {key!r}") from None


@command.command("items", short_help="Print entries.")
@click.argument("name")
@click.argument("n", type=click.IntRange(min=1), default=20)
@click.option("-a", "--all", "everything", is_flag=True, help="All entries, and not N.")
@click.option("-r", "--repr", "use_repr", is_flag=True, help="Print keys and values as Python writes them.")
@json_option
@env_option
def items(name: str, n: int, everything: bool, use_repr: bool, as_json: bool, environment: str) -> None:
    """Prints entries of a dict, N of them (20)."""
    show = repr if use_repr else str
    with said():
        found = Dict.from_name(name, environment_name=environment or None).items()
        rows = [
            (show(key), show(value)) for key, value in itertools.islice(found, None if everything else n + 1)
        ]
    more = not everything and len(rows) > n
    show_table(("Key", "Value"), rows[:n] if more else rows, as_json=as_json, nothing="It is empty.")
    if more and not as_json:
        click.echo(f"There are more: -a shows all, {2 * n} twice as many.", err=True)


@command.command("clear", short_help="Delete all entries.")
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@env_option
def clear(name: str, yes: bool, environment: str) -> None:
    """Deletes all entries of a dict."""
    confirm(f"Delete all entries of the dict {name}? There is no way back.", yes=yes)
    with said():
        Dict.from_name(name, environment_name=environment or None).clear()
    click.echo(f"✓ The dict {name} is empty.")
