"""What a container is made of: its sandbox, and what its agent is told."""

from __future__ import annotations

import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ..protocol.container import RING, Begin
from ..protocol.spec import FunctionSpec
from ..protocol.workers import StartContainer
from .ends import Ends
from .environment import environment_of
from .images import BuiltImage
from .sandbox import Bind, ForkSpec, Limits, SandboxError, SandboxSpec

if TYPE_CHECKING:
    from .worker import Worker

FUNCTION_FILE = "/run/ionian-function.pickle"

LEAVE_S = 30.0
"""For what runs at a container's end (@exit, atexit, threads that are waited for), as Modal gives it."""

PIDS = 4096
"""Processes and threads of one container: more than any real program, fewer than would stop the machine."""

_FAULTS = {name: value for name, value in os.environ.items() if name == "IONIAN_FAULT"}  # set by tests alone


async def sandbox_of(
    worker: Worker, ask: StartContainer, image: BuiltImage, scratch: Path, *, template: bool = False
) -> SandboxSpec:
    """The sandbox of a container: its layers, what is mounted in it, its devices and limits. A template of it has no
    devices: its forks get them. Raises SandboxError."""
    function = ask.function
    _check_disk(worker, function)
    layers = list(image.layers)
    if function.mounts:
        layers.append(await worker.images.mount_layer(function.mounts))
    ring = await worker.ring(image)
    binds = [Bind(ring, RING)]
    if function.serialized:
        binds.append(Bind(await worker.blobs.fetch(function.serialized), FUNCTION_FILE))
    for volume in function.volumes:
        binds.append(await worker.copies.bind(volume, ask.container_id))
    edits = worker.devices.edits(ask.devices)
    if not template:
        binds.extend(edits.binds)
    return SandboxSpec(
        layers=layers,
        scratch=scratch,
        argv=["-m", "ionian.container.template" if template else "ionian.container.agent"],
        env={
            **_FAULTS,
            "PATH": image.env.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
            "LANG": "C.UTF-8",
            # The dynamic linker reads it once, at the start of the interpreter.
            **edits.search_path(function.env.get("LD_LIBRARY_PATH", image.env.get("LD_LIBRARY_PATH", ""))),
        },
        workdir="/",
        binds=binds,
        hostname=_hostname(function.tag),
        devices=[] if template else edits.devices,
        network=not function.block_network,
        limits=limits_of(function),
        python=image.python,
        python_path=[RING],
        init=f"{RING}/ionian/container/init.py",
    )


def fork_of(worker: Worker, ask: StartContainer, ends: Ends, scratch: Path) -> ForkSpec:
    """A container as the fork of a template: what it has of its own."""
    edits = worker.devices.edits(ask.devices)
    return ForkSpec(
        scratch=scratch,
        limits=limits_of(ask.function),
        hostname=_hostname(ask.function.tag),
        stdout=ends.stdout,
        stderr=ends.stderr,
        pass_fds=ends.pass_fds,
        binds=edits.binds,
        devices=edits.devices,
        again=True,
    )


def limits_of(function: FunctionSpec) -> Limits:
    """The most that a container of it may use."""
    return Limits(function.resources.cpu_limit_milli, function.resources.memory_limit_mib, PIDS)


def begin_of(worker: Worker, ask: StartContainer, image: BuiltImage) -> Begin:
    """What its agent is told at its start; without a container's id, what a template is told."""
    function, batching = ask.function, ask.function.batching
    return Begin(
        container_id=ask.container_id,
        function_id=function.function_id,
        app_id=ask.app_id,
        module=function.module,
        qualname=function.qualname,
        definition=function.definition,
        serialized=FUNCTION_FILE if function.serialized else "",
        is_generator=function.is_generator,
        environment=ask.environment,
        env=environment_of(ask, image, worker.devices.edits(ask.devices)),
        functions=ask.functions,
        workdir=image.workdir,
        image_id=function.image_id,
        is_class=function.class_spec is not None,
        arguments=function.class_spec.arguments if function.class_spec is not None else "",
        max_inputs=function.concurrency.max_inputs,
        batch_size=batching.max_batch_size if batching is not None else 0,
        batch_wait_ms=batching.wait_ms if batching is not None else 0,
        snapshot=function.snapshot,
        grace_s=LEAVE_S,
        single_use=function.single_use,
        has_gpu=bool(ask.devices),
        volumes=[volume.path for volume in function.volumes],
        web=asdict(function.web) if function.web is not None else None,
        entrypoint=image.entrypoint,
    )


def slots_of(function: FunctionSpec) -> int:
    """How many inputs a container of this function runs at once."""
    if function.single_use:
        return 1
    return function.concurrency.max_inputs * (
        function.batching.max_batch_size if function.batching is not None else 1
    )


def _check_disk(worker: Worker, function: FunctionSpec) -> None:
    asked = function.resources.ephemeral_disk_mib
    free = shutil.disk_usage(worker.scratch).free >> 20
    if asked > free:
        raise SandboxError(
            f"{function.tag} asks for ephemeral_disk={asked:,} MiB, and the worker's disk has {free:,} MiB free; "
            "ask for less, or make room there"
        )


def _hostname(tag: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in tag)[:60].strip("-") or "ionian"
