"""`ionian image shell`: a look into an image."""

from __future__ import annotations

from typing import Any

import click

from . import session
from . import shell as shells
from .image_names import find


@click.command("shell", short_help="Open a shell in a container of an image.")
@click.argument("image", metavar="IMAGE")
@click.option("-c", "--cmd", default=shells.SHELL, show_default=True, help="What to run.")
@click.option("-e", "--env", "environment", default=None, help="The environment to run in.")
@shells.container_options
@click.pass_context
def shell(ctx: click.Context, image: str, environment: str | None, **options: Any) -> None:
    """Opens a shell in a new container of IMAGE, an id or a name, as `ionian shell im-…` does. What it writes is gone with it.

    Exits with the program's own code.
    """
    with session.started(environment=environment):
        info = find(image, environment or "")
    ctx.invoke(shells.command, ref=info.image_id, environment=environment or info.environment, **options)
