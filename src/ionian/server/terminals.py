"""The terminals of who runs apps interactively, lent to containers of these: to one at a time, in the order of asking."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..protocol.apps import KillExec, StartExec
from ..protocol.container import RING
from ..protocol.ids import new_id
from ..protocol.messages import Done
from ..protocol.stream import Refused
from ..protocol.terminals import Interact, Interacting, LendTerminal, TakeTerminal, TerminalWanted
from .auth import Target, authorise
from .execs import check_argv
from .handlers.apps import app_of

if TYPE_CHECKING:
    from .containers import Container
    from .engine import Engine
    from .session import Session

log = logging.getLogger("ionian.server")

PROGRAM = f"{RING}/ionian/container/terminal.py"
"""What stands at the terminal in the container."""

HANGING_S = 5.0
"""A terminal that something in the container still holds open so long after it was returned is taken away."""

WORD_MAX = 64


@dataclass(slots=True)
class Lent:
    """A terminal, and whose turn it is."""

    session: Session
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(slots=True, eq=False)
class Use:
    """A container that wants the terminal, or has it."""

    exec_id: str
    container: Container
    lent: Lent
    message: Interact
    started: asyncio.Future[str]  # the kind of terminal
    over: asyncio.Event = field(default_factory=asyncio.Event)
    stream: Session | None = None  # on which the terminal is


class Terminals:
    """All of them, by the apps for which they are there."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lent: dict[str, Lent] = {}
        self._uses: dict[str, Use] = {}

    # --- the client

    async def lend(self, session: Session, message: LendTerminal) -> Done:
        """Containers of an app may ask for the terminal of this client from now on. Raises Refused."""
        await app_of(session.actor, "LendTerminal", message.app_id, self._engine.server.context)
        known = self._lent.get(message.app_id)
        if known is None:
            self._lent[message.app_id] = Lent(session)
        elif known.session.actor.id == session.actor.id:  # it was cut off, and is back
            known.session = session
        else:
            raise Refused("AlreadyExistsError", f"app {message.app_id} has the terminal of another client")
        return Done()

    async def take(self, session: Session, message: TakeTerminal) -> Done:
        """This stream is the terminal that a container waits for. Raises Refused."""
        use = self._uses.get(message.exec_id)
        target = Target() if use is None else Target(use.container.actor.environment, use.container.app_id)
        authorise(session.actor, "TakeTerminal", target)
        if use is None or use.stream is not None or not _same(use.lent.session, session):
            raise Refused("NotFoundError", "no container waits for this terminal any more")
        use.stream = session
        argv = [use.message.python, "-I", "-S", PROGRAM, use.message.meeting]
        start = StartExec(use.exec_id, use.container.container_id, argv, True, message.rows, message.columns)
        try:
            await self._engine.execs.start(session, start)
        except BaseException as error:
            self._end(use, str(error) or "the terminal went away")
            raise
        if not use.started.done():
            use.started.set_result(message.term[:WORD_MAX])
        log.info("terminal container=%s exec=%s", use.container.container_id, use.exec_id)
        return Done()

    def client_gone(self, session: Session) -> None:
        """A stream has ended: the terminal on it is its person's again, and what the client lent is there no more."""
        for use in list(self._uses.values()):
            if use.stream is session or (use.stream is None and use.lent.session is session):
                self._end(use, "the terminal went away")
        for app_id, lent in list(self._lent.items()):
            if lent.session is session:
                del self._lent[app_id]

    # --- the container

    async def want(self, container_id: str, message: Interact) -> Interacting:
        """The terminal of who runs the app, when it is this container's turn. Raises Refused."""
        container = self._engine.containers.find(container_id)
        lent = self._lent.get(container.app_id) if container is not None else None
        if container is None or lent is None:
            raise Refused(
                "InvalidError",
                f"Cannot use {message.what[:WORD_MAX]} without running the app in interactive mode: `ionian run -i`, or "
                "app.run(interactive=True)",
            )
        check_argv([message.python, message.meeting])
        await lent.turn.acquire()
        started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        use = Use(new_id("ex"), container, lent, message, started)
        self._uses[use.exec_id] = use
        if lent.session.connected and self._engine.containers.find(container_id) is not None:
            lent.session.send(TerminalWanted(use.exec_id, container.app_id, container.tag, container_id))
        else:
            self._end(use, "the terminal went away")
        return Interacting(use.exec_id, await started)

    async def give_back(self, container_id: str, exec_id: str) -> Done:
        """The container needs it no more. Comes back when its person has it."""
        use = self._uses.get(exec_id)
        if use is None or use.container.container_id != container_id:
            return Done()
        for last in (False, True):
            try:
                await asyncio.wait_for(use.over.wait(), HANGING_S)
            except asyncio.TimeoutError:
                worker = self._engine.workers.get(use.container.worker_id)
                if worker is not None and not last:
                    worker.send(KillExec(exec_id))
        return Done()

    def container_gone(self, container_id: str) -> None:
        """A container has ended. A program in it ends by itself."""
        for use in list(self._uses.values()):
            if use.container.container_id == container_id and use.stream is None:
                self._end(use, "the container has ended")

    # --- both

    def _end(self, use: Use, reason: str) -> None:
        if self._uses.pop(use.exec_id, None) is None:
            return  # it has ended before
        if not use.started.done():
            use.started.set_exception(Refused("ExecutionError", f"no terminal: {reason}"))
        use.over.set()
        use.lent.turn.release()


def _same(one: Session, other: Session) -> bool:
    """Whether two streams came with one token."""
    return one.actor.token_id == other.actor.token_id
