"""What each instruction does: the layer it makes, or the setting it changes."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ionian.protocol.container import BUILD_CALL, RING
from ionian.protocol.spec import FileRef, Instruction, Resources

from ..devices import Edits
from ..sandbox import Bind, Limits, SandboxError
from . import aws, conda, dockerfile, overlay, run_mounts
from .bases import Base, Bases, architecture
from .dockerfile import Resolved
from .host import HostSettings, split_args
from .overlay import Owner
from .packages import Target, Uv
from .pythons import Bytecode, find_python
from .records import DEFAULT_PATH, ImageError, Python, Record
from .registry import RegistryError, Unreachable, login_of
from .ring import inner_ring
from .sources import Sources
from .standalone import added
from .step import Command, failed, ran
from .sync import synced
from .uvs import choose

if TYPE_CHECKING:
    from .store import ImageStore, News

BUILD_ENV = {"HOME": "/root", "DEBIAN_FRONTEND": "noninteractive", "PATH": DEFAULT_PATH, "TERM": "dumb"}
"""What a step sees besides the image's own variables, which win."""

NO_MOUNTS: Mapping[str, Record] = {}
CALL = f"import sys; sys.path.insert(0, {RING!r}); from ionian.container.build_function import main; main()"
"""How a function of a build begins: with our modules before the image's own."""

APT = "apt-get update -q && apt-get install -y -q {packages} && rm -f /var/cache/apt/archives/*.deb"


@dataclass
class Draft:
    """A layer in the making."""

    folder: Path  # becomes the layer; not there yet
    scratch: Path  # for all else; goes when the layer is made, or not

    def make(self, owner: Owner) -> None:
        """Makes the folder, empty."""
        self.folder.mkdir()
        self.folder.chmod(0o755)
        owner.take(self.folder)


