"""Instructions of a Dockerfile: their variables replaced by what the image so far says, then carried out."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import posixpath
import tarfile
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from ionian.protocol.dockerfile_words import WordError, expand
from ionian.protocol.spec import DockerLine, FileRef, Instruction

from . import accounts
from .copies import Copier, is_folder, matches, parts_of
from .copies import find as find_in
from .records import ImageError, Record
from .registry import ARCHITECTURES

if TYPE_CHECKING:
    from .builder import Builder, Draft

ADD_S = 60.0
"""The longest that a server of an ADD may say nothing."""

CHUNK = 1 << 20
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class Resolved:
    """An instruction with its variables replaced; what it copies from; all that decides its result."""

    instruction: Instruction
    key: list[object] = field(default_factory=list[object])
    source: Record | None = None  # of COPY --from
    mounts: dict[str, Record] = field(default_factory=dict[str, Record])  # by `from` of RUN --mount


def automatic(machine: str) -> dict[str, str]:
    """The values of ARG that a build has by itself."""
    name = ARCHITECTURES.get(machine, machine)
    parts = {"OS": "linux", "ARCH": name, "PLATFORM": f"linux/{name}", "VARIANT": ""}
    return {f"{side}{part}": value for side in ("TARGET", "BUILD") for part, value in parts.items()}


def wrong(docker: DockerLine, why: str) -> ImageError:
    """The error for a line."""
    return ImageError(f"{docker.text} (line {docker.line}): {why}")


def resolve(
    instruction: Instruction, below: Record, layers: Sequence[Path], sources: Mapping[str, Record]
) -> Resolved:
    """The instruction as it is on this image. `sources`: the images that it names, by the name in it."""
    docker = instruction.docker
    assert docker is not None
    words = _Words(docker, below.args | below.env)
    args = instruction.args
    match instruction.op:
        case "ENV":
            return Resolved(replace(instruction, args=[words.expand(word) for word in args], docker=None))
        case "ARG":
            given = args[1:] or [
                automatic(below.arch)[name] for name in args[:1] if name in automatic(below.arch)
            ]
            return Resolved(replace(instruction, args=[args[0], *(words.expand(word) for word in given)]))
        case "WORKDIR":
            path = posixpath.normpath(posixpath.join(below.workdir or "/", words.expand(args[0])))
            return Resolved(replace(instruction, args=[path], docker=None))
        case "USER":
            return Resolved(replace(instruction, args=[words.expand(args[0])]))
        case "CMD" | "ENTRYPOINT" | "SHELL":
            listed = args if docker.exec_form else [*below.shell, *args]
            return Resolved(replace(instruction, args=listed, docker=None))
        case "RUN":
            key: list[object] = [docker.exec_form, _texts(docker), docker.mounts]
            mounts = {name: sources[name] for mount in docker.mounts if (name := mount.get("from", ""))}
            key += [[name, record.key] for name, record in sorted(mounts.items())]
            return Resolved(instruction, key, mounts=mounts)
        case _:
            return _copied(instruction, docker, below, layers, sources, words)


class _Words:
    """The words of one line."""

    def __init__(self, docker: DockerLine, values: Mapping[str, str]) -> None:
        self.docker = docker
        self.values = values

    def expand(self, word: str) -> str:
        try:
            return expand(word, self.values)
        except WordError as error:
            raise wrong(self.docker, str(error)) from None


def _texts(docker: DockerLine) -> list[list[object]]:
    return [[one.name, one.text, one.expand] for one in docker.heredocs]


def _copied(
    instruction: Instruction,
    docker: DockerLine,
    below: Record,
    layers: Sequence[Path],
    sources: Mapping[str, Record],
    words: _Words,
) -> Resolved:
    """COPY and ADD: the sources and the destination; files of the context with their paths in the image."""
    plain = [words.expand(word) if "<<" not in word else word for word in instruction.args]
    *named, into = plain
    folder = into.endswith(("/", "/.")) or into in (".", "")
    into = posixpath.normpath(posixpath.join(below.workdir or "/", into))
    folder = folder or is_folder(layers, into)
    flags = {name: words.expand(value) for name, value in docker.flags.items() if name != "from"}
    if "chown" in flags:
        try:
            flags["chown"] = ":".join(map(str, accounts.owner(layers, flags["chown"])))
        except ImageError as error:
            raise wrong(docker, str(error)) from None
    mode = flags.get("chmod", "")
    if mode and (not mode.isdecimal() or set(mode) & set("89") or len(mode) > 4):
        raise wrong(docker, f"expected --chmod with a mode such as 755, got {mode!r}")
    resolved = replace(instruction, args=[*named, into])
    resolved.docker = replace(docker, flags=flags)
    source = sources.get(docker.flags.get("from", ""))
    if source is None:
        resolved.files = _placed(resolved, resolved.docker, named, into, folder)
    heredocs = [
        [one.name, words.expand(_quoted(one.text)) if one.expand else one.text, False]
        for one in docker.heredocs
    ]
    resolved.docker.heredocs = [
        replace(one, text=str(made[1])) for one, made in zip(docker.heredocs, heredocs, strict=True)
    ]
    key: list[object] = [flags, heredocs, folder, "" if source is None else source.key]
    if folder and not resolved.args[-1].endswith("/"):
        resolved.args[-1] += "/"
    return Resolved(resolved, key, source)


def _quoted(text: str) -> str:
    """A text of which only variables are replaced: its quotes stand for themselves."""
    return text.replace('"', '\\"').replace("'", "\\'")


def _placed(
    instruction: Instruction, docker: DockerLine, named: Sequence[str], into: str, folder: bool
) -> list[FileRef]:
    """The files that the sources name, at their places in the image."""
    found: dict[str, FileRef] = {}
    many = len(named) > 1
    for name in named:
        if "<<" in name or "://" in name:
            continue
        parts = parts_of(name)
        hits = [file for file in instruction.files if matches(file.path, parts)]
        if not hits:
            raise wrong(docker, f"nothing in the context is {name!r}, or .dockerignore leaves it out")
        roots = {"/".join(file.path.split("/")[: len(parts)]) for file in hits}
        for file in hits:
            names = file.path.split("/")
            rest = names[len(parts) :]
            if not rest:  # the source is this file
                if not folder and (many or len(roots) > 1):
                    raise wrong(docker, f"several sources need a folder: write {into}/ for {into}")
                rest = [names[-1]] if folder else []
            mode = int(docker.flags["chmod"], 8) if docker.flags.get("chmod") else file.mode
            path = posixpath.join(into, *rest)
            found[path] = FileRef(path, file.digest, file.size, mode)
    return [found[path] for path in sorted(found)]


async def copy(builder: Builder, resolved: Resolved, below: Record, draft: Draft) -> None:
    """COPY and ADD: fills the layer."""
    instruction, store = resolved.instruction, builder.store
    docker = instruction.docker
    assert docker is not None
    layers = store.paths(below)
    draft.make(store.owner)
    copier = Copier(draft.folder, layers, store.owner)
    if "chown" in docker.flags:
        uid, _, gid = docker.flags["chown"].partition(":")
        copier.give = (int(uid), int(gid))
    if docker.flags.get("chmod"):
        copier.mode = int(docker.flags["chmod"], 8)
    *named, into = instruction.args
    if resolved.source is not None:
        await asyncio.to_thread(_from_image, copier, docker, store.paths(resolved.source), named, into)
        return
    staged = draft.scratch / "context"
    await store.files.place(instruction.files, "/", staged, ())
    archives = await asyncio.to_thread(_archives, instruction, staged)
    for number, archive in enumerate(archives):
        tree = draft.scratch / f"archive-{number}"
        await asyncio.to_thread(_unpack, archive, tree, docker, builder)
        await asyncio.to_thread(_as_packed, copier, tree, into)
    texts = {one.name: one.text for one in docker.heredocs}
    for word in named:
        if word.startswith("<<"):
            label = word.lstrip("<-").strip("'\"")
            place = staged / (posixpath.join(into, label) if into.endswith("/") else into).lstrip("/")
            await asyncio.to_thread(_write, place, texts[label].encode())
        elif "://" in word:
            await asyncio.to_thread(_fetch, builder, docker, word, into, staged)
    await asyncio.to_thread(copier.copy, [staged], "/", "/")


def _from_image(
    copier: Copier, docker: DockerLine, source: Sequence[Path], named: Sequence[str], into: str
) -> None:
    for word in named:
        paths = find_in(source, word)
        if not paths:
            raise wrong(
                docker, f"there is no {word!r} in {docker.text.partition('--from=')[2].partition(' ')[0]}"
            )
        for path in paths:
            folder = is_folder(source, path)
            if not folder and not into.endswith("/") and (len(paths) > 1 or len(named) > 1):
                raise wrong(docker, f"several sources need a folder: write {into}/ for {into}")
            inside = (
                posixpath.join(into, posixpath.basename(path)) if into.endswith("/") and not folder else into
            )
            copier.copy(source, path, inside.rstrip("/") or "/")


def _as_packed(copier: Copier, tree: Path, into: str) -> None:
    """The content of an archive, with its own owners unless --chown says otherwise."""
    give = copier.give
    copier.give = None if give == (0, 0) else give
    copier.copy([tree], "/", into.rstrip("/") or "/")
    copier.give = give


def _archives(instruction: Instruction, staged: Path) -> list[Path]:
    """Of the files of an ADD, those that are archives: taken out of the tree of files."""
    if instruction.op != "ADD":
        return []
    found: list[Path] = []
    for file in instruction.files:
        path = staged / file.path.lstrip("/")
        if tarfile.is_tarfile(path):
            kept = staged.with_name(f"packed-{len(found)}")
            path.rename(kept)
            found.append(kept)
    return found


def _unpack(archive: Path, tree: Path, docker: DockerLine, builder: Builder) -> None:
    from .unpack import apply

    tree.mkdir()
    builder.store.owner.take(tree)
    try:
        with archive.open("rb") as stream:
            apply(stream, tree, builder.store.owner.give, layer=False)
    except (tarfile.TarError, EOFError) as error:
        raise wrong(docker, f"the archive broke off or is damaged: {error}") from None


def _fetch(builder: Builder, docker: DockerLine, url: str, into: str, staged: Path) -> None:
    """A file of the web, which must be what --checksum says."""
    name = posixpath.basename(urllib.parse.urlsplit(url).path)
    if not url.startswith(("http://", "https://")):
        raise wrong(docker, f"expected http:// or https://, got {url}")
    if into.endswith("/") and not name:
        raise wrong(docker, f"{url} names no file: write the file's name at the destination")
    path = posixpath.join(into, name) if into.endswith("/") else into
    builder.news.log(f"fetching {url}")
    place = staged / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    hashed = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=ADD_S) as answer, place.open("wb") as file:
            while chunk := answer.read(CHUNK):
                hashed.update(chunk)
                file.write(chunk)
    except OSError as error:
        if error.errno in DISK_FULL:  # said by who knows which disk it is
            raise
        raise wrong(docker, f"{url} can't be fetched: {getattr(error, 'reason', error)}") from None
    except (ValueError, HTTPException) as error:
        raise wrong(docker, f"{url} can't be fetched: {error}") from None
    expected = docker.flags.get("checksum", "")
    got = f"sha256:{hashed.hexdigest()}"
    if expected and expected != got:
        raise wrong(docker, f"expected {url} with the checksum {expected}, got {got}")
    place.chmod(0o600)


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o644)


def command(resolved: Resolved, shell: Sequence[str]) -> list[str]:
    """The program of a RUN and its arguments."""
    docker, args = resolved.instruction.docker, resolved.instruction.args
    assert docker is not None
    if docker.exec_form:
        return args
    if not docker.heredocs:
        return [*shell, *args]
    if args[0].startswith("<<") and " " not in args[0].strip():  # the text is the script
        return [*shell, docker.heredocs[0].text]
    ends = "".join(f"{one.text}{one.name}\n" for one in docker.heredocs)
    return [*shell, f"{args[0]}\n{ends}"]
