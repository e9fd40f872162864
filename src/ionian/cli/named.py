"""Commands that every kind of named object has: create, list, delete."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from .. import config
from ..exception import Error
from ..named_object import NamedObject
from ..protocol.objects import ListObjects, ObjectInfo, ObjectList
from .lists import ask, confirm, env_option, json_option, moment, show_table


@contextmanager
def said() -> Generator[None]:
    """A refusal within ends the command with its sentence."""
    try:
        yield
    except Error as error:
        raise click.ClickException(str(error)) from None


def add_commands(
    group: click.Group,
    kind: type[NamedObject],
    columns: Sequence[str] = (),
    row: Callable[[ObjectInfo], Sequence[str]] = lambda info: (),
    warning: Callable[[str, str], str] = lambda name, environment: "",
) -> None:
    """Adds `create`, `list` and `delete`; the list has these columns more, and `warning` is said before one is deleted."""
    word = kind._kind  # pyright: ignore[reportPrivateUsage]
    objects: Any = getattr(kind, "objects")  # noqa: B009

    @group.command("create", short_help=f"Make a {word}.")
    @click.argument("name")
    @env_option
    def create(name: str, environment: str) -> None:
        with said():
            objects.create(name, allow_existing=True, environment_name=environment or None)
        click.echo(f"✓ The {word} {name} is there.")

    @group.command("list", short_help=f"List the {word}s of an environment.")
    @env_option
    @json_option
    def list_(environment: str, as_json: bool) -> None:
        listed: ObjectList = ask(ListObjects(word, config.environment(environment)))
        rows = [(info.name, moment(info.created_at), info.created_by, *row(info)) for info in listed.objects]
        names = ("Name", "Created at", "Created by", *columns)
        show_table(names, rows, as_json=as_json, nothing=f"There is no {word}.")

    @group.command("delete", short_help=f"Delete a {word} with all that is in it.")
    @click.argument("name")
    @click.option("--allow-missing", is_flag=True, help="It is no error if there is none.")
    @click.option("-y", "--yes", is_flag=True, help="Don't ask.")
    @env_option
    def delete(name: str, allow_missing: bool, yes: bool, environment: str) -> None:
        said_before = "" if yes else warning(name, environment)
        confirm(
            f"Delete the {word} {name} with all that is in it? {said_before}There is no way back.", yes=yes
        )
        with said():
            objects.delete(name, allow_missing=allow_missing, environment_name=environment or None)
        click.echo(f"✓ The {word} {name} is gone.")

    _document(create, f"Makes a {word} of that name; one that is there stays as it is.")
    _document(list_, f"Lists the {word}s of an environment, the newest first.")
    _document(delete, f"Deletes a {word} with all that is in it.")


def _document(command: click.Command, text: str) -> None:
    command.help = text
