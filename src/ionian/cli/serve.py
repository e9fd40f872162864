"""`ionian serve`: an app that runs while it is worked on, and is run anew when one of its files is saved."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from . import reference, session

if TYPE_CHECKING:
    from ..app import App

END_S = 40.0
"""So long a run may take to end: its containers have 30 s for their @exit."""

LOOK_S = 0.5
"""How often it is looked whether the time is over, or the run has ended by itself."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-m", "is_module", is_flag=True, help="REF is a module's dotted name, not a file.")
@click.option("-n", "--name", default=None, help="A name for the app; else the app's own.")
@click.option(
    "--timeout", default=None, type=float, help="End after so many seconds; at Ctrl-C unless given."
)
@session.options
@click.option(
    "--announce", default=-1, hidden=True
)  # of the process that runs the app: where it says that it does
@click.argument("ref", metavar="REF")
def command(
    ref: str, is_module: bool, name: str | None, timeout: float | None, announce: int, **options: Any
) -> None:
    """Runs an app while you work on it: `ionian serve app.py`. Its web endpoints answer, its schedules don't run.

    REF is a file or, with -m, a module, with ::NAME behind it where its app is not in the variable `app`. When a file that
    its containers have is saved, the app is run anew, at the same addresses; a file with an error changes nothing.
    """
    wanted = reference.parse(ref, is_module=is_module, command="serve")
    if announce < 0:
        Serving(Path(wanted.place) if not is_module else None).run(timeout)
        return
    with session.started(**options):
        app = reference.find_app(reference.load(wanted), wanted)
        with app.run(name=name):
            os.write(announce, json.dumps(watched(app)).encode())
            os.close(announce)
            while True:
                signal.pause()


def watched(app: App) -> list[str]:
    """The files here that containers of the app have."""
    from ..client.publish import is_by_value
    from ..client.source import source_files

    found: set[str] = set()
    for function in app.registered_functions.values():
        if function.options.include_source and not is_by_value(function):
            found.update(str(file.local) for file in source_files(function.module))
        found.update(str(file.local) for file in function.image.mounts())
    return sorted(found)


class Serving:
    """Runs the app in a process of its own; when a file is saved in a new one, which takes over from the one before."""

    def __init__(self, file: Path | None) -> None:
        self._files = {str(file.resolve())} if file is not None else set[str]()
        self._seen: dict[str, int] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, timeout_s: float | None) -> None:
        """Serves until Ctrl-C, or until the time is over."""
        from watchfiles import watch

        until = time.monotonic() + timeout_s if timeout_s is not None else float("inf")
        try:
            if not self._renew() and not self._files:
                raise click.exceptions.Exit(1)
            click.echo("⚡️ Serving... hit Ctrl-C to stop!", err=True)
            while time.monotonic() < until:
                folders = {os.path.dirname(path) for path in self._files}
                changes = watch(
                    *folders,
                    watch_filter=lambda _, path: self._concerns(path),
                    debounce=100,
                    step=20,
                    rust_timeout=int(LOOK_S * 1000),
                    yield_on_timeout=True,
                    recursive=False,
                )
                for changed in changes:
                    if changed or self._state() != self._seen:
                        names = sorted({os.path.basename(path) for _, path in changed}) or ["A file"]
                        click.echo(f"{', '.join(names)} changed: running it anew …", err=True)
                        self._renew()
                        break
                    if time.monotonic() >= until:
                        break
        except KeyboardInterrupt:
            pass
        finally:
            self._end(self._process)

    def _state(self) -> dict[str, int]:
        """When each file was saved last. One may be saved while the app is started, and nobody watches."""
        return {path: os.stat(path).st_mtime_ns for path in self._files if os.path.exists(path)}

    def _concerns(self, path: str) -> bool:
        return path in self._files or path.endswith(".py")

    def _renew(self) -> bool:
        """Starts the app in a new process, and ends the one before once that one serves. False where it could not start."""
        self._seen = self._state()
        theirs, ours = os.pipe()
        command = [sys.executable, *sys.argv, "--announce", str(ours)]
        process = subprocess.Popen(command, pass_fds=(ours,))
        os.close(ours)
        with open(theirs, "rb") as said:
            announced = said.read()
        if not announced:
            process.wait()
            click.echo(
                "It could not be run as it is: what ran before goes on. Waiting for a change …", err=True
            )
            return False
        before, self._files = self._seen, set(json.loads(announced))
        self._seen = self._state() | {path: at for path, at in before.items() if path in self._files}
        former, self._process = self._process, process
        self._end(former)
        return True

    @staticmethod
    def _end(process: subprocess.Popen[bytes] | None) -> None:
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
