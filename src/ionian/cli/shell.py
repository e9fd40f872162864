"""`ionian shell`: a shell, or another program, in a container like a function's, in a new one, or in one that runs."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from . import reference, session

if TYPE_CHECKING:
    from ..function import Function

F = TypeVar("F", bound=Callable[..., Any])

SHELL = "/bin/bash"
ANY_SHELL = "command -v bash >/dev/null && exec bash; exec sh"
"""What stands for /bin/bash, which an image may lack."""

OF_NEW = ("image", "add_python", "volume", "add_local", "secret", "cpu", "memory", "gpu", "cloud", "region")
"""What a container of its own has that is not a function's."""


def container_options(function: F) -> F:
    """The options of what a new container of an image has."""
    for option in (
        click.option(
            "--pty/--no-pty", default=None, help="Give it a terminal; as this command has one, unless said."
        ),
        click.option("--gpu", default=None, help="GPUs, such as any, A10G or A100:4."),
        click.option("--memory", type=int, default=None, help="MiB of memory."),
        click.option("--cpu", type=float, default=None, help="Cores."),
        click.option("--secret", multiple=True, help="A secret by its name; may be repeated."),
        click.option("--add-local", multiple=True, help="A file or folder, at /mnt/NAME; may be repeated."),
        click.option("--volume", multiple=True, help="A volume by its name, at /mnt/NAME; may be repeated."),
    ):
        function = option(function)
    return function


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("ref", required=False, default="", metavar="[REF]")
@click.option("-c", "--cmd", default=SHELL, show_default=True, help="What to run.")
@click.option("-e", "--env", "environment", default=None, help="The environment to run in.")
@click.option("--image", default="", help="The image of a registry, such as python:3.12-slim.")
@click.option("--add-python", default=None, help="Comes with a later version.")
@container_options
@click.option("--cloud", default=None, hidden=True)
@click.option("--region", default=None, hidden=True)
@click.option("--runtime", default=None, hidden=True)
@click.option("-m", "is_module", is_flag=True, help="REF is a module's dotted name, not a file.")
@click.option("--experimental-option", multiple=True, hidden=True)
@click.option("--experimental-v2", is_flag=True, hidden=True)
@click.pass_context
def command(
    ctx: click.Context,
    ref: str,
    cmd: str,
    environment: str | None,
    pty: bool | None,
    is_module: bool,
    **given: Any,
) -> None:
    """Opens a shell in a container: `ionian shell app.py::train`.

    REF is a function or class of a file or, with -m, of a module: the container is as one of its own, with its image, files,
    volumes, secrets, cores and GPUs. Or REF is a container that runs (ta-…), and the shell is beside its function. Without REF
    the options say what the container has.

    Exits with the program's own code. `ionian shell app.py -c 'pip list' > packages.txt` keeps what it prints.
    """
    from ..client.terminal import on_terminal

    for name in ("runtime", "cloud", "region", "add_python", "experimental_option", "experimental_v2"):
        if given[name]:
            raise click.UsageError(f"--{name.replace('_', '-')} comes with a later version; leave it away")
    on = on_terminal() if pty is None else pty
    if ref.startswith("ta-"):
        forbid(ctx, f"{ref} runs already", *OF_NEW, "environment", "is_module")
        ctx.exit(_in_running(ref, cmd, pty=on))
    if ref.startswith("sb-"):
        raise click.UsageError("sandboxes come with a later version; REF is a function or a container ta-…")
    with session.started(environment=environment):
        if ref and not _is_image(ref):
            forbid(ctx, f"the container is as those of {ref}", *OF_NEW)
            function = _function_of(ref, is_module=is_module)
        else:
            if _is_image(ref):
                forbid(ctx, f"the image is {ref}", "image", "add_python")
            function = _function_with(ref, environment, **given)
        code = _in_new(function, cmd, environment, pty=on)
    ctx.exit(code)


def forbid(ctx: click.Context, why: str, *names: str) -> None:
    """Refuses options that would have no effect."""
    for parameter in ctx.command.params:
        given = ctx.get_parameter_source(parameter.name or "")
        if parameter.name in names and given not in (None, click.core.ParameterSource.DEFAULT):
            raise click.UsageError(f"{why}: {parameter.opts[-1]} can't change it; leave it away")


def _is_image(ref: str) -> bool:
    return ref.startswith("im-") and ref[3:].isalnum()


def _in_running(container_id: str, cmd: str, *, pty: bool) -> int:
    from ..client.terminal import run, size
    from ..protocol.apps import StartExec
    from ..protocol.ids import new_id

    argv = shlex.split(cmd) if cmd != SHELL else ["/bin/sh", "-c", ANY_SHELL]
    if not argv:
        raise click.UsageError("-c/--cmd: expected a command, got an empty one")
    return run(StartExec(new_id("ex"), container_id, argv, pty, *size()), pty=pty)


def _in_new(function: Function[..., Any, Any], cmd: str, environment: str | None, *, pty: bool) -> int:
    from ..client.shell import ShellRun
    from ..client.terminal import run, size
    from ..protocol.apps import StartShell
    from ..protocol.ids import new_id

    argv = ["/bin/sh", "-c", ANY_SHELL if cmd == SHELL else cmd]
    with ShellRun(function, environment):
        return run(StartShell(new_id("ex"), function.object_id, argv, pty, *size()), pty=pty)


def _function_of(ref: str, *, is_module: bool) -> Function[..., Any, Any]:
    """The function of a reference; of a class, or a method of one, what runs its methods."""
    wanted = reference.parse(ref, is_module=is_module, command="shell")
    return cast("Function[..., Any, Any]", reference.resolve_function(reference.load(wanted), wanted))


def _function_with(ref: str, environment: str | None, **given: Any) -> Function[..., Any, Any]:
    from ..client.shell import of_image
    from ..image import Image

    made: Image | None = None
    if ref:
        made = cast("Any", Image).from_id(ref)
    elif given["image"]:
        made = Image.from_registry(given["image"])
    return of_image(
        made,
        volumes=given["volume"],
        secrets=given["secret"],
        local=given["add_local"],
        environment=environment,
        resources={name: given[name] for name in ("cpu", "memory", "gpu")},
    )
