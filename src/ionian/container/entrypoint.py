"""The entrypoint of an image: a program that the container's own program is started by, as `ENTRYPOINT… python…`.

The agent (or a template) hears what it runs, and then lets the entrypoint take its place, with the environment of user
code and the command of a second agent behind it. An entrypoint must end with `exec "$@"`: then the process is the same, its
descriptors lie where they lay, and what the entrypoint exported is there. What the first one heard is handed on in a file
without a name, for secrets are in it.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from typing import NoReturn

from ..protocol.container import CELL_FD, DATA_FD, FORK_FD, RING, SIDE_FD, Begin
from . import agent
from .wire import Messages, memory_file

BOOT = (
    f"import sys; sys.path.insert(0, {RING!r}); import site; site.main(); "
    "from ionian.container.entrypoint import go_on; go_on(*sys.argv[1:])"
)
"""As the agent is started: `python -I -S`, so that no file of the user's stands in the way of ours."""

PLAIN_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ)
"""Python's start has set them to be ignored, which a program that is executed would inherit."""


class EntrypointError(Exception):
    """The entrypoint of an image does not start what it is given."""


def enter(side: Messages, begin: Begin, module: str) -> NoReturn:
    """Lets the entrypoint take this process; `main` of the module is what it starts."""
    told = memory_file(json.dumps(vars(begin)).encode())
    for fd in (told, DATA_FD, SIDE_FD, CELL_FD, FORK_FD):
        try:
            os.set_inheritable(fd, True)
        except OSError:
            pass  # a container has no FORK_FD, a template but two of them
    for number in PLAIN_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    argv = [*begin.entrypoint, sys.executable, "-I", "-S", "-c", BOOT, module, str(told), str(os.getpid())]
    with agent.told(side, begin):
        try:
            os.chdir(begin.workdir)
            os.execvpe(argv[0], argv, begin.env)
        except OSError as error:
            raise EntrypointError(
                f"the image's entrypoint {begin.entrypoint} can't be run: {error.strerror}"
            ) from None
    raise AssertionError


def go_on(module: str, told: str, process: str) -> None:
    """Behind the entrypoint: is what the process was before."""
    os.lseek(int(told), 0, os.SEEK_SET)
    with open(int(told), "rb") as file:
        begin = Begin(**json.load(file))
    agent.before, begin.env, begin.workdir = begin.env, dict(os.environ), os.getcwd()
    agent.passed = begin
    if int(process) != os.getpid():
        # What is said to a container's first process would not reach this one: signals, and the word to fork.
        with agent.told(agent.opened(), begin):
            raise EntrypointError(
                f"the image's entrypoint {begin.entrypoint} starts what it is given beside itself; "
                'it must end with exec "$@"'
            )
    importlib.import_module(module).main()
