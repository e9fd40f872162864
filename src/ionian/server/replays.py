"""Failed inputs: kept as they fail, and run again in containers of their own, at a person's terminal."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import logging
import pickle
import time
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from ..core.actions import Failed
from ..protocol.apps import ReplayStarted, StartReplay
from ..protocol.batch import BLOB, ERROR
from ..protocol.ids import input_id
from ..protocol.spec import FunctionSpec, VolumeMount
from ..protocol.stream import Refused
from ..protocol.workers import Replay, StartContainer
from .auth import Target, authorise
from .shells import start_guest
from .store.schema import App, FailedInput
from .store.versions import digests_of

if TYPE_CHECKING:
    from .engine import Engine
    from .session import Session

log = logging.getLogger("ionian.server")

WRITE_EVERY_S = 0.2
WAITING_MOST = 1000
"""Failures that wait to be written: past this the disk is too slow, and the newest are not kept."""

FAILURE_MAX = 1 << 20
LINE_MAX = 500


class Replays:
    """Keeps failed inputs, and runs them again."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: list[FailedInput] = []
        self._writing = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._specs: dict[str, tuple[FunctionSpec, str]] = {}  # as JSON, by function

    # --- keeping

    def failed(self, action: Failed) -> None:
        """An input has ended in a failure: it is written soon, beside the loop."""
        found = self._engine.specs.get(action.function_id)
        if found is None or len(self._waiting) >= WAITING_MOST:
            return
        spec, app_id, environment = found
        self._waiting.append(
            FailedInput(
                input_id(action.call_id, action.index),
                app_id,
                environment,
                self._json(spec),
                action.input_code & BLOB,
                action.input,
                last_line(action.code, action.failure),
                time.time(),
            )
        )
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(WRITE_EVERY_S, self._write_soon)

    def _json(self, spec: FunctionSpec) -> str:
        known = self._specs.get(spec.function_id)
        if known is None or known[0] is not spec:
            if len(self._specs) >= WAITING_MOST:
                self._specs.clear()
            known = self._specs[spec.function_id] = spec, msgspec.json.encode(spec).decode()
        return known[1]

    def _write_soon(self) -> None:
        self._timer = None
        task = asyncio.ensure_future(self.flush())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def flush(self) -> None:
        """Writes what waits. A failure to write is logged: nobody's result depends on it."""
        async with self._writing:
            rows, self._waiting = self._waiting, []
            if not rows:
                return
            try:
                await asyncio.to_thread(self._engine.server.store.failed_inputs.add, rows)
            except Exception:
                log.exception("keeping %d failed inputs", len(rows))

    # --- running again

    async def start(self, client: Session, message: StartReplay) -> ReplayStarted:
        """Starts a container that runs a kept input at the client's terminal. Raises Refused."""
        engine, store = self._engine, self._engine.server.store
        await self.flush()
        row = await asyncio.to_thread(store.failed_inputs.find, message.input_id)
        authorise(
            client.actor, "StartReplay", Target() if row is None else Target(row.environment, row.app_id)
        )
        if row is None:
            raise Refused(
                "NotFoundError",
                f"no failed input {message.input_id[:80]!r} is kept: those that fail are for 7 days (the newest 10,000, and "
                "of one function 100 a minute), those that succeed are not; the id stands below the failure",
            )
        spec = msgspec.json.decode(row.spec, type=FunctionSpec)
        app = await asyncio.to_thread(store.apps.find, row.app_id)
        may_differ = await asyncio.to_thread(self._differences, row, spec, app)
        secrets = await self._secrets(row, spec, app, may_differ)
        replay = Replay(
            message.exec_id,
            base64.b64encode(row.payload).decode(),
            message.debug,
            message.shell,
            message.rows,
            message.columns,
            message.input_id,
            bool(row.code & BLOB),
        )
        ask = StartContainer(0, "", row.app_id, row.environment, spec, secrets, replay=replay)
        await start_guest(engine, client, ask, message.exec_id)
        log.info("replay input=%s container=%s", message.input_id, ask.container_id)
        name = app.name if app is not None else row.app_id
        return ReplayStarted(spec.tag, name, spec.version, row.failure, may_differ)

    def _differences(self, row: FailedInput, spec: FunctionSpec, app: App | None) -> list[str]:
        """What will not be as it was, in sentences; mounts of volumes that are gone are taken off. Blocks."""
        context = self._engine.server.context
        named = {row.payload.decode().split()[0]} if row.code & BLOB else set[str]()
        if missing := context.blobs.missing({*digests_of(spec), *named}):
            raise Refused(
                "NotFoundError",
                f"{row.input_id} can't be run again: {len(missing)} files of its app or input are gone",
            )
        said = [
            f"time: it failed {ago(time.time() - row.failed_at)} ago; clocks, random numbers and the network are those of now"
        ]
        if app is not None and app.version > spec.version > 0:
            said.append(
                f"version: this is version {spec.version} of the app; version {app.version} is deployed"
            )
        gone = context.store.volumes.missing(row.environment, {mount.volume_id for mount in spec.volumes})
        kept: list[VolumeMount] = []
        for mount in spec.volumes:
            if mount.volume_id in gone:
                said.append(f"volume at {mount.path}: it was deleted, and nothing is there")
            else:
                kept.append(mount)
                said.append(
                    f"volume at {mount.path}: it is as it is now, and what the run writes there stays"
                )
        spec.volumes = kept
        return said

    async def _secrets(
        self, row: FailedInput, spec: FunctionSpec, app: App | None, may_differ: list[str]
    ) -> dict[str, str]:
        """The variables of its secrets. Those of its app are as they were: equal ids are equal content."""
        server, values = self._engine.server, dict[str, str]()
        known = await asyncio.to_thread(server.store.secrets.find, row.app_id, spec.secret_ids)
        named = await asyncio.to_thread(server.store.secrets.named, spec.secret_ids)
        for secret_id in spec.secret_ids:
            if secret_id in named and named[secret_id].row.updated_at > row.failed_at:
                may_differ.append(
                    f"secret {secret_id}: it was changed since, and its variables are those of now"
                )
            if app is None or (secret_id not in known and secret_id not in named):
                may_differ.append(
                    f"secret {secret_id}: it went with its app, which has ended; its variables are not set"
                )
                continue
            opened = await asyncio.to_thread(server.secrets.each, app, [secret_id])
            values.update(opened[secret_id])
        return values


def ago(seconds: float) -> str:
    """A span of time as a person says it."""
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {name}{'' if count == 1 else 's'}"
    return f"{max(1, int(seconds))} s"


# --- the last line of a failure, without trust in who made it


class _Plain(pickle.Unpickler):
    """Reads dicts, texts and numbers: a class in it is refused, and nothing of it is run."""

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"{module_name}.{global_name}")


def last_line(code: int, failure: bytes) -> str:
    """What a traceback ends with."""
    if code & BLOB or len(failure) > FAILURE_MAX:
        return "it failed, with a long text"
    try:
        if code & 0xFF == ERROR:
            told: Any = _Plain(io.BytesIO(failure)).load()
            module = "" if told["module"] == "builtins" else f"{told['module']}."
            text = f"{module}{told['type']}: {told['message']}"
        else:
            told = json.loads(failure)
            text = f"{told['type']}: {told['message']}"
    except Exception:
        return "it failed"
    return text.strip().splitlines()[0][:LINE_MAX] if text.strip() else "it failed"
