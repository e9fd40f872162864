"""A container that runs one failed input again, at a person's terminal, and a shell beside it if they ask for one.

What it is to run lies in a folder that is shown in it; secrets come by its environment alone.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shlex
import socket
from collections.abc import Mapping
from pathlib import Path
from shutil import copyfile

from ..protocol.container import REPLAY, RING, SIDE_FD, ReplayTask
from ..protocol.workers import Replay
from .guest import SHELL, GuestContainer
from .images import BuiltImage
from .recipe import begin_of
from .sandbox import Bind, IdMap, Program, Sandbox, prepare_scratch
from .side import open_side

BOOT = (
    f"import sys; sys.path.insert(0, {RING!r}); import site; site.main(); "
    "from ionian.container.replay import main; main()"
)
"""As the agent is started: `python -I -S`, so that no file of the user's stands in the way of ours."""


class ReplayContainer(GuestContainer):
    """Runs one failed input, or a shell beside it."""

    @property
    def _exec_id(self) -> str:
        return self._replay.exec_id

    @property
    def _replay(self) -> Replay:
        assert self.ask.replay is not None
        return self.ask.replay

    async def _binds(self, image: BuiltImage, scratch: Path) -> list[Bind]:
        return [Bind(await self._task(self._replay, image, scratch), REPLAY)]

    async def _run_program(
        self, image: BuiltImage, sandbox: Sandbox, env: Mapping[str, str], cwd: str
    ) -> None:
        replay = self._replay
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
        task = ReplayTask(vars(begin), replay.input_id, replay.debug)
        prepare_scratch(scratch, IdMap.current())
        folder = scratch / "replay"
        folder.mkdir()
        folder.chmod(0o755)
        run = f'#!/bin/sh\nexec {shlex.join([image.python, "-I", "-S", "-c", BOOT])} "$@"\n'
        for name, content, mode in (
            ("task.json", json.dumps(vars(task)).encode(), 0o644),
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
