"""`ionian run`: runs a function or a local entrypoint of a file or module."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import click

from . import reference, session


@click.command(
    context_settings={
        "allow_interspersed_args": False,
        "help_option_names": ["-h", "--help"],
    }
)
@click.option("-m", "is_module", is_flag=True, help="REF is a module's dotted name, not a file.")
@click.option("-n", "--name", default=None, help="A name for the app of this run.")
@click.option("-d", "--detach", is_flag=True, help="Calls under way go on when this command ends.")
@click.option("-q", "--quiet", is_flag=True, help="Show what containers print, not how it goes.")
@click.option(
    "-w", "--write-result", type=click.Path(dir_okay=False), help="Write the result (str or bytes) here."
)
@click.option(
    "-i",
    "--interactive",
    is_flag=True,
    help="Functions may use this terminal: breakpoint(), modal.interact().",
)
@session.options
@click.argument("ref", metavar="REF")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[ARGS]...")
def command(
    ref: str,
    arguments: tuple[str, ...],
    is_module: bool,
    name: str | None,
    detach: bool,
    quiet: bool,
    write_result: str | None,
    interactive: bool,
    **options: Any,
) -> None:
    """Runs a function or local entrypoint: `ionian run app.py::embed --text hello`.

    REF is a file or, with -m, a module, with ::NAME behind it where it defines several things to run. What
    follows it are the options of the function: `ionian run app.py --help` lists them.
    """
    if interactive and quiet:
        raise click.UsageError("To use interactive mode, remove the --quiet flag")
    wanted = reference.parse(ref, is_module=is_module)
    with session.started(quiet=quiet, **options):
        runnable = reference.resolve(reference.load(wanted), wanted)
        run = Run(runnable, name=name, detach=detach, interactive=interactive, write_result=write_result)
        run.command(ref).main(list(arguments), prog_name=f"ionian run {ref}", standalone_mode=False)


class Run:
    """One run of a runnable, with the arguments of its command line."""

    def __init__(
        self,
        runnable: reference.Runnable,
        *,
        name: str | None,
        detach: bool,
        interactive: bool,
        write_result: str | None,
    ) -> None:
        self._runnable = runnable
        self._name = name
        self._detach = detach
        self._interactive = interactive
        self._result = Path(write_result) if write_result else None

    def command(self, ref: str) -> click.Command:
        """The command that takes the options of the runnable's signature and runs it."""
        from .options import command_for

        target = self._runnable.target
        if not self._runnable.entrypoint and target.is_generator:
            raise click.UsageError(
                f"{self._runnable.name} is a generator, which ionian run can't run; call it from an "
                "@app.local_entrypoint()"
            )
        return command_for(target.raw, ref, self._call)

    def _call(self, *args: Any, **kwargs: Any) -> None:
        target = self._runnable.target
        with self._runnable.app.run(name=self._name, detach=self._detach, interactive=self._interactive):
            if not self._runnable.entrypoint:
                result = target.remote(*args, **kwargs)
            else:
                result = target(*args, **kwargs)
                if inspect.isawaitable(result):
                    import asyncio

                    result = asyncio.run(_awaited(result))
        if self._result is not None:
            _write(self._result, result)


async def _awaited(result: Any) -> Any:
    return await result


def _write(path: Path, result: Any) -> None:
    if isinstance(result, str):
        path.write_text(result)
    elif isinstance(result, (bytes, bytearray)):
        path.write_bytes(result)
    else:
        raise click.ClickException(
            f"-w writes a result of type str or bytes; this one is {type(result).__name__}"
        )
