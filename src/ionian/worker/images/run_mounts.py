"""What a RUN of a Dockerfile has besides its command: its mounts, and the user that it runs as."""

from __future__ import annotations

import asyncio
import posixpath
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ionian.protocol.spec import DockerLine, Instruction

from ..sandbox import Bind
from . import accounts, overlay
from .accounts import Account
from .copies import Copier, find, is_folder
from .dockerfile import wrong
from .records import ImageError, Record

if TYPE_CHECKING:
    from .builder import Builder
    from .step import Command

AS_USER = (
    "import os, sys; os.setgroups([int(n) for n in sys.argv[3].split(',') if n]); os.setgid(int(sys.argv[2])); "
    "os.setuid(int(sys.argv[1])); os.execvp(sys.argv[4], sys.argv[4:])"
)


def as_user(argv: list[str], account: Account, layers: Sequence[Path], python: str) -> list[str]:
    """A command that runs as a user of the image, by a program that the image has. Raises ImageError."""
    groups = ",".join(map(str, sorted({account.gid, *account.groups})))
    for folder in ("/usr/bin", "/bin"):
        real, found = overlay.resolve(layers, f"{folder}/setpriv")
        if found is not None and not real.endswith("busybox"):
            ids = ("--reuid", str(account.uid), "--regid", str(account.gid), "--groups", groups)
            return [f"{folder}/setpriv", *ids, "--", *argv]
    if python:
        return [python, "-I", "-c", AS_USER, str(account.uid), str(account.gid), groups, *argv]
    raise ImageError("USER needs setpriv (of util-linux) or Python in the image, and it has neither")


async def prepare(
    builder: Builder,
    command: Command,
    instruction: Instruction,
    below: Record,
    images: Mapping[str, Record],
    scratch: Path,
) -> None:
    """Gives the command its mounts and its user."""
    docker = instruction.docker
    assert docker is not None
    for number, mount in enumerate(docker.mounts):
        folder = scratch / f"mount-{number}"
        bind = await _mounted(builder, docker, mount, instruction, below, images, folder)
        if bind is not None:
            command.binds.append(bind)
        elif mount.get("env"):
            command.env[mount["env"]] = builder.secrets[_secret(builder, docker, mount)]
    if below.user in ("", "0", "root"):
        return
    layers = builder.store.paths(below)
    account = accounts.find(layers, below.user)
    command.env["HOME"] = below.env.get("HOME", account.home)
    if builder.store.ids.count == 1:
        builder.news.log(f"(there is one user id here: this runs as root, not as {below.user})")
        return
    command.argv = as_user(command.argv, account, layers, below.python.path if below.python else "")


async def _mounted(
    builder: Builder,
    docker: DockerLine,
    mount: Mapping[str, str],
    instruction: Instruction,
    below: Record,
    images: Mapping[str, Record],
    folder: Path,
) -> Bind | None:
    """What is mounted, and where. A cache is empty at each build: nothing of one reaches another."""
    store, kind = builder.store, mount["type"]
    if kind == "secret" and mount.get("env") and "target" not in mount:
        return None
    folder.mkdir()
    folder.chmod(0o755)
    store.owner.take(folder)
    target = posixpath.join(below.workdir or "/", mount.get("target", ""))
    if kind == "secret":
        name = _secret(builder, docker, mount)
        target = posixpath.join("/run/secrets", mount.get("target") or mount.get("id", name))
        (folder / "value").write_text(builder.secrets[name])
        store.owner.take(folder / "value")
        (folder / "value").chmod(0o400)
        return Bind(folder / "value", target)
    if not mount.get("target"):
        raise wrong(docker, f"--mount=type={kind} needs target=")
    if kind in ("cache", "tmpfs"):
        return Bind(folder, target, read_only=False)
    writable = "rw" in mount or "readwrite" in mount
    source = mount.get("source", "/")
    if "from" in mount:
        layers = store.paths(images[mount["from"]])
        copier = Copier(folder, (), store.owner)
        copier.give = None
        await asyncio.to_thread(copier.copy, layers, source, f"/{posixpath.basename(source)}")
    else:
        await store.files.place(instruction.files, "/", folder, ())
        layers = [folder]
        if not find(layers, source):
            raise wrong(docker, f"nothing in the context is {source!r}, or .dockerignore leaves it out")
        return Bind(folder / source.lstrip("/"), target, not writable)
    inside = folder / posixpath.basename(source)
    if not is_folder([folder], "/") or not inside.exists():
        raise wrong(docker, f"there is no {source!r} in what it is mounted from")
    return Bind(inside, target, not writable)


def _secret(builder: Builder, docker: DockerLine, mount: Mapping[str, str]) -> str:
    """The name of the variable of `secrets=` that a mount wants."""
    name = mount.get("id") or posixpath.basename(mount.get("target", ""))
    if name not in builder.secrets:
        raise wrong(docker, f"expected a secret with the key {name!r} in secrets=, and there is none")
    return name
