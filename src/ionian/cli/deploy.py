"""`ionian deploy`: puts an app where it stays, callable by its name."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Literal

import click

from ..protocol.tags import shown
from . import reference, session

if TYPE_CHECKING:
    from ..app import App
    from ..client.deploy import Deployed

SHOWN = 20
"""Functions that a deploy tells how to call."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-m", "is_module", is_flag=True, help="REF is a module's dotted name, not a file.")
@click.option("-n", "--name", default=None, help="The name of the deployed app; else the app's own.")
@click.option("--tag", default="", help="A name for this version.")
@click.option(
    "--strategy",
    type=click.Choice(["rolling", "recreate"]),
    default="rolling",
    show_default=True,
    help="What becomes of containers that run: they end what they run, or are ended at once.",
)
@click.option("--stream-logs", is_flag=True, help="Show afterwards what the app prints, until Ctrl-C.")
@session.options
@click.argument("ref", metavar="REF")
def command(
    ref: str,
    is_module: bool,
    name: str | None,
    tag: str,
    strategy: Literal["rolling", "recreate"],
    stream_logs: bool,
    **options: Any,
) -> None:
    """Puts an app where it stays until it is stopped: `ionian deploy app.py`.

    REF is a file or, with -m, a module, with ::NAME behind it where its app is not in the variable `app`. Deployed
    again, the app has a next version: what runs ends on the old one, and no call is lost.
    """
    from ..deployment import deploy

    wanted = reference.parse(ref, is_module=is_module, command="deploy")
    with session.started(**options):
        app = reference.find_app(reference.load(wanted), wanted)
        deployed = deploy(app, name=name, tag=tag, strategy=strategy)
        with _followed(deployed.app_id) if stream_logs else nullcontext():
            click.echo(next_steps(app, deployed))
            if stream_logs:
                threading.Event().wait()


def next_steps(app: App, deployed: Deployed) -> str:
    """What can be done with a deployed app: how each function is called, when it runs by itself, where its logs are."""
    name = deployed.name
    rows = [
        (tag, f'modal.Function.from_name("{name}", "{tag}")')
        for tag in app.registered_functions
        if shown(tag) not in app.registered_classes
    ]
    rows += [(tag, f'modal.Cls.from_name("{name}", "{tag}")') for tag in app.registered_classes]
    more = [f"  … and {len(rows) - SHOWN} more"] if len(rows) > SHOWN else []
    rows = rows[:SHOWN]
    rows += [(tag, f"runs next at {_local(at)}") for tag, at in sorted(deployed.next_runs.items())]
    width = max((len(tag) for tag, _ in rows), default=0)
    lines = [f"  {tag:<{width}}  {what}" for tag, what in rows]
    return "\n".join([*lines, *more, f"Logs: ionian app logs {name}"])


def _local(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(at))


@contextmanager
def _followed(app_id: str) -> Generator[None]:
    """Shows what the app prints."""
    from .. import link as links
    from ..client import output
    from ..protocol.apps import FollowApp

    report = output.current()
    assert report is not None, "session.started() shows output"
    link = links.current()
    ignore = report.listen(link)
    try:
        link.post(FollowApp(app_id))
        yield
    finally:
        ignore()
        report.drain()
