"""Results on their way to the worker: rows joined into packets, failures as bytes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..exception import InputCancellation
from ..protocol.batch import Batch
from ..protocol.container import PACKET_MAX
from ..protocol.wire import RESULTS, pack_entry
from ..serialization import dump_failure
from .payloads import FilePayload, Row
from .wire import Packets

if TYPE_CHECKING:
    from traceback import FrameSummary


SMALL = 16 << 10
"""A result up to this (bytes) shares a packet with those of other calls."""


def flush_output() -> None:
    """Has what user code printed leave before its result does. User code may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass


class Results:
    """Sends results. Safe to use from any thread."""

    def __init__(self, packets: Packets, container_id: str, hide: str) -> None:
        self._packets = packets
        self._container_id = container_id
        self._hide = hide  # frames of files below this are not the user's

    def send(self, call_id: str, rows: list[Row]) -> None:
        """Sends rows of a call, in as few packets as they fit into."""
        flush_output()
        at = 0
        while at < len(rows):
            end, size = at, 0
            while end < len(rows) and (end == at or size + len(rows[end][4]) <= PACKET_MAX // 2):
                size += len(rows[end][4])
                end += 1
            index, attempt, code, micros, payloads = zip(*rows[at:end], strict=True)
            batch = Batch(
                call_id,
                index,
                [len(payload) for payload in payloads],
                b"",
                attempt=attempt,
                code=code,
                micros=[min(m, 0xFFFFFFFF) for m in micros],
            )
            first = payloads[0]
            if isinstance(first, FilePayload):  # too large for others beside it
                self._packets.send_file(RESULTS, batch.header(), first)
            else:
                self._packets.send(RESULTS, batch.header(), b"".join(payloads))
            at = end

    def send_together(self, rows: dict[str, list[Row]]) -> None:
        """Sends rows of several calls: those that are one small row each, as answers to web requests are, in one packet."""
        flush_output()
        joined: list[bytes] = []
        size = 0
        for call_id, some in rows.items():
            index, attempt, code, micros, payload = some[0]
            if len(some) > 1 or isinstance(payload, FilePayload) or len(payload) > SMALL:
                self.send(call_id, some)
                continue
            batch = Batch(
                call_id,
                (index,),
                (len(payload),),
                b"",
                attempt=(attempt,),
                code=(code,),
                micros=(min(micros, 0xFFFFFFFF),),
            )
            joined.append(pack_entry(RESULTS, batch.header(), payload))
            size += len(joined[-1])
            if size > PACKET_MAX // 2:
                self._packets.send_entries(joined)
                joined, size = [], 0
        if joined:
            self._packets.send_entries(joined)

    def failure(self, error: BaseException) -> bytes:
        """The exception as bytes; its traceback is printed too, as Python would."""
        import traceback

        frames = own_frames(error, self._hide)
        lines = traceback.format_list(frames) + traceback.format_exception_only(type(error), error)
        if frames:
            lines.insert(0, "Traceback (most recent call last):\n")
        say("".join(lines))
        return dump_failure(error, hide=self._hide, where=self._container_id)

    def cancelled(self, input_id: str, error: BaseException) -> bytes:
        """What an input ends in that was interrupted; where it stood is said in one line, for it is no failure."""
        frames: Any = error.__traceback__
        where = ""
        while frames is not None:
            code = frames.tb_frame.f_code
            if not code.co_filename.startswith((self._hide, sys.prefix, sys.base_prefix)):
                where = f" in {code.co_name}, line {frames.tb_lineno} of {code.co_filename}"
            frames = frames.tb_next
        say(f"{input_id} was cancelled{where}\n")
        cancellation = InputCancellation(f"{input_id} was cancelled").with_traceback(error.__traceback__)
        return dump_failure(cancellation, hide=self._hide, where=self._container_id)


def own_frames(error: BaseException, hide: str) -> list[FrameSummary]:
    """The user's lines of a traceback, without those of files below `hide`."""
    import traceback

    return [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(hide)
    ]


def say(text: str) -> None:
    """Prints where user code's failures are printed. User code may have closed or replaced the stream."""
    try:
        print(text, end="", file=sys.stderr, flush=True)
    except (AttributeError, ValueError, OSError):
        pass
