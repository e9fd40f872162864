"""Stands at the terminal that a person lends to the function of its container, and hands it over.

The terminal is this program's own, so that it ends with it; the process that runs the function reads and writes it, and
has the keys that are signals from here. Run as a script, standard library only:

    python -I -S terminal.py MEETING        a socket at which that process waits
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys

PASSED_ON = (signal.SIGINT, signal.SIGQUIT, signal.SIGWINCH)


def main() -> None:
    """Hands the terminal over, and waits until the other side needs it no more, or has ended."""
    with socket.socket(socket.AF_UNIX) as other:
        try:
            other.connect(sys.argv[1])
        except OSError:
            return  # it waits no more
        pid, _, _ = struct.unpack("3i", other.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        for number in PASSED_ON:
            signal.signal(number, lambda number, _: pass_on(pid, number))
        signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # a function that is stopped is nobody's to continue
        socket.send_fds(other, [b"t"], [0])
        other.recv(1)


def pass_on(pid: int, number: int) -> None:
    """To the function's process and, as a terminal would, to the programs that it has started."""
    try:
        if os.getpgid(pid) == pid:
            os.killpg(pid, number)
        else:
            os.kill(pid, number)
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    main()
