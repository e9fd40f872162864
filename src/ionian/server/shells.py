"""Containers of one person's: a place for each, beside those that run inputs, and the shell of `ionian shell`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ..core.actions import Start
from ..protocol.apps import ShellStarted, StartShell
from ..protocol.ids import new_id
from ..protocol.stream import Refused
from ..protocol.workers import Shell, StartContainer
from .auth import Target, authorise
from .builds import WORKER_WAIT_S
from .execs import check_argv
from .master_key import SecretError

if TYPE_CHECKING:
    from .engine import Engine
    from .session import Session

log = logging.getLogger("ionian.server")


async def start_shell(engine: Engine, client: Session, message: StartShell) -> ShellStarted:
    """Starts a container as those of a function are, in which the client's program runs. Raises Refused."""
    from .engine import build_secrets

    check_argv(message.argv)
    spec, app_id, environment = engine.specs.get(message.function_id, (None, "", ""))
    authorise(client.actor, "StartShell", Target(environment, app_id))
    if spec is None:
        raise Refused(
            "NotFoundError",
            f"there is no function {message.function_id[:80]!r}: its app has ended, or never was",
        )
    if gone := await engine.server.missing_volumes(environment, spec):
        raise Refused("NotFoundError", gone)
    opened = await engine.server.open_secrets(app_id, spec.secret_ids) if spec.secret_ids else {}
    secrets: dict[str, str] = {}
    for secret_id in spec.secret_ids:  # a later one wins
        secrets.update(opened[secret_id])
    shell = Shell(message.exec_id, message.argv, message.pty, message.rows, message.columns)
    ask = StartContainer(0, "", app_id, environment, spec, secrets, shell=shell)
    ask.build_secrets = await engine.server.open_build_secrets(app_id, build_secrets(spec))
    await start_guest(engine, client, ask, message.exec_id)
    log.info("shell app=%s container=%s", app_id, ask.container_id)
    return ShellStarted(ask.container_id)


async def start_guest(engine: Engine, client: Session, ask: StartContainer, exec_id: str) -> None:
    """Finds room for a container that takes no inputs and starts it; its program is the stream `exec_id` of the client.

    Fills in which container it is. Raises Refused.
    """
    spec = ask.function
    try:
        if spec.buckets:
            ask.bucket_secrets = await engine.server.open_secrets(ask.app_id, spec.bucket_secret_ids)
    except SecretError as error:
        raise Refused("NotFoundError", f"the secret of a bucket that {spec.tag} mounts: {error}") from None
    await engine.any_worker(WORKER_WAIT_S)
    guest = engine.dispatcher.guests.take(spec.resources, spec.image_id)
    if guest is None:
        never = engine.dispatcher.why_never(spec.resources)
        raise Refused(
            "ResourceExhaustedError",
            f"no worker has room for a container of {spec.tag} now"
            + (f": {never}" if never else "; wait for what runs, or stop some of it"),
        )
    worker_id, devices = guest.worker.id, guest.reservation.devices
    try:
        engine.execs.open(exec_id, client, worker_id)
        worker = engine.execs.worker(worker_id)
    except Refused:
        engine.dispatcher.guests.leave(worker_id, guest.number)
        raise
    ask.number, ask.container_id, ask.devices = guest.number, new_id("ta"), devices
    ask.functions = engine.functions_of(ask.app_id)
    start = Start(worker_id, ask.number, ask.container_id, spec.function_id, devices)
    engine.containers.starting(start, spec, ask.app_id, ask.environment, guest=True)
    worker.send(ask)
    if not client.connected:
        engine.execs.client_gone(client)
