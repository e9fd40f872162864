"""A template with its containers, as processes of this machine: no sandbox, plain forks (template_process.py)."""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ionian.container.wire import memory_file, pack_message
from ionian.protocol.batch import OK, Batch
from ionian.protocol.container import AHEAD, CELL_SIZE, Begin, Prove
from ionian.protocol.wire import PREFIX, PREFIX_SIZE, RUN, entries
from ionian.serialization import dumps, load_failure, loads

PROGRAM = Path(__file__).with_name("template_process.py")
CALL = "fc-01JD0000000000000000000000"
LIMIT_S = 30


class Side:
    """The worker's end of a side stream."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        sock.settimeout(LIMIT_S)

    def send(self, message: Any) -> None:
        self._sock.sendall(pack_message(message))

    def hear(self) -> tuple[str, dict[str, Any], bytes]:
        """The next message's name, fields and payload; ("", {}, b"") at the end."""
        prefix = self._sock.recv(PREFIX_SIZE, socket.MSG_WAITALL)
        if not prefix:
            return "", {}, b""
        _, header_size, payload_size = PREFIX.unpack(prefix)
        header = self._sock.recv(header_size, socket.MSG_WAITALL)
        payload = self._sock.recv(payload_size, socket.MSG_WAITALL) if payload_size else b""
        name, _, body = json.loads(header)
        return name, body, payload

    def close(self) -> None:
        self._sock.close()


class Fork:
    """One container."""

    def __init__(self, control: socket.socket, how: bytes = b"fork") -> None:
        self.data, data = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.data.settimeout(LIMIT_S)
        ours, side = socket.socketpair()
        self.side = Side(ours)
        cell = memory_file(bytes(CELL_SIZE))
        self._output, output = os.pipe()
        socket.send_fds(control, [how], [data.fileno(), side.fileno(), cell, output])
        for fd in (cell, output):
            os.close(fd)
        data.close()
        side.close()
        self.pid = int(control.recv(16))

    def call(self, *args: Any, method: str = "", **kwargs: Any) -> Any:
        """Runs one input; raises what it raised."""
        self._give(0, (args, kwargs, method) if method else (args, kwargs))
        return self._result()

    def calls(self, count: int) -> list[Any]:
        """Runs so many inputs without arguments; returns what came back, as it came."""
        for index in range(count):
            self._give(index, ((), {}))
        return [self._result() for _ in range(count)]

    def _give(self, index: int, given: Any) -> None:
        payload = dumps(given)
        self.data.send(Batch(CALL, [index], [len(payload)], payload, attempt=[1]).pack(RUN))

    def _result(self) -> Any:
        _, header, result = next(entries(self.data.recv(256 << 10)))
        batch = Batch.unpack(header, result)
        if batch.code[0] != OK:
            raise load_failure(batch.payloads()[0])
        return loads(batch.payloads()[0])

    def end(self) -> str:
        """Ends the container; returns what it printed."""
        self.data.close()
        with os.fdopen(self._output) as output:
            printed = output.read()
        self.side.close()
        return printed


class Template:
    def __init__(self, begin: Begin, environment: dict[str, str]) -> None:
        self.begin = begin
        ours, side = socket.socketpair()
        self.control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(LIMIT_S)
        self.side = Side(ours)
        fds = [side.fileno(), control.fileno()]
        # A file, not a pipe: who ends without a look at it is not held up.
        self._output = memory_file(b"")
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, *map(str, fds)],
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            env=os.environ | environment,
        )
        side.close()
        control.close()
        self.side.send(begin)

    def prepared(self) -> dict[str, Any]:
        """Waits until containers can be forked."""
        name, body, payload = self.side.hear()
        if name == "Failed":
            raise load_failure(payload)
        assert name == "Prepared", (name, body, self.printed())
        return body

    def unfit(self) -> str:
        """Waits for the reason why none can."""
        name, body, _ = self.side.hear()
        assert name == "Unfit", (name, body, self.printed())
        assert self.process.wait(LIMIT_S) == 0
        return body["reason"]

    def fork(
        self, container_id: str = "ta-1", *, arguments: str | None = None, ahead: bool = False, **env: str
    ) -> Fork:
        """A container that is ready for inputs."""
        fork = Fork(self.control, AHEAD if ahead else b"fork")
        own = {"MODAL_TASK_ID": container_id, **env}
        begin = copy.copy(self.begin)
        begin.container_id, begin.env = container_id, begin.env | own
        begin.arguments = arguments or begin.arguments
        fork.side.send(begin)
        name, body, payload = fork.side.hear()
        if name == "Failed":
            raise load_failure(payload)
        assert name == "Ready", (name, body, fork.end())
        return fork

    def prove(self, limit_s: float = 20) -> str:
        """What a trial fork says: "Proved", "Failed", or "" where it dies."""
        fork = Fork(self.control)
        fork.side.send(Prove(limit_s))
        name, _, _ = fork.side.hear()
        fork.end()
        return name

    def printed(self) -> str:
        """What it has printed until now."""
        os.lseek(self._output, 0, os.SEEK_SET)
        return os.read(self._output, 1 << 20).decode()

    def end(self) -> None:
        self.control.close()
        self.process.wait(LIMIT_S)
        self.side.close()
        os.close(self._output)


@contextmanager
def template(
    folder: Path, source: str, qualname: str = "f", env: dict[str, str] | None = None, **begin: Any
) -> Generator[Template]:
    """A template of a function of this source, which is in a module of its own."""
    (folder / "users.py").write_text(textwrap.dedent(source))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), **(env or {})}
    definition = "serialized" if "serialized" in begin else "file"
    made = Template(
        Begin("", "fu-1", "ap-1", "users", qualname, definition, env=env, workdir=str(folder), **begin),
        {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3] / "src")])},
    )
    try:
        yield made
    finally:
        made.end()
