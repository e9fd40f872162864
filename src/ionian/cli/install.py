"""`ionian server install` and `uninstall`: a server that systemd starts with the machine, and again when it dies."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import click

from .unit import NAME, SYSTEM_HOME, Unit
from .web_options import NAMES, web_options, words

SYSTEMD = Path("/run/systemd/system")
"""There while systemd runs the machine."""


@click.command(short_help="Let systemd run it, from the start of the machine on.")
@click.option(
    "--user/--system",
    "user",
    default=None,
    help="Of this user, or of the machine. Of the machine for root, else of the user.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", default=0, help="The port; 0 takes one that is free.")
@click.option("--database", default="", help="A SQLAlchemy URL; SQLite in the state folder unless given.")
@click.option("--run-as", default="", help="With --system: the account that it runs as; root unless given.")
@click.option("--no-worker", is_flag=True, help="Start no worker on this machine.")
@click.option(
    "--no-gpu", is_flag=True, help="The worker on this machine ignores what functions ask for in GPUs."
)
@web_options
@click.option("--insecure", is_flag=True, help="Listen beyond this machine without TLS.")
@click.option("--dry-run", is_flag=True, help="Print the unit, and change nothing.")
def install(
    user: bool | None,
    host: str,
    port: int,
    database: str,
    run_as: str,
    no_worker: bool,
    no_gpu: bool,
    insecure: bool,
    dry_run: bool,
    **web: Any,
) -> None:
    """Writes a systemd unit for a server on this machine, and starts it: it comes back after a crash and a restart.

    Its state is the folder that IONIAN_HOME names, else this user's own; with --system /var/lib/ionian.
    """
    system = _is_system(user)
    if run_as and not system:
        raise click.UsageError("--run-as goes with --system; a unit of a user runs as that user")
    for file in ("web_cert", "web_key"):  # systemd starts it in another folder
        web[file] = str(Path(web[file]).absolute()) if web[file] else ""
    named = {name: str(web[name]) for name in NAMES}
    _check_words(host=host, database=database, run_as=run_as, **named)
    _check_serves(host=host, insecure=insecure, **web)
    options = ["--delegated", "--host", host, "--port", str(port)]
    options += ["--database", database] if database else []
    options += words(web)
    for flag, given in (("--no-worker", no_worker), ("--no-gpu", no_gpu), ("--insecure", insecure)):
        options += [flag] if given else []
    unit = Unit([_ionian(), "server", *options], _home(system), system, run_as)
    if dry_run:
        click.echo(f"# {unit.path}\n{unit.text()}", nl=False)
        return
    _check(unit, system)
    _write(unit)
    _systemctl(system, "daemon-reload")
    _systemctl(system, "enable", "--now", NAME)
    click.echo(f"✓ {unit.path}\nThe server runs, and will after a restart of the machine. State: {unit.home}")
    if not system and not _lingers():
        click.echo(
            f"It ends when {getpass.getuser()} is logged out, and starts at a login. To have it from the start of the "
            "machine on: loginctl enable-linger"
        )


@click.command(short_help="Take the systemd unit away.")
@click.option("--user/--system", "user", default=None, help="Which one; as for install.")
def uninstall(user: bool | None) -> None:
    """Stops the server that `install` set up and takes its unit away. Its state stays."""
    system = _is_system(user)
    unit = Unit([], "", system)
    if not unit.path.exists():
        raise click.ClickException(f"no server is installed: there is no {unit.path}")
    if SYSTEMD.is_dir():
        _systemctl(system, "disable", "--now", NAME)
    try:
        unit.path.unlink()
    except OSError as error:
        raise click.ClickException(f"can't delete {unit.path}: {error.strerror}") from None
    if SYSTEMD.is_dir():
        _systemctl(system, "daemon-reload")
    click.echo(f"✓ {unit.path} is gone; the state stays where it is.")


def _is_system(user: bool | None) -> bool:
    return os.getuid() == 0 if user is None else not user


def _check_words(**given: str) -> None:
    """Refuses what a unit can't hold: it is one line a setting, and everybody on the machine may read it."""
    for name, word in given.items():
        if not word.isprintable():
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{option}: expected printable characters on one line, got {word!r}")
    url = urlsplit(given["database"])
    if url.password or "password" in parse_qs(url.query):
        raise click.UsageError(
            "--database: expected a URL without a password, for everybody on this machine can read a unit; write the "
            "password into ~/.pgpass of the account that the server runs as"
        )


def _check_serves(**given: Any) -> None:
    """Refuses what the server would: else systemd would start it again and again."""
    from ..machine.state import StateFolder
    from ..server.main import CannotServe, Options, encryption

    try:
        encryption(Options(StateFolder.default(), **given))
    except CannotServe as error:
        raise click.ClickException(str(error)) from None


def _ionian() -> str:
    """The command that runs now, by its absolute path."""
    beside = Path(sys.executable).with_name("ionian")
    found = str(beside) if beside.exists() else shutil.which("ionian")
    if not found:
        raise click.ClickException(
            f"expected the command ionian beside {sys.executable}; install Ionian with pip"
        )
    return found


def _home(system: bool) -> str:
    from ..machine.state import StateFolder

    given = os.environ.get("IONIAN_HOME")
    return SYSTEM_HOME if system and not given else str(StateFolder.default().root)


def _check(unit: Unit, system: bool) -> None:
    """Refuses what can't work, before anything is written."""
    if not SYSTEMD.is_dir() or shutil.which("systemctl") is None:
        raise click.ClickException(
            "systemd does not run this machine, so it can't start a server. `ionian server start` starts one until the "
            f"machine ends; to have it from the start on, let what starts this machine run:\n  IONIAN_HOME={unit.home} "
            f"{shlex.join(word for word in unit.command if word != '--delegated')}"
        )
    if system and os.getuid() != 0:
        raise click.ClickException("--system writes for the whole machine: run it as root, or say --user")
    from ..client.local import held

    if not unit.path.exists() and held(Path(unit.home, "run", "server.lock")):
        raise click.ClickException(f"a server runs on {unit.home} already; end it first: ionian server stop")


def _write(unit: Unit) -> None:
    temporary = unit.path.with_suffix(".new")
    try:
        unit.path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(unit.text())
        temporary.replace(unit.path)
    except OSError as error:
        raise click.ClickException(f"can't write {unit.path}: {error.strerror}") from None


def _systemctl(system: bool, *arguments: str) -> None:
    command = ["systemctl", *([] if system else ["--user"]), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise click.ClickException(f"{shlex.join(command)} failed:\n{done.stderr.strip()}")


def _lingers() -> bool:
    """Whether systemd runs this user's units while they are not logged in."""
    return Path("/var/lib/systemd/linger", getpass.getuser()).exists()
