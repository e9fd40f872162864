"""The agent: pid 2 of a container. Imports the user's function and runs inputs on the main thread.

It starts no thread and no event loop before user code needs one, and reads the socket itself while idle.
"""

from __future__ import annotations

import json
import mmap
import os
import socket
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, NoReturn

# faults reads its variable at its import: below, user code gets an environment of its own.
from .. import execution, faults, interaction, link  # noqa: F401  # pyright: ignore[reportUnusedImport]
from ..protocol.container import CELL_FD, DATA_FD, RING, SIDE_FD, Begin, Failed, Leaving, Ready
from ..protocol.slots import Slots
from ..serialization import dump_failure
from . import lifecycle, modules
from .results import Results, flush_output
from .signals import leading_to
from .wire import Messages, Packets
from .written import marks

HIDE = RING + "/"
"""Frames of files below this are ours, not the user's."""


def main() -> None:
    """Runs the container until its worker has no more inputs for it."""
    side = opened()
    begin = begun(side, __name__)
    become(begin)
    marks.install()
    link.connect_by(lambda: link_of(side, begin))
    started = time.monotonic()

    def ready() -> None:
        imported = time.monotonic()
        callables = lifecycle.prepare(begin)
        entered = time.monotonic()
        serve(side, begin, callables, {"imports": imported - started, "enter": entered - imported})

    load(side, begin, ready)


# --- the parts of it, which a template takes as well, one by one


def opened() -> Messages:
    """The side stream."""
    keep_own_descriptors()
    return Messages(socket.socket(fileno=SIDE_FD))


def keep_own_descriptors() -> None:
    """Has programs that user code starts not have ours."""
    for fd in (DATA_FD, SIDE_FD, CELL_FD):
        try:
            os.set_inheritable(fd, False)
        except OSError:
            pass  # a template has but one of them


def first(side: Messages) -> tuple[str, dict[str, Any]]:
    """The name and fields of the worker's first message. Ends the process where none comes."""
    entry = side.receive()
    if entry is None:
        os._exit(0)
    name, _, body = json.loads(entry[1])
    return name, body


passed: Begin | None = None
"""What this process was told before the entrypoint of its image took it and started it again (entrypoint.py)."""

before: dict[str, str] | None = None
"""The environment of user code then."""


def begun(side: Messages, module: str) -> Begin:
    """What the worker tells first. An entrypoint of the image takes the process and starts the module again."""
    if passed is not None:
        return passed
    begin = Begin(**first(side)[1])
    if begin.entrypoint:
        from .entrypoint import enter

        enter(side, begin, module)
    return begin


def become(begin: Begin) -> None:
    """Makes this process one of a container: its environment, its folder, what it can import."""
    execution.enter_container()  # before the alias: what it would say of a hidden `modal` is for home
    os.environ.clear()
    os.environ.update(begin.env)
    if begin.cluster is not None:
        from .. import clusters

        clusters.enter(begin.cluster)
    os.chdir(begin.workdir)
    sys.argv = [begin.module]
    modules.install_finders()
    modules.show_plain_flags()
    interaction.install()
    sys.path[:1] = [folder for folder in begin.env.get("PYTHONPATH", "/root").split(":") if folder]
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)


def load(side: Messages, begin: Begin, then: Callable[[], None]) -> None:
    """Imports the user's module, and goes on with `then`: behind the import, or where the module enters app.run() and
    so will never return."""

    def go_on() -> None:
        with told(side, begin):
            then()

    execution.on_app_run(go_on)
    with told(side, begin):
        execution.set_importing(True)
        modules.load(begin)
        execution.set_importing(False)
        then()


@contextmanager
def told(side: Messages, begin: Begin) -> Generator[None]:
    """Has the worker know of a failure, which ends the process."""
    try:
        yield
    except SystemExit:
        raise
    except BaseException as error:
        _failed(side, begin, error)


def serve(
    side: Messages, begin: Begin, callables: lifecycle.Callables, seconds: dict[str, float]
) -> NoReturn:
    """Runs inputs until the worker has no more, and what is to be run at the end. `seconds`: what its start took."""
    packets = Packets(socket.socket(fileno=DATA_FD))
    results = Results(packets, begin.container_id, HIDE)
    runner = runner_of(begin)(packets, mmap.mmap(CELL_FD, 0), results, callables)
    marks.begin(getattr(runner, "running", None))
    with leading_to(runner):
        side.send(Ready(f"{sys.version_info[0]}.{sys.version_info[1]}", seconds))
        runner.serve()
    side.send(Leaving())
    callables.leave()
    _leave()


Made = Callable[[Packets, mmap.mmap, Results, lifecycle.Callables], Any]


def runner_of(begin: Begin) -> Made:
    """How what runs the inputs is made, as the function is meant to have them. Each is imported only where it is used."""
    if begin.batch_size:
        from .batched import BatchedRunner

        size, most = (1, 1) if begin.single_use else (begin.batch_size, begin.max_inputs)
        return lambda packets, cell, results, callables: BatchedRunner(
            packets, Slots(cell), results, callables, size, begin.batch_wait_ms, most
        )
    if begin.max_inputs > 1 and not begin.single_use:
        from .concurrent import ConcurrentRunner

        return lambda packets, cell, results, callables: ConcurrentRunner(
            packets, Slots(cell), results, callables, begin.max_inputs
        )
    from .run import Runner

    return lambda packets, cell, results, callables: Runner(
        packets, cell, results, callables, single_use=begin.single_use
    )


def link_of(side: Messages, begin: Begin) -> Any:
    """The way by which user code reaches the server; made where it first does."""
    from .link import ContainerLink

    return ContainerLink(side, begin)


def _failed(side: Messages, begin: Begin, error: BaseException) -> NoReturn:
    from .hints import explain

    # Nothing is printed: a start is tried again, and the failure reaches the caller whole.
    explain(error, begin)
    flush_output()
    side.send(
        Failed(f"{type(error).__name__}: {error}"),
        0,
        dump_failure(error, hide=HIDE, where=begin.container_id),
    )
    os._exit(1)


def _leave() -> NoReturn:
    """Ends the process as Python would, without unwinding the frames below: they are the user's import."""
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    flush_output()
    os._exit(0)
