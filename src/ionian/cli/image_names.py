"""`ionian image names`: names of images; and the image that a name or an id means."""

from __future__ import annotations

import json

import click

from .. import config
from ..protocol.images import (
    EXPECTED_IMAGE,
    DeleteImageName,
    FindImage,
    ImageInfo,
    ImageNames,
    ListImageNames,
    ReadImageName,
    is_image_id,
    split_name,
)
from .lists import ask, confirm, env_option, json_option, moment, show_table

NAME = "[ENV/]NAME[:TAG]"


@click.group("names")
def command() -> None:
    """Names of images: list, history, delete."""


@command.command("list", short_help="List the names of an environment.")
@click.option("--prefix", default="", help="Those that begin so.")
@env_option
@json_option
def list_names(prefix: str, environment: str, as_json: bool) -> None:
    """Lists the names of images, and what they mean."""
    listed: ImageNames = ask(ListImageNames(config.environment(environment), prefix))
    rows = [
        (each.name, each.image_id, moment(each.created_at), moment(each.updated_at), each.published_by)
        for each in listed.names
    ]
    columns = ("Name", "Image ID", "Created at", "Updated at", "Published by")
    show_table(columns, rows, as_json=as_json, nothing="No image has a name.")


@command.command("history", short_help="List what a name has meant.")
@click.argument("name", metavar=NAME)
@env_option
@json_option
def name_history(name: str, environment: str, as_json: bool) -> None:
    """Lists the images that NAME has meant, the newest first."""
    where, full = split(name, environment)
    listed: ImageNames = ask(ReadImageName(full, config.environment(where)))
    rows = [(each.image_id, moment(each.updated_at), each.published_by) for each in listed.names]
    show_table(("Image ID", "Published at", "Published by"), rows, as_json=as_json, nothing="")


@command.command("delete", short_help="Forget a name.")
@click.argument("name", metavar="NAME:TAG")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@env_option
def delete_name(name: str, yes: bool, environment: str) -> None:
    """Forgets a name and what it has meant; the images stay."""
    if ":" not in name:
        raise click.UsageError(f"expected a name with its tag, such as {name}:latest")
    where, full = split(name, environment)
    confirm(f"Forget the name {full}? Programs that say it will not find it.", yes=yes)
    ask(DeleteImageName(full, config.environment(where)))
    click.echo(f"✓ The name {full} is gone.")


# --- what a name means


def find(image: str, environment: str) -> ImageInfo:
    """The image of an id or of a name."""
    if is_image_id(image):
        return ask(FindImage(image, environment=environment))
    where, full = split(image, environment)
    return ask(FindImage(name=full, environment=config.environment(where)))


def split(name: str, environment: str) -> tuple[str, str]:
    """The environment and the "name:tag" that a name means."""
    parts = split_name(name)
    if parts is None:
        raise click.UsageError(f"expected {EXPECTED_IMAGE}, got {json.dumps(name)}")
    if environment and parts[0] not in ("", environment):
        raise click.UsageError(f"{name} names another environment than --env {environment}")
    return parts[0] or environment, parts[1]
