"""What every command that runs a program has in common: its options, the alias, output."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def options(function: F) -> F:
    """The options of such a command."""
    function = click.option("-e", "--env", "environment", default=None, help="The environment to run in.")(
        function
    )
    function = click.option("--timestamps", is_flag=True, help="Show when each line was printed.")(function)
    return click.option("--no-gpu", is_flag=True, help="Run functions that ask for a GPU without one.")(
        function
    )


@contextmanager
def started(
    *, quiet: bool = False, environment: str | None = None, timestamps: bool = False, no_gpu: bool = False
) -> Generator[None]:
    """The state in which a user's program runs: `import modal` means Ionian, and output is on."""
    from ..alias import install_alias
    from ..client import no_gpu as no_gpu_setting
    from ..client.output import enable_output

    if environment:
        os.environ["IONIAN_ENVIRONMENT"] = os.environ["MODAL_ENVIRONMENT"] = environment
    if no_gpu:
        no_gpu_setting.ignore()
    install_alias()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
            signal.signal(number, _end)
    with enable_output(show_progress=not quiet, timestamps=timestamps):
        yield


def _end(number: int, frame: object) -> None:
    """Told to end, the program unwinds as after Ctrl-C, and its app is stopped."""
    sys.exit(128 + number)
