"""The `ionian` command. Each subcommand is a module that is loaded when it is used."""

from __future__ import annotations

import importlib
import os
import sys

import click

from ..later import ADVICE
from ..version import MODAL, VERSION

COMMANDS = {
    "run": "Run a function or local entrypoint of an app.",
    "deploy": "Put an app where it stays, callable by its name.",
    "serve": "Run an app anew whenever one of its files is saved.",
    "python": "Run a Python script that runs an app itself.",
    "app": "List, stop and roll back apps; see what they print.",
    "container": "List and stop containers; see what they print.",
    "function": "See what a function is, did and printed; set its containers.",
    "shell": "Open a shell in a container like a function's, or in one that runs.",
    "secret": "Make, change, list and delete secrets; another master key.",
    "replay": "Run a failed input again, with the debugger at its failure.",
    "usage": "See what was used, and what it costs.",
    "billing": "See what apps cost, by day or hour, in Modal's words.",
    "call": "See why a spawned call has no result yet.",
    "environment": "Make, list, change and delete environments.",
    "profile": "Choose among servers, tokens and environments.",
    "config": "See and change the settings of this machine.",
    "token": "Make, keep and revoke what lets clients and workers in.",
    "setup": "Choose the server that this machine uses.",
    "dict": "See and change dicts that the server keeps.",
    "queue": "See and change queues that the server keeps.",
    "volume": "See and change volumes and their files: ls, put, get, rm, cp.",
    "curl": "Ask a web endpoint that wants a token.",
    "dashboard": "Open the dashboard in a browser.",
    "image": "See what images there are and how they were built; build, pull, name.",
    "server": "Start, stop or look at a server.",
    "worker": "Lend this machine to a server.",
    "doctor": "See what this machine can do, and what to do about the rest.",
}

LATER = {
    name: reason
    for reason, names in {
        "workspaces and usage": "workspace",
        "buckets as volumes": "nfs",
    }.items()
    for name in names.split()
}
"""Commands of Modal's that are refused by name → the feature with which each comes."""


class LazyGroup(click.Group):
    """A group whose commands are modules beside this one, imported on use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help page."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command's module."""
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f".{cmd_name}", __package__).command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command; says of one that comes later that it does."""
        if args[0] in LATER:
            raise click.UsageError(
                f"ionian {args[0]} is not in this version of Ionian: it comes with {LATER[args[0]]}. {ADVICE}",
                ctx,
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="ionian", message=f"%(prog)s %(version)s (the API of Modal {MODAL})")
@click.option("--profile", default="", help="The profile that counts; the active one unless given.")
def group(profile: str) -> None:
    """Ionian: Modal's programming model as software that anyone can run."""
    if profile:
        os.environ["IONIAN_PROFILE"] = profile


def main() -> None:
    """The entry point. A program's own failure ends it with 1, Ctrl-C with 130, a wrong command line with 2."""
    code = 0
    try:
        result = group.main(standalone_mode=False)
        code = result if isinstance(result, int) else 0  # what ctx.exit() was given
    except click.exceptions.Exit as stop:
        _leave(stop.exit_code)
    except click.ClickException as error:
        error.show()
        _leave(error.exit_code)
    except (KeyboardInterrupt, click.Abort):
        _leave(130)
    except Exception as error:
        from ..client.output.tracebacks import show

        show(error)
        _leave(1)
    _leave(code)


def _leave(code: int) -> None:
    for file in (sys.stdout, sys.stderr):
        try:
            file.flush()
        except (OSError, ValueError):  # the reader went away: nothing to tell, and no second error at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1 if file is sys.stdout else 2)
    sys.exit(code)
