"""A container that runs one failed input again, at a person's terminal, and a shell beside it if they ask for one.

Its first program only waits. What a person sees is a second one (exec.py), with a terminal of the container's own; at its
end the container ends. What it is to run lies in a folder that is shown in it; secrets come by its environment alone.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shlex
import socket
from dataclasses import asdict
from pathlib import Path
from shutil import copyfile

from ..protocol.apps import ExecEnded
from ..protocol.container import REPLAY, RING, SIDE_FD, ReplayTask
from ..protocol.stream import Refused
from ..protocol.workers import Replay
from .container import Container
from .images import BuiltImage
from .recipe import begin_of, sandbox_of
from .sandbox import Bind, Exit, IdMap, Program, Sandbox, SandboxError, prepare_scratch, start
from .side import open_side

BOOT = (
    f"import sys; sys.path.insert(0, {RING!r}); import site; site.main(); "
    "from ionian.container.replay import main; main()"
)
"""As the agent is started: `python -I -S`, so that no file of the user's stands in the way of ours."""

SHELL = "command -v bash >/dev/null && exec bash; exec sh"
NOT_RUN = -1


class ReplayContainer(Container):
    """States: being made → its program runs → ended. It takes no inputs, and the server's inventory lacks it."""

    async def _run(self, scratch: Path) -> Exit | None:
        replay = self.ask.replay
        assert replay is not None
        try:
            return await self._replay(replay, scratch)
        except (SandboxError, Refused) as error:
            self.worker.say(ExecEnded(replay.exec_id, NOT_RUN, str(error)))
            raise SandboxError(str(error)) from error
        except Exception as error:
            self.worker.say(ExecEnded(replay.exec_id, NOT_RUN, f"the container could not be made: {error}"))
            raise

    async def _replay(self, replay: Replay, scratch: Path) -> Exit | None:
        image = self._built = await self._image()
        if image is None:
            return None
        if not image.python:
            raise SandboxError(f"the image of {self.ask.function.tag} has no Python")
        spec = await sandbox_of(self.worker, self.ask, image, scratch)
        spec.argv = ["-m", "ionian.container.waiting"]
        spec.binds.append(Bind(await self._task(replay, image, scratch), REPLAY))
        if self._hurry.is_set():
            return None
        sandbox = self._sandbox = await start(spec)
        sandbox.go()
        try:
            await self._run_program(replay, image, sandbox)
        finally:
            self._why, self._detail = self._why or "stopped", self._detail or "its person is done"
            sandbox.kill()
        return await sandbox.wait()

    async def _run_program(self, replay: Replay, image: BuiltImage, sandbox: Sandbox) -> None:
        insides = self.insides()
        assert insides is not None
        _, env, cwd = insides
        ours, theirs = socket.socketpair()
        with theirs:
            self._side = await open_side(ours, self._asked, lambda: None)
            argv = [image.python, "-I", "-S", "-c", BOOT]
            program = Program(
                ["/bin/sh", "-c", SHELL] if replay.shell else argv,
                {**env, "PATH": f"{env.get('PATH', '')}:{REPLAY}"},
                cwd,
                pty=True,
                rows=replay.rows,
                columns=replay.columns,
                pass_fds={SIDE_FD: theirs.fileno()},
            )
            self.ready = True
            task = await self.worker.execs.run(replay.exec_id, sandbox, program)
        await task

    async def _task(self, replay: Replay, image: BuiltImage, scratch: Path) -> Path:
        """The folder with what is to be run."""
        payload = base64.b64decode(replay.payload)
        begin = begin_of(self.worker, self.ask, image)
        begin.env = {}  # secrets are in it, and the program has it already
        task = ReplayTask(asdict(begin), replay.input_id, replay.debug)
        prepare_scratch(scratch, IdMap.current())
        folder = scratch / "replay"
        folder.mkdir()
        folder.chmod(0o755)
        run = f'#!/bin/sh\nexec {shlex.join([image.python, "-I", "-S", "-c", BOOT])} "$@"\n'
        for name, content, mode in (
            ("task.json", json.dumps(asdict(task)).encode(), 0o644),
            ("input", payload, 0o644),
            ("replay", run.encode(), 0o755),
        ):
            path = folder / name
            path.write_bytes(content)
            os.chmod(path, mode)
        if replay.blob:
            blob = await self.worker.blobs.fetch(payload.decode().split()[0])
            await asyncio.to_thread(copyfile, blob, folder / "input")
        return folder

    def check(self, now_ns: int) -> None:
        """A person decides how long it takes."""
