"""What leads into a container, made before it: its inputs and results, its side stream, what it writes."""

from __future__ import annotations

import socket
from collections.abc import Callable

from ..protocol.batch import Batch
from ..protocol.container import CELL_FD, DATA_FD, SIDE_FD
from ..protocol.workers import Held
from .feed import Feed
from .logs import LogPipe
from .side import Side, open_side


class Ends:
    """Our ends, and until `given` those that the container gets."""

    def __init__(
        self,
        results: Callable[[Batch], None],
        gave_back: Callable[[Held], None],
        slots: int,
        write: Callable[[int, bytes], None],
        crowded: Callable[[], bool],
    ) -> None:
        self.feed = Feed(results, slots, gave_back)
        self.side: Side | None = None
        self._ours, self._theirs = socket.socketpair()
        self.pipes = [LogPipe(fd, write, crowded) for fd in (1, 2)]

    @property
    def stdout(self) -> int:
        """What the container has as its standard output."""
        return self.pipes[0].write_end

    @property
    def stderr(self) -> int:
        """What the container has as its standard error."""
        return self.pipes[1].write_end

    @property
    def pass_fds(self) -> dict[int, int]:
        """What else the container gets: number inside → our descriptor."""
        return {
            DATA_FD: self.feed.theirs.fileno(),
            SIDE_FD: self._theirs.fileno(),
            CELL_FD: self.feed.cell_fd,
        }

    def given(self) -> None:
        """The container has its ends, or there is none: ours alone are kept, else the pipes would never end."""
        self._theirs.close()
        for pipe in self.pipes:
            pipe.started()

    async def open(self, asked: Callable[[bytes], None]) -> Side:
        """Opens the side stream; `asked` gets what the container says there."""
        self.side = await open_side(self._ours, asked, lambda: None)
        return self.side

    def close(self) -> None:
        """Lets go of all but the pipes, which close when the container has written its last."""
        if self.side is not None:
            self.side.close()
        else:
            self._ours.close()
        self.feed.close()
