"""The program of forking.py: a template whose forks are plain ones, without a sandbox.

python template_process.py SIDE CONTROL
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable

from ionian.container import template
from ionian.protocol.container import AHEAD, CELL_FD, DATA_FD, SIDE_FD

CONTROL_FD = 103


class PlainForks:
    """Forks when it is told to, or as one is made ahead, with the descriptors that come along: data, side, cell, and the output."""

    def __init__(self) -> None:
        self._control = socket.socket(fileno=CONTROL_FD)

    def guard(self) -> None:
        pass

    def wait(self, before: Callable[[], None], ahead: Callable[[], None]) -> bool:
        while True:
            said, fds, _, _ = socket.recv_fds(self._control, 16, 4)
            if not said:
                return False
            before()
            child = os.fork()
            if child == 0:
                os.setsid()
                if said == AHEAD:
                    ahead()
                for fd, to in zip(fds, (DATA_FD, SIDE_FD, CELL_FD, 1), strict=True):
                    os.dup2(fd, to)
                    os.close(fd)
                os.dup2(1, 2)
                self._control.close()
                return True
            for fd in fds:
                os.close(fd)
            self._control.send(b"%d" % child)
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


for given, to in zip(map(int, sys.argv[1:3]), (SIDE_FD, CONTROL_FD), strict=True):
    os.dup2(given, to)
    os.close(given)
template.run(PlainForks())
