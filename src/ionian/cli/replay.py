"""`ionian replay`: a failed input again, in the same image and version of its app, at this terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from ..protocol.apps import ReplayStarted


@click.command("replay")
@click.argument("input_id", metavar="INPUT_ID")
@click.option("--no-debug", is_flag=True, help="Don't start pdb where it fails.")
@click.option("--shell", is_flag=True, help="Start a shell in the container; `replay` in it runs the input.")
@click.pass_context
def command(ctx: click.Context, input_id: str, no_debug: bool, shell: bool) -> None:
    """Runs the failed input INPUT_ID (in-…, it stands below the failure) again in a container of its own.

    The image, the app's version and the arguments are those of then; what may differ is said first. Where it fails again,
    pdb starts at the user's line. The result goes nowhere: the call that failed stays as it is.

    Exits with 0 where it succeeds now, with 1 where it fails, with the shell's own code after --shell.
    """
    from ..client.terminal import run, size
    from ..protocol.apps import StartReplay
    from ..protocol.ids import new_id

    message = StartReplay(new_id("ex"), input_id, not no_debug, shell, *size())
    ctx.exit(run(message, pty=True, started=lambda reply: _say(reply, shell=shell)))


def _say(started: ReplayStarted, *, shell: bool) -> None:
    version = f" v{started.version}" if started.version else ""
    lines = [f"{started.tag} of {started.app_name}{version} failed: {started.failure}"]
    lines += [f"  may differ: {sentence}" for sentence in started.may_differ]
    if shell:
        lines.append("  `replay` runs the input; `exit` ends the container")
    for line in lines:
        print(line, file=sys.stderr, flush=True)
