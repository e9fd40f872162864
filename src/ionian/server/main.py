"""The server process: `ionian server`, or in the background of `ionian run`."""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import gc
import logging
import os
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from ..machine.state import STAY, StateError, StateFolder
from .auth import local_token
from .bucket import BucketError
from .master_key import SecretError
from .own_address import ANY, bracketed, reached_at
from .server import Server, announce
from .store import StoreError
from .web.certificate import Certificate, CertificateError

log = logging.getLogger("ionian.server")

IDLE_S = 300.0
"""A server that was started for one run ends after five idle minutes."""

LOOKS = 20
"""Who looks whether a process lives takes its lock for a moment: so often it is tried again, every 10 ms."""


@dataclass
class Options:
    """How a server is started."""

    state: StateFolder
    host: str = "127.0.0.1"
    port: int = 0  # 0: one that is free
    web_port: int = 0  # of web endpoints; 0: the one of before, or one that is free
    domain: str = ""  # their hosts are in it
    web_host: str = ""  # the address at which they are; empty: that of the server
    web_cert: str = ""  # the files of their certificate and its key; empty: plain HTTP
    web_key: str = ""
    dashboard_port: int = 0  # likewise
    dashboard_url: str = ""  # where a proxy shows it; empty: at its own address
    database: str = ""  # a SQLAlchemy URL; empty: SQLite in the state folder
    local: bool = True  # with a worker on this machine
    idle_s: float = 0.0  # end when idle for so long; 0: never
    worker_options: list[str] = field(default_factory=list[str])
    insecure: bool = False  # listen beyond loopback without TLS
    starting: int | None = None  # the descriptor of a lock: closed when it has said where it is


class CannotServe(Exception):
    """The server can't start. The message says why and what to do."""


def serve(options: Options) -> None:
    """Runs a server until it is told to stop. Raises CannotServe."""
    certificate = encryption(options)
    lock = _lock(options.state.runtime / "server.lock")
    try:
        uvloop.run(_serve(options, certificate))
    finally:
        os.close(lock)


def encryption(options: Options) -> Certificate | None:
    """What web endpoints are encrypted with. Raises CannotServe where something would cross a network in the clear."""
    if not _is_loopback(options.host) and not options.insecure:
        raise CannotServe(
            f"expected a loopback address, got {options.host}: tokens and data would cross the network in the clear. Put a "
            "TLS proxy in front of it, or say --insecure for a network that you trust"
        )
    if bool(options.web_cert) != bool(options.web_key):
        lacks = "--web-key" if options.web_cert else "--web-cert"
        raise CannotServe(f"expected --web-cert and --web-key together; {lacks} is missing")
    if not options.web_cert:
        if options.web_host and not _is_loopback(options.web_host) and not options.insecure:
            raise CannotServe(
                f"expected --web-cert and --web-key with --web-host {options.web_host}: without them what endpoints are asked, "
                "and answer, crosses the network in the clear. Put a TLS proxy in front, or say --insecure for a network that "
                "you trust"
            )
        return None
    try:
        return Certificate(Path(options.web_cert), Path(options.web_key))
    except CertificateError as error:
        raise CannotServe(f"--web-cert, --web-key: {error}") from None


def _is_loopback(host: str) -> bool:
    return host in ("127.0.0.1", "::1", "localhost")


async def _serve(options: Options, certificate: Certificate | None) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        server = Server(
            options.state,
            database=options.database,
            local=options.local,
            worker_options=options.worker_options,
            web_host=options.web_host or options.host,
            certificate=certificate,
            web_port=options.web_port,
            domain=options.domain,
            dashboard_port=options.dashboard_port,
            dashboard_url=options.dashboard_url,
        )
    except (StoreError, StateError, SecretError, BucketError) as error:
        raise CannotServe(str(error)) from error
    try:
        url = await server.start(options.host, options.port)
    except OSError as error:
        await server.stop()
        reason = os.strerror(error.errno) if error.errno else str(error)
        port, option = (
            (options.port, "--port")
            if server.dashboard.is_open
            else (options.dashboard_port, "--dashboard-port")
        )
        raise CannotServe(
            f"can't listen on {options.host}:{port}: {reason}; choose another {option}, or end what uses it"
        ) from None
    (options.state.runtime / STAY).unlink(missing_ok=True)  # of one that was killed
    announce(options.state, url, server.local_url)
    if options.starting is not None:
        os.close(options.starting)
    if options.host in ANY:
        url = url.replace(bracketed(options.host), bracketed(reached_at(options.host)), 1)
    print(f"Ionian server at {url}\nDashboard at {server.dashboard.url}", flush=True)
    if not options.local:
        print(
            f"A worker joins with: ionian worker --server {url} --token {local_token(options.state, 'worker')}",
            flush=True,
        )
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)  # calls make few cycles; a collection costs more than a call
    try:
        await _until_stopped(server, stop, options.idle_s, options.state.runtime / STAY)
    finally:
        (options.state.runtime / STAY).unlink(missing_ok=True)
        (options.state.runtime / "server.json").unlink(missing_ok=True)
        await server.stop()


async def _until_stopped(server: Server, stop: asyncio.Event, idle_s: float, stay: Path) -> None:
    if not idle_s:
        await stop.wait()
        return
    idle_since = None
    loop = asyncio.get_running_loop()
    while not stop.is_set():
        if server.busy or stay.exists():
            idle_since = None
        elif idle_since is None:
            idle_since = loop.time()
        elif loop.time() - idle_since > idle_s:
            log.info("idle for %.0f s, ending", idle_s)
            return
        try:
            await asyncio.wait_for(stop.wait(), 1.0)
        except asyncio.TimeoutError:
            pass


def take_lock(descriptor: int) -> None:
    """Takes the lock of a process for good. Raises BlockingIOError where another has it, and not just to look."""
    for _ in range(LOOKS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(0.01)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _lock(file: Path) -> int:
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        take_lock(descriptor)
    except BlockingIOError:
        os.close(descriptor)
        raise CannotServe(
            f"a server already runs on {file.parent.parent}; see `ionian server status`, or set IONIAN_HOME to another folder"
        ) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())  # whom `ionian server stop` ends
    return descriptor


def main(arguments: list[str] | None = None) -> None:
    """The background server that a client starts; people use `ionian server`."""
    parser = argparse.ArgumentParser(prog="python -m ionian.server.main")
    parser.add_argument("--idle", type=float, default=IDLE_S)
    parser.add_argument("--no-gpu", action="store_true")
    parser.add_argument("--starting", type=int)
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=os.environ.get("IONIAN_LOGLEVEL", "INFO"),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    for library in ("alembic", "picows"):
        logging.getLogger(library).setLevel(logging.WARNING)
    worker_options = ["--no-gpu"] if options.no_gpu else []
    try:
        serve(
            Options(
                StateFolder.default(),
                idle_s=options.idle,
                worker_options=worker_options,
                starting=options.starting,
            )
        )
    except CannotServe as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