class Builder:
    """Carries out the instructions of one image."""

    def __init__(
        self,
        store: ImageStore,
        host: HostSettings,
        environment: str,
        secrets: dict[str, str],
        cards: Edits,
        news: News,
    ) -> None:
        self.store = store
        self.cards = cards  # what a step gets that asks for GPUs
        self.host = host
        self.secrets = secrets
        self.news = news
        name = hashlib.sha256(environment.encode()).hexdigest()[:12]
        cache = store.root / "cache" / name
        self.cache = cache
        self.bytecode = Bytecode(cache / "pyc")

    def key_of(self, instruction: Instruction) -> list[object]:
        """What of an instruction decides its result: not the values of secrets, which may not stay in a layer."""
        files = [[file.path, file.digest, file.mode] for file in files_of_key(instruction)]
        settings = self.host.package_key() if instruction.op in ("PIP", "SYNC") else []
        env = sorted(instruction.env.items())
        key: list[object] = [instruction.op, instruction.args, files, sorted(self.secrets), env, settings]
        if instruction.volumes:
            key.append([msgspec.to_builtins(mount) for mount in instruction.volumes])
        if instruction.resources is not None:
            key.append(msgspec.to_builtins(instruction.resources))
        if instruction.uv_version:
            key.append(["uv", instruction.uv_version])
        return key

    async def begin(self, instruction: Instruction, forced: str) -> Record:
        """FROM: the record of a base."""
        kind, name = (*instruction.args, "", "")[:2]
        if kind == "scratch":
            key = _hash(["scratch", architecture()])
            return self.store.load(key) or self.store.save(Record(key, arch=architecture()))
        pin = self.store.root / "k" / f"{_hash([kind, name, architecture()])}.base"
        if kind == "debian_slim":
            return await self._slim(name, pin, forced)
        if kind in ("registry", "gcp", "ecr"):
            return await self._tagged(kind, name, forced)
        raise ImageError(f"expected FROM debian_slim, registry or scratch, got {kind!r}")

    async def _slim(self, version: str, pin: Path, forced: str) -> Record:
        """`debian_slim`: once made here it stays the same, until it is built with force_build."""
        known = None if forced else self.store.pinned(pin)
        if known is not None:
            self.news.cached()
            return known
        self.news.start()
        if not forced and (brought := await self.store.brought(pin.stem, self.news)) is not None:
            pin.write_text(brought.key)
            return brought
        bases = self.bases()
        reasons: list[str] = []
        for base in await bases.slim(version, self.store.out_of_reach):
            self.news.source(f"{self.news.text}: from {base.source}")
            try:
                record = await self.make_base(base, forced)
            except (ImageError, RegistryError) as error:
                reasons.append(f"from {base.source}: {error}")
                self.news.log(reasons[-1])
                continue
            pin.write_text(record.key)
            return record
        raise ImageError(f"{self.news.text}: no source of this base worked here; " + "; ".join(reasons))

    async def _tagged(self, kind: str, name: str, forced: str) -> Record:
        """`from_registry`: what the tag stands for now; what it stood for when nobody answers."""
        # By the secret, too: who may not read a private image doesn't get what another had of it.
        pinned = _hash(
            [kind, name, architecture(), *([sorted(self.secrets.items())] if self.secrets else [])]
        )
        pin = self.store.root / "k" / f"{pinned}.base"
        known = None if forced else self.store.pinned(pin)
        try:
            login = await asyncio.to_thread(self._login, kind, name)
            base = await self.bases().from_registry(name, self.store.out_of_reach, login)
            key = self._base_key(base, forced)
            if known is None or known.key != key:
                self.news.start()
                self.news.source(f"{self.news.text}: from {base.source}")
                known = await self.make_base(base, forced)
                pin.write_text(known.key)
            else:
                self.news.cached()
        except RegistryError as error:
            if known is None and not forced:
                brought = await self.store.brought(pinned, self.news)
                if brought is not None:
                    pin.write_text(brought.key)
                    return brought
            if known is None and isinstance(error, Unreachable) and (version := slim_version(name)):
                self.news.source(f"{self.news.text}: {error}; made here as debian_slim is")
                slim = self.store.root / "k" / f"{_hash(['debian_slim', version, architecture()])}.base"
                return await self._slim(version, slim, forced)
            if known is None:
                raise ImageError(f"{self.news.text}: {error}") from None
            self.news.source(f"{self.news.text}: as it was here before; {error}")
            self.news.cached()
        return known

    def _login(self, kind: str, name: str) -> str:
        return aws.login(name, self.secrets) if kind == "ecr" else login_of(kind, self.secrets)

    def bases(self) -> Bases:
        """Where images begin on this machine."""
        return Bases(self.store.owner, self.host, self.news.log)

    def _base_key(self, base: Base, forced: str) -> str:
        return _hash(["base", base.identity, architecture(), forced])

    async def make_base(self, base: Base, forced: str) -> Record:
        """The record of a base, made where it is not here. Raises ImageError, RegistryError."""
        key = self._base_key(base, forced)
        known = self.store.load(key) or (None if forced else await self.store.brought(key, self.news))
        if known is not None:
            return known
        async with self.store.making(key):
            return self.store.load(key) or await self._made_base(base, key)

    async def _made_base(self, base: Base, key: str) -> Record:
        async with self.store.layer(key, "base") as draft:
            if draft is not None:
                await base.make(draft.folder, draft.scratch)
        record = base.record.but(key=key, layers=[key[:12]], base=key[:12], arch=architecture())
        record = await self.with_python(record)
        if base.needs_pip and record.python is not None:
            record = await self._packages(record, ["pip"], Instruction("PIP"), _hash([key, "pip"]))
        return self.store.save(record)

    async def apply(self, resolved: Resolved, below: Record) -> Record:
        """The record after an instruction that isn't FROM; `below` has the new key already."""
        instruction = resolved.instruction
        args = instruction.args
        match instruction.op:
            case "RUN" if instruction.docker is not None:
                return await self._run(
                    dockerfile.command(resolved, below.shell), below, instruction, resolved.mounts
                )
            case "RUN":
                return await self._run([*below.shell, " ".join(args)], below, instruction)
            case "ARG":
                return below.but(args=below.args | ({args[0]: args[1]} if len(args) > 1 else {}))
            case "USER":
                return below.but(user=args[0])
            case "COPY" | "ADD" if instruction.docker is not None:
                async with self.store.layer(below.key, "copy") as draft:
                    if draft is not None:
                        await dockerfile.copy(self, resolved, below, draft)
                return await self.with_python(self.on_top(below))
            case "APT":
                command = APT.format(packages=" ".join(f"'{name}'" for name in args))
                return await self._run(["/bin/sh", "-c", command], below, instruction)
            case "PIP":
                self.python_of(below)
                return await self._packages(below, split_args(args), instruction, below.key)
            case "PYTHON":
                return await added(self, below, args[0])
            case "SYNC":
                return await synced(self, below, instruction)
            case "CALL":
                return await self._call(below, instruction)
            case "COPY":
                return await self._copy(below, instruction)
            case "WORKDIR":
                return await self._workdir(below, args[0])
            case "ENV":
                return await self.with_python(
                    below.but(env=below.env | dict(zip(args[::2], args[1::2], strict=True)))
                )
            case "CONDA":
                return await conda.installed(self, below, instruction)
            case "ENTRYPOINT":
                return below.but(entrypoint=args)
            case "CMD":
                return below.but(cmd=args)
            case "SHELL":
                return below.but(shell=args)
            case _:
                raise ImageError(f"{self.news.text}: expected FROM only at the beginning of an image")

    async def _run(
        self,
        argv: list[str],
        below: Record,
        instruction: Instruction,
        mounts: Mapping[str, Record] = NO_MOUNTS,
    ) -> Record:
        async with self.store.layer(below.key, "step") as draft:
            if draft is not None:
                command = await self._command(argv, below, instruction)
                if instruction.docker is not None:
                    await run_mounts.prepare(self, command, instruction, below, mounts, draft.scratch)
                await self.carry_out(command, draft, instruction.timeout_s)
        return await self.with_python(self.on_top(below))

    async def _call(self, below: Record, instruction: Instruction) -> Record:
        """run_function: the user's source is there while it runs, and is no part of the layer."""
        python = self.python_of(below)
        async with self.store.layer(below.key, "step") as draft:
            if draft is not None:
                argv = [python.path, "-c", CALL, *instruction.args[:2]]
                command = await self._command(argv, below, instruction)
                source = [file for file in instruction.files if file.path.startswith("/")]
                if source:
                    command.layers = [*command.layers, await self.store.mount_layer(source)]
                context = draft.scratch / "call"
                given = [file for file in instruction.files if not file.path.startswith("/")]
                await self.store.files.place(given, "/", context, ())
                ring = await inner_ring(self.store.root, self.store.built("", below))
                command.binds += [Bind(ring, RING), Bind(context, BUILD_CALL)]
                command.env["PYTHONUNBUFFERED"] = "1"
                await self.carry_out(command, draft, instruction.timeout_s)
        return await self.with_python(self.on_top(below))

    async def _command(self, argv: list[str], below: Record, instruction: Instruction) -> Command:
        env, binds, devices = self.env_of(below, instruction), list[Bind](), list[Bind]()
        for mount in instruction.volumes:
            try:
                binds.append(await self.store.volume(mount))
            except SandboxError as error:
                raise ImageError(f"{self.news.text}: {error}") from None
        asked = instruction.resources or Resources()
        if asked.gpus and self.cards.devices:
            binds += self.cards.binds
            devices = self.cards.devices
            env |= self.cards.env | self.cards.search_path(env.get("LD_LIBRARY_PATH", ""))
        limits = Limits(asked.cpu_limit_milli, asked.memory_limit_mib)
        return Command(
            argv,
            self.store.paths(below),
            env=env,
            workdir=below.workdir or ("/root" if instruction.op == "CALL" else "/"),
            binds=binds,
            devices=devices,
            host=self.host,
            limits=limits,
        )

    async def carry_out(self, command: Command, draft: Draft, timeout_s: float) -> None:
        """Runs it; what it wrote becomes the draft's layer."""
        try:
            async with (
                asyncio.timeout(timeout_s or None),
                ran(command, draft.scratch / "box", self.news.log) as outcome,
            ):
                if outcome.code:
                    raise failed(self.news.text, outcome.code, outcome.tail)
                outcome.upper.rename(draft.folder)
        except TimeoutError:
            raise ImageError(
                f"{self.news.text}: it ran for longer than its timeout of {timeout_s:g} s and was ended; "
                "run_function(…, timeout=) allows more"
            ) from None

    async def _packages(self, below: Record, args: list[str], instruction: Instruction, key: str) -> Record:
        async with self.store.layer(key, "packages") as draft:
            if draft is not None:
                draft.make(self.store.owner)
                context = draft.scratch / "context"
                await self.store.files.place(instruction.files, "/", context, ())
                sources = await self.sources(instruction, "pip_install")
                await self.place(sources, below, instruction, args, context, draft)
        return self.on_top(below, key[:12])

    async def sources(self, instruction: Instruction, method: str) -> Sources:
        """What installs packages for a step, by the uv that it asks for."""
        uv = Uv(self.cache / "uv", self.host, instruction.env | self.secrets, method)
        if not instruction.uv_version:
            return Sources(uv, self.cache / "built")
        ours = Uv(self.cache / "uv", self.host, {}, method)  # not by an index that the step names
        chosen = await choose(ours, instruction.uv_version, self.cache / "programs", self.news.log)
        return Sources(uv, self.cache / "built", chosen)

    async def place(
        self,
        sources: Sources,
        below: Record,
        instruction: Instruction,
        args: Sequence[str],
        context: Path,
        draft: Draft,
    ) -> None:
        """Installs packages into a draft that stands on `below`, with their .pyc files."""
        target = Target(draft.folder, self.store.paths(below), self.python_of(below), self.store.owner)
        env = self.env_of(below, instruction)
        placed = await sources.place(target, args, draft.scratch, context, env, self.news.log)
        await self._compile(below, target, placed, draft.scratch / "pyc")

    def python_of(self, below: Record) -> Python:
        """The image's Python. Raises ImageError where it has none."""
        if below.python is None:
            raise ImageError(f"{self.news.text}: expected Python in the image, and none is on its PATH")
        return below.python

    async def _compile(self, below: Record, target: Target, placed: Sequence[Path], scratch: Path) -> None:
        """Compiles with the base's own Python where it is the image's, so that the outcome may be shared."""
        over, base = list(target.below), _hash(below.layers)
        if below.base:
            alone = [self.store.path(below.base)]
            if await asyncio.to_thread(same_python, alone, target.below, target.python):
                over, base = alone, below.base
        await self.bytecode.add(target, placed, over, base, scratch, self.news.log)

    async def _copy(self, below: Record, instruction: Instruction) -> Record:
        async with self.store.layer(below.key, "copy") as draft:
            if draft is not None:
                into = instruction.args[0] if instruction.args else "/"
                into = into if into.startswith("/") else f"{below.workdir or '/root'}/{into}"
                layers = self.store.paths(below)
                await self.store.files.place(instruction.files, into, draft.folder, layers)
        return self.on_top(below)

    async def _workdir(self, below: Record, path: str) -> Record:
        path = path if path.startswith("/") else f"{below.workdir or '/root'}/{path}"
        layers = self.store.paths(below)
        real, found = overlay.resolve(layers, path)
        if found is not None:
            return below.but(workdir=path)
        async with self.store.layer(below.key, "workdir") as draft:
            if draft is not None:
                draft.make(self.store.owner)
                overlay.make_folders(draft.folder, real, self.store.owner, layers)
        return self.on_top(below).but(workdir=path)

    def on_top(self, below: Record, name: str = "") -> Record:
        """The record with one more layer: that of its key, unless another is named."""
        return below.but(layers=[*below.layers, name or below.key[:12]])

    def env_of(self, below: Record, instruction: Instruction) -> dict[str, str]:
        """The variables of a step."""
        args = below.args if instruction.docker is not None else {}
        return BUILD_ENV | args | below.env | instruction.env | self.secrets

    async def with_python(self, record: Record) -> Record:
        """The record with the Python that its layers have now."""
        layers, env = self.store.paths(record), BUILD_ENV | record.env
        scratch = self.store.scratch(record.key)
        return record.but(python=await find_python(layers, env, record.python, scratch))


def slim_version(name: str) -> str:
    """The version of Python where an image is what `debian_slim` is, such as `python:3.11-slim`; else ""."""
    image, _, tag = name.partition(":")
    version, _, kind = tag.partition("-")
    slim = image in ("python", "library/python", "docker.io/python", "docker.io/library/python")
    return version if slim and kind in ("slim", "slim-bookworm", "slim-trixie") else ""


def same_python(base: Sequence[Path], layers: Sequence[Path], python: Python) -> bool:
    """Whether an image's Python is still that of its base: the program, and the library beside it."""
    names = (python.path, python.real.split(" ")[0])
    for name in names:
        before, now = overlay.resolve(base, name)[1], overlay.resolve(layers, name)[1]
        if before is None or now is None or not before.samefile(now):
            return False
    return True


def files_of_key(instruction: Instruction) -> list[FileRef]:
    """The files that decide a result. Of a function these are its arguments: its source is in its key, so far as it counts."""
    if instruction.op == "CALL":
        return [file for file in instruction.files if file.path == "call.pickle"]
    return instruction.files


def _hash(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
