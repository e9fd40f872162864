"""`ionian image`: images that were built, their names, and what their builds printed."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import click

from .. import config
from ..app import App
from ..client import output
from ..client.images import APP_NAME
from ..client.output.words import duration, size
from ..client.runner import AppRun
from ..exception import Error
from ..image import Image
from ..protocol.images import (
    ImageList,
    ImageLogs,
    ListImages,
    ReadImageLogs,
)
from ..secret import Secret
from . import image_names
from .image_names import NAME, find, split
from .image_removal import prune, rm
from .image_shell import shell
from .lists import ask, env_option, json_option, moment, show_table


@click.group(name="image")
def command() -> None:
    """Images: build, pull, list, history, logs, shell, rm, prune, names."""


command.add_command(image_names.command)
command.add_command(rm)
command.add_command(prune)
command.add_command(shell)


# --- made

VARIABLES = "VAR[,VAR...]"
FROM_ENV = "Variables of this shell with the registry's login, such as REGISTRY_USERNAME,REGISTRY_PASSWORD."


@command.command("build", short_help="Build an image of a Dockerfile and publish it.")
@click.argument("context_dir", type=click.Path(exists=True, file_okay=False))
@click.option("-t", "--name", required=True, metavar=NAME, help="The name that it gets.")
@click.option(
    "-f",
    "--file",
    "dockerfile",
    type=click.Path(exists=True, dir_okay=False),
    default=None,
    help="The Dockerfile; CONTEXT_DIR/Dockerfile unless given.",
)
@click.option("--registry-secret", "secret_name", default="", help="A secret with the registry's login.")
@click.option("--registry-secret-from-env", "variables", default="", metavar=VARIABLES, help=FROM_ENV)
@click.option("--force-build", is_flag=True, help="Build every step anew.")
@env_option
def build(
    context_dir: str,
    name: str,
    dockerfile: str | None,
    secret_name: str,
    variables: str,
    force_build: bool,
    environment: str,
) -> None:
    """Builds an image of a Dockerfile, with the files of CONTEXT_DIR, and publishes it as NAME. The registry's login is for what its
    FROM and COPY --from fetch.
    """
    where, full = split(name, environment)
    file = Path(dockerfile) if dockerfile else Path(context_dir, "Dockerfile")
    if not file.is_file():
        raise click.UsageError(f"there is no {file}; name the Dockerfile by --file")
    with said():
        login = registry_secret(secret_name, variables, environment)
        image = Image.from_dockerfile(
            file, context_dir=context_dir, registry_secret=login, force_build=force_build
        )
        make(image, environment, where, full)


@command.command("pull", short_help="Fetch an image of a registry.")
@click.argument("image_ref")
@click.option("--name", default="", metavar=NAME, help="A name that it gets.")
@click.option("--registry-secret", "secret_name", default="", help="A secret with the registry's login.")
@click.option("--registry-secret-from-env", "variables", default="", metavar=VARIABLES, help=FROM_ENV)
@click.option("--force-build", is_flag=True, help="Fetch it again, though it is there.")
@env_option
def pull(
    image_ref: str, name: str, secret_name: str, variables: str, force_build: bool, environment: str
) -> None:
    """Fetches an image of a registry, as modal.Image.from_registry(IMAGE_REF) names it."""
    where, full = split(name, environment) if name else ("", "")
    with said():
        secret = registry_secret(secret_name, variables, environment)
        make(Image.from_registry(image_ref, secret, force_build=force_build), environment, where, full)


def registry_secret(name: str, variables: str, environment: str) -> Secret | None:
    """The secret with a registry's login that the options name."""
    if name and variables:
        raise click.UsageError(
            "expected one of --registry-secret and --registry-secret-from-env, got both of them"
        )
    if name:
        return Secret.from_name(name, environment_name=environment or None)
    if variables:
        return Secret.from_local_environ([each.strip() for each in variables.split(",")])
    return None


def make(image: Image, environment: str, where: str, name: str) -> None:
    """Builds an image in an environment, shows how it goes, and gives it a name, if that isn't ""."""
    with (
        output.enable_output(),
        AppRun(App(APP_NAME), APP_NAME, environment=config.environment(environment), quiet=True) as app,
    ):
        image.build(app)
        if name:
            image.publish(name, environment_name=where or None)
    click.echo(f"✓ Image {image.object_id}{f' is {name}' if name else ''}")


# --- seen


@command.command("list", short_help="List the images of an environment.")
@env_option
@json_option
def list_images(environment: str, as_json: bool) -> None:
    """Lists the images that were built for an environment, the newest first."""
    listed: ImageList = ask(ListImages(config.environment(environment)))
    columns = (
        "Image ID",
        "Names",
        "State",
        "App",
        "Python",
        "Size",
        "Built at",
        "Took",
        "Built by",
        "Used at",
    )
    rows = [
        (
            info.image_id,
            ", ".join(info.names),
            info.state,
            info.app,
            info.python,
            size(info.size) if info.size else "",
            moment(info.built_at),
            duration(info.seconds) if info.seconds else "",
            info.built_by,
            moment(info.used_at),
        )
        for info in listed.images
    ]
    show_table(columns, rows, as_json=as_json, nothing="There is no image.")


@command.command("history", short_help="List the steps of an image.")
@click.argument("image")
@env_option
@json_option
def history(image: str, environment: str, as_json: bool) -> None:
    """Lists the steps of IMAGE, an id or a name: what was made when, how long it took, how much of the disk it takes."""
    info = find(image, environment)
    logs: ImageLogs = ask(ReadImageLogs(info.image_id, info.environment))
    rows = [
        (
            str(number),
            step.text or " ".join((instruction.op, *instruction.args))[:200],
            step.state,
            moment(step.began),
            duration(step.seconds) if step.began else "",
            size(step.size) if step.size else "",
        )
        for number, (step, instruction) in enumerate(zip(logs.steps, info.image.instructions, strict=True), 1)
    ]
    columns = ("Step", "Instruction", "State", "Made at", "Took", "Size")
    show_table(columns, rows, as_json=as_json, nothing=f"Image {info.image_id} has no steps.")


@command.command("logs", short_help="Show what the build of an image printed.")
@click.argument("image_id", metavar="IMAGE")
@click.option(
    "--layers", type=click.IntRange(1), default=None, help="Of so many last steps; of one unless given."
)
@click.option("--all", "everything", is_flag=True, help="Of all steps.")
@env_option
def logs(image_id: str, layers: int | None, everything: bool, environment: str) -> None:
    """Shows what the build of IMAGE printed, an id or a name; also of one that failed."""
    if everything and layers is not None:
        raise click.UsageError("expected one of --layers and --all, got both of them")
    info = find(image_id, environment)
    steps = 0 if everything else layers or 1
    found: ImageLogs = ask(ReadImageLogs(info.image_id, info.environment, steps))
    for line in (line for step in found.steps for line in step.lines):
        click.echo(line.text)
    if not any(step.lines for step in found.steps):
        click.echo(f"Nothing is kept of what the build of {info.image_id} printed.", err=True)


# --- within


@contextmanager
def said() -> Generator[None]:
    """A refusal within ends the command with its sentence."""
    try:
        yield
    except (Error, OSError) as error:
        raise click.ClickException(str(error)) from None
