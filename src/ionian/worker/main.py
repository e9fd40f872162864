"""The worker process: `ionian worker`, or the one beside a local server."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import gc
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import uvloop

from ..machine.state import StateFolder
from ..protocol.ids import new_id
from .uplink import announced
from .worker import Worker

LOCAL_PATIENCE_S = 120.0
"""A local worker without a server ends after two minutes; its containers hold results that someone may come for."""


@dataclass
class Options:
    """How a worker is started."""

    state: StateFolder
    name: str = "local"
    url: str = ""  # empty: the server of this user on this machine, wherever it is just now
    token: str = ""
    no_gpu: bool = False
    volumes: str = ""  # where this machine sees the server's folder of volumes


class CannotWork(Exception):
    """The worker can't start or was refused. The message says why and what to do."""


def work(options: Options) -> None:
    """Runs a worker until it is told to stop. Raises CannotWork."""
    runtime = options.state.runtime
    lock = os.open(runtime / f"{_lock_name(options)}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotWork(
            f"a worker named {options.name!r} runs here already; choose another --name"
        ) from None
    uvloop.run(_work(options))


def _lock_name(options: Options) -> str:
    return "worker" if not options.url else f"worker-{options.name}"


async def _work(options: Options) -> None:
    loop = asyncio.get_running_loop()
    find = (
        (lambda: (options.url, options.token)) if options.url else (lambda: announced(options.state.runtime))
    )
    worker = Worker(
        options.state,
        options.name,
        _worker_id(options),
        find,
        ignore_gpu=options.no_gpu,
        volumes=Path(options.volumes).absolute() if options.volumes else None,
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, worker.uplink.dismiss)
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # calls make few cycles; a collection costs more than a call
    await worker.live(0.0 if options.url else LOCAL_PATIENCE_S)
    if worker.uplink.refused is not None:
        raise CannotWork(str(worker.uplink.refused))


def _worker_id(options: Options) -> str:
    """The same after a restart, so that the server knows at once that the containers of before are gone."""
    file = options.state.worker(options.name) / "id"
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        made = new_id("wo")
        file.write_text(made + "\n")
        return made


def main(arguments: list[str] | None = None) -> None:
    """The background worker that a local server starts; people use `ionian worker`."""
    parser = argparse.ArgumentParser(prog="python -m ionian.worker.main")
    parser.add_argument("--local", action="store_true")
    parser.add_argument("--no-gpu", action="store_true")
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=os.environ.get("IONIAN_LOGLEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("picows").setLevel(logging.WARNING)
    try:
        work(Options(StateFolder.default(), no_gpu=options.no_gpu))
    except CannotWork as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
