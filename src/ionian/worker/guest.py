"""A container of one person's: what runs in it is theirs, and it takes no inputs.

Its first program only waits. What the person sees is a second one (exec.py); at its end the container ends.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..protocol.apps import ExecEnded
from ..protocol.stream import Refused
from ..protocol.workers import StartContainer
from .container import Container
from .images import BuiltImage
from .recipe import sandbox_of
from .sandbox import Bind, Exit, Program, Sandbox, SandboxError, start

if TYPE_CHECKING:
    from .worker import Worker

SHELL = "command -v bash >/dev/null && exec bash; exec sh"
"""For images that have no bash, too."""

NOT_RUN = -1


class GuestContainer(Container):
    """States: being made → its program runs → ended. The server's inventory lacks it."""

    def __init__(self, worker: Worker, ask: StartContainer) -> None:
        super().__init__(worker, ask)
        worker.execs.expect(self._exec_id)

    @property
    @abstractmethod
    def _exec_id(self) -> str:
        """The stream of its program."""

    async def _binds(self, image: BuiltImage, scratch: Path) -> list[Bind]:
        """What is shown in it besides."""
        del image, scratch
        return []

    @abstractmethod
    async def _run_program(
        self, image: BuiltImage, sandbox: Sandbox, env: Mapping[str, str], cwd: str
    ) -> None:
        """Runs the person's program to its end."""

    async def _run(self, scratch: Path) -> Exit | None:
        try:
            return await self._visit(scratch)
        except (SandboxError, Refused) as error:
            self.worker.say(ExecEnded(self._exec_id, NOT_RUN, str(error)))
            raise SandboxError(str(error)) from error
        except Exception as error:
            self.worker.say(ExecEnded(self._exec_id, NOT_RUN, f"the container could not be made: {error}"))
            raise
        finally:
            self.worker.execs.forget(self._exec_id)

    async def _visit(self, scratch: Path) -> Exit | None:
        image = self._built = await self._image()
        if image is None:
            return None
        if not image.python:
            raise SandboxError(f"the image of {self.ask.function.tag} has no Python")
        spec = await sandbox_of(self.worker, self.ask, image, scratch)
        spec.argv = ["-m", "ionian.container.waiting"]
        spec.binds.extend(await self._binds(image, scratch))
        if self._hurry.is_set():
            return None
        self._begin_account()
        sandbox = self._sandbox = await start(spec)
        self._reserve(sandbox)
        sandbox.go()
        try:
            insides = self.insides()
            assert insides is not None
            await self._run_program(image, sandbox, insides[1], insides[2])
        finally:
            self._why, self._detail = self._why or "stopped", self._detail or "its person is done"
            sandbox.kill()
        return await sandbox.wait()

    def check(self, now_ns: int) -> None:
        """A person decides how long it takes."""


class ShellContainer(GuestContainer):
    """Runs one program, as `ionian shell` asks for."""

    @property
    def _exec_id(self) -> str:
        assert self.ask.shell is not None
        return self.ask.shell.exec_id

    async def _run_program(
        self, image: BuiltImage, sandbox: Sandbox, env: Mapping[str, str], cwd: str
    ) -> None:
        del image
        shell = self.ask.shell
        assert shell is not None
        program = Program(shell.argv, dict(env), cwd, shell.pty, shell.rows, shell.columns)
        self.ready = True
        await (await self.worker.execs.run(shell.exec_id, sandbox, program))
