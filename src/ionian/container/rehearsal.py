"""What a container does until its first result, done once for nobody where it is made ahead.

A fork shares each page of its template's until it writes to it, and Python writes to whatever it looks at. So most of a start
is the copying of a few hundred pages, which here is done before anybody waits for it.
"""

from __future__ import annotations

import json
import socket
from contextvars import copy_context
from mmap import mmap

from .. import faults
from ..protocol.batch import Batch
from ..protocol.container import CELL_SIZE, Begin, Ready
from ..protocol.wire import RUN
from ..serialization import dumps
from .lifecycle import Callables
from .results import Results
from .run import Runner
from .wire import Messages, Packets, pack_message

NOBODY = "fc-" + "0" * 26
"""No call has this id."""


def rehearse(begin: Begin) -> None:
    """Is told what a container is told, and runs an input of no call and of no function."""
    if not faults.ARMED:  # tests count what it does
        copy_context().run(_rehearse, begin)


def _rehearse(begin: Begin) -> None:
    Begin(**json.loads(json.dumps(vars(begin))))
    worker, agent = socket.socketpair()
    with worker, agent:
        Messages(agent).send(Ready("", {"renew": 0.5, "enter": 0.5}))
        worker.sendall(pack_message(Ready("", {})))
        Messages(agent).receive()
    worker, agent = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with worker, agent:
        payload = dumps(((), {}))
        worker.send(Batch(NOBODY, [0], [len(payload)], payload, attempt=[1]).pack(RUN))
        packets = Packets(agent)
        results = Results(packets, "", "")
        Runner(packets, mmap(-1, CELL_SIZE), results, Callables(_nothing, False), single_use=True).serve()


def _nothing() -> None:
    pass
