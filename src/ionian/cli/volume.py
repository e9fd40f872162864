"""`ionian volume`: volumes and their files."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath

import click

from .. import config, link
from ..arguments import object_name
from ..client.output.words import count, size
from ..exception import Error
from ..protocol.ids import new_id
from ..protocol.objects import CreateObject
from ..protocol.volumes import FindVolumeUsers
from ..volume import FileEntry, FileEntryType, Volume
from .dashboard import open_page
from .lists import confirm, env_option, json_option, show_table
from .named import add_commands, said
from .transfer import Transfer
from .volume_get import download

TYPES = {
    FileEntryType.DIRECTORY: "dir",
    FileEntryType.FILE: "file",
    FileEntryType.SYMLINK: "link",
    FileEntryType.FIFO: "fifo",
    FileEntryType.SOCKET: "socket",
}
"""Types of files as Modal's command writes them."""


@click.group(name="volume")
def command() -> None:
    """Volumes: create, list, ls, get, put, rm, cp, rename, delete."""


def _users(name: str, environment: str) -> str:
    """Who would miss it."""
    try:
        volume_id = Volume.from_name(name, environment_name=environment or None).hydrate().object_id
        apps = link.current().request(FindVolumeUsers(volume_id))[0].apps
    except Error:
        return ""  # what is wrong is said when it is deleted
    return f"The containers of {', '.join(apps)} can't start without it. " if apps else ""


add_commands(command, Volume, warning=_users)


@command.command("create", short_help="Make a volume.")
@click.argument("name")
@click.option(
    "--version", type=click.IntRange(1, 2), help="1 or 2, as Modal has them; here they are one thing."
)
@click.option(
    "--isolated",
    is_flag=True,
    help="What a container writes others see when it is committed and they reload, on one machine, too.",
)
@env_option
def create(name: str, version: int | None, isolated: bool, environment: str) -> None:
    """Makes a volume of that name, unless there is one."""
    del version
    with said():
        object_name("name", name)
        where = config.environment(environment or None)
        link.current().request(CreateObject("volume", new_id("vo"), name, where, True, isolated))
    click.echo(f"✓ The volume {name} is there.")


@command.command("dashboard", short_help="Open a volume's page in a browser.")
@click.argument("volume_name")
@env_option
def dashboard(volume_name: str, environment: str) -> None:
    """Opens the page of a volume in a browser, and prints a link that lets one browser in."""
    with said():
        volume = Volume.from_name(volume_name, environment_name=environment or None).hydrate()
    open_page(f"/id/{volume.object_id}")


@command.command("ls", short_help="List what a folder of a volume holds.")
@click.argument("volume_name")
@click.argument("path", default="/")
@json_option
@env_option
def ls(volume_name: str, path: str, as_json: bool, environment: str) -> None:
    """Lists the files and folders at PATH. In a pipe only their paths, a line each."""
    with files_said():
        entries = _volume(volume_name, environment).listdir(path)
    entries.sort(key=lambda entry: entry.path)
    if as_json:
        click.echo(json.dumps([_facts(entry) for entry in entries], indent=2))
    elif sys.stdout.isatty():
        rows = [tuple(_facts(entry).values()) for entry in entries]
        show_table(COLUMNS, rows, as_json=False, nothing=f"There is nothing in {path}.")
    else:
        for entry in entries:
            click.echo(entry.path)


COLUMNS = ("Filename", "Type", "Created/Modified", "Size")


def _facts(entry: FileEntry) -> dict[str, str]:
    modified = datetime.fromtimestamp(entry.mtime).astimezone().isoformat(" ", "seconds")
    amount = size(entry.size) if entry.type is FileEntryType.FILE else ""
    return dict(zip(COLUMNS, (entry.path, TYPES.get(entry.type, ""), modified, amount), strict=True))


