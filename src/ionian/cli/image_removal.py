"""`ionian image rm` and `prune`: images that go, and those that stay because something needs them."""

from __future__ import annotations

import json

import click

from ..client.output.words import count, size
from ..protocol.images import ImagesPruned, PruneImages, RemoveImage
from .image_names import find
from .lists import ask, confirm, env_option, json_option


@click.command("rm", short_help="Remove images.")
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("-f", "--force", is_flag=True, help="Forget its names, too.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@env_option
def rm(images: tuple[str, ...], force: bool, yes: bool, environment: str) -> None:
    """Removes each IMAGE, an id or a name, from an environment; from the disks of all workers, too, when no other environment has
    it. One that an app needs which runs or is deployed stays, and so does one that has a name, unless it is --force. A program
    that uses one again builds it again.
    """
    found = [find(image, environment) for image in images]
    confirm(f"Remove {count(len(found), 'image')}: {', '.join(images)}?", yes=yes)
    for info in found:
        done: ImagesPruned = ask(RemoveImage(info.image_id, info.environment, force))
        click.echo(f"✓ Image {info.image_id} is gone: {size(done.freed)} freed")


@click.command("prune", short_help="Remove the images that nothing needs.")
@click.option(
    "--unused-for",
    "minutes",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Leave those that were used within so many minutes.",
)
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@json_option
def prune(minutes: int, yes: bool, as_json: bool) -> None:
    """Removes, on all workers and of all environments, the images that nothing needs: no app that runs or is deployed, no name, no
    container. A program that uses one again builds it again.
    """
    confirm("Remove all images that have no name and that no app uses?", yes=yes)
    done: ImagesPruned = ask(PruneImages(minutes * 60.0))
    if as_json:
        click.echo(
            json.dumps({"images": done.images, "freed": done.freed, "used": done.used, "busy": done.busy})
        )
        return
    if done.busy:
        click.echo("A worker is building an image, and removed nothing: try again when it is done.", err=True)
    click.echo(
        f"✓ {count(len(done.images), 'image')} removed: {size(done.freed)} freed, {size(done.used)} still used"
    )
