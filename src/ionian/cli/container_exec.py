"""`ionian container exec`: a program beside the function of a container."""

from __future__ import annotations

import click


@click.command(
    "exec",
    short_help="Run a program in a container.",
    context_settings={"allow_interspersed_args": False},
)
@click.option(
    "--pty/--no-pty", default=None, help="Give it a terminal; as this command has one, unless said."
)
@click.argument("container_id", metavar="CONTAINER")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="COMMAND...")
@click.pass_context
def container_exec(ctx: click.Context, pty: bool | None, container_id: str, command: tuple[str, ...]) -> None:
    """Runs COMMAND in the container CONTAINER (ta-…) as its function runs: with its files, variables, user and limits.

    A `--` before COMMAND is left out.

    Exits with the program's own code, or 128 and its signal.
    """
    from ..client.terminal import on_terminal, run, size
    from ..protocol.apps import StartExec
    from ..protocol.ids import new_id

    words = list(command[1:] if command[0] == "--" else command)
    if not words:
        raise click.UsageError("expected a command behind --, as in: ionian container exec ta-… -- python")
    on = on_terminal() if pty is None else pty
    ctx.exit(run(StartExec(new_id("ex"), container_id, words, on, *size()), pty=on))