@command.command("put", short_help="Send a file or folder to a volume.")
@click.argument("volume_name")
@click.argument("local_path")
@click.argument("remote_path", default="/")
@click.option("-f", "--force", is_flag=True, help="Replace files that are there.")
@env_option
def put(volume_name: str, local_path: str, remote_path: str, force: bool, environment: str) -> None:
    """Sends LOCAL_PATH: what a folder holds goes below REMOTE_PATH; a file is named so, or goes below it where it ends in
    a slash. `-` sends what stdin has.

    What the server has already is not sent again, so a command that was interrupted goes on where it was.
    """
    local = Path(local_path)
    with files_said(), Transfer(f"Sending {local_path}") as transfer:
        batch = _volume(volume_name, environment).batch_upload(force=force)
        batch.observer = transfer
        with batch:
            if local_path == "-":
                batch.put_file(sys.stdin.buffer, remote_path)
            elif local.is_dir():
                batch.put_directory(local, remote_path)
            else:
                name = (
                    str(PurePosixPath(remote_path, local.name)) if remote_path.endswith("/") else remote_path
                )
                batch.put_file(local, name)
    click.echo(f"✓ {transfer.done()} to the volume {volume_name}.", err=True)


@command.command("get", short_help="Fetch a file or folder of a volume.")
@click.argument("volume_name")
@click.argument("remote_path")
@click.argument("local_destination", default=".")
@click.option("--force", is_flag=True, help="Replace files that are here.")
@env_option
def get(volume_name: str, remote_path: str, local_destination: str, force: bool, environment: str) -> None:
    """Fetches REMOTE_PATH, a folder with all that is in it, to LOCAL_DESTINATION: below it where that is a folder, else
    under that name. `-` writes a file to stdout.
    """
    with files_said():
        volume = _volume(volume_name, environment)
        if local_destination == "-":
            volume.read_file_into_fileobj(remote_path, sys.stdout.buffer)
            sys.stdout.buffer.flush()
            return
        with Transfer(f"Fetching {remote_path}") as transfer:
            left_out = download(volume, remote_path, Path(local_destination), force=force, transfer=transfer)
    for path, why in left_out:
        click.echo(f"{path} is left out: {why}", err=True)
    click.echo(f"✓ {transfer.done()} from the volume {volume_name}.", err=True)


@command.command("rm", short_help="Remove a file or folder of a volume.")
@click.argument("volume_name")
@click.argument("remote_path")
@click.option("-r", "--recursive", is_flag=True, help="A folder, with all that is in it.")
@env_option
def rm(volume_name: str, remote_path: str, recursive: bool, environment: str) -> None:
    """Removes the file REMOTE_PATH."""
    with files_said():
        _volume(volume_name, environment).remove_file(remote_path, recursive=recursive)
    click.echo(f"✓ {remote_path} is gone from the volume {volume_name}.", err=True)


@command.command("cp", short_help="Copy files within a volume.")
@click.argument("volume_name")
@click.argument("paths", nargs=-1, required=True, metavar="SOURCE... TARGET")
@click.option("-r", "--recursive", is_flag=True, help="Folders, too, with all that is in them.")
@env_option
def cp(volume_name: str, paths: tuple[str, ...], recursive: bool, environment: str) -> None:
    """Copies files within a volume as cp does: to the name TARGET, or below it where that is a folder."""
    *sources, target = paths
    if not sources:
        raise click.UsageError("expected what to copy and where to: SOURCE... TARGET")
    with files_said():
        _volume(volume_name, environment).copy_files(sources, target, recursive=recursive)
    click.echo(f"✓ Copied {count(len(sources), 'path')} to {target}.", err=True)


@command.command("rename", short_help="Give a volume another name.")
@click.argument("old_name")
@click.argument("new_name")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@env_option
def rename(old_name: str, new_name: str, yes: bool, environment: str) -> None:
    """Gives a volume another name. What is deployed keeps it; programs have to say the new name from their next run on."""
    confirm(
        f"Rename the volume {old_name} to {new_name}? Programs that say {old_name} will not find it.", yes=yes
    )
    with said():
        Volume.rename(old_name, new_name, environment_name=environment or None)
    click.echo(f"✓ The volume {old_name} is now {new_name}.")


def _volume(name: str, environment: str) -> Volume:
    return Volume.from_name(name, environment_name=environment or None)


@contextmanager
def files_said() -> Generator[None]:
    """A refusal, or a file that can't be had, ends the command with a sentence."""
    try:
        yield
    except BrokenPipeError:  # who reads our stdout has enough
        raise
    except (Error, OSError) as error:
        raise click.ClickException(str(error)) from None
