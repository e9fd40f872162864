"""`ionian python`: runs a script that runs an app itself, as `python script.py` would."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from . import session


@click.command(
    context_settings={
        "allow_interspersed_args": False,
        "help_option_names": ["-h", "--help"],
    }
)
@click.option("-m", "is_module", is_flag=True, help="SCRIPT is a module's dotted name, not a file.")
@click.option("-q", "--quiet", is_flag=True, help="Show what containers print, not how it goes.")
@session.options
@click.argument("script")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
def command(script: str, arguments: tuple[str, ...], is_module: bool, quiet: bool, **options: Any) -> None:
    """Runs a Python script as `python` would; in it, `import modal` means Ionian and runs show their output.

    The script itself says where the app runs: `with app.run():`. ARGS are its own (sys.argv).
    """
    from ..client import entry

    sys.argv = [script, *arguments]
    with session.started(quiet=quiet, **options):
        if is_module:
            entry.execute_module(script)
        else:
            entry.execute_file(Path(script))
