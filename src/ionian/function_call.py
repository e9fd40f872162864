"""Spawned calls, which the server keeps, as their callers have them: `f.spawn(…)` gives a `FunctionCall`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from . import later
from .arguments import flag, integer, number, wrong
from .dashboard_link import OnDashboard
from .exception import InvalidError, OutputExpiredError, TimeoutError
from .steps import Steps, StepsMethod, run_async

if TYPE_CHECKING:
    from .call_graph import InputInfo
    from .logs import CallLogs
    from .protocol.batch import Batch
    from .protocol.calls import Outputs

R = TypeVar("R", covariant=True)

POLL_S = 30.0
"""How long one request waits for a result: shorter than what proxies take for a dead connection."""

MOST_AT_ONCE = 64
"""Results that one request of `iter` brings at most."""

LONGEST_S = 365 * 86_400.0

GATHERED_AT_ONCE = 512
"""Calls that `gather` asks for at the same time."""


@later.fill
class FunctionCall(OnDashboard, Generic[R]):
    """A call that the server keeps, and its results for 7 days: whoever has its id can ask for them, from any machine.

    ```python
    call = train.spawn(100)
    print(call.object_id)                     # "fc-…", for modal.FunctionCall.from_id
    loss = call.get(timeout=60)
    ```
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise InvalidError(
            "a FunctionCall is what .spawn(…) returns; one that was begun before is modal.FunctionCall.from_id(…)"
        )

    _call_id: str
    _inputs: int | None  # how many, where that is known here

    @staticmethod
    def from_id(function_call_id: str, client: Any = None) -> FunctionCall[Any]:
        """The call of that id. Nothing is asked before it is used.

        Raises InvalidError for what is no id of a call; its use raises NotFoundError where there is no such call.
        """
        later.refuse("FunctionCall.from_id", client=client)
        if not isinstance(function_call_id, str) or not function_call_id.startswith("fc-"):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise wrong(
                "function_call_id",
                'the id of a call, "fc-…", as FunctionCall.object_id has it',
                function_call_id,
            )
        return made(function_call_id)

    @property
    def object_id(self) -> str:
        """The call's id, `fc-…`."""
        return self._call_id

    def _shown_id(self) -> str:
        return self._call_id

    @StepsMethod
    def hydrate(self, client: Any = None) -> Steps[FunctionCall[R]]:
        """Sees to it that there is such a call, and returns it. Raises NotFoundError where there is none."""
        later.refuse("FunctionCall.hydrate", client=client)
        yield from _info(self._call_id)
        return self

    @StepsMethod
    def get(self, timeout: float | None = None, *, index: int = 0) -> Steps[R]:
        """Waits for a result and returns it, or raises what the function raised. It may be asked for again.

        Args:
            timeout: seconds; 0 looks once, None waits for as long as it takes.
            index: which input's, of a call with several.

        Raises TimeoutError (of `modal.exception`, and a built-in one) where it is not there in time, OutputExpiredError
        7 days after the call has ended, RemoteError where the input was cancelled, NotFoundError for an unknown call,
        InvalidError for an `index` past the inputs of the call.
        """
        if timeout is not None:
            timeout = number("timeout", timeout, least=0, most=LONGEST_S, unit="seconds")
        integer("index", index, least=0)
        rows, answer = yield from _rows(self._call_id, index, 1, timeout)
        if rows is None:
            raise InvalidError(
                f"index: expected the number of an input, from 0 to {answer.total - 1}, got {index}"
                if answer.total
                else f"the call {self._call_id} has no inputs, and so no result"
            )
        return (yield from _value(rows.code[0], rows.payloads()[0]))

    @property
    def iter(self) -> Iter[R]:
        """The results in the order of the inputs, each as soon as it is there."""
        return Iter(self._call_id)

    @StepsMethod
    def num_inputs(self) -> Steps[int]:
        """How many inputs the call has."""
        if self._inputs is not None:
            return self._inputs
        info = yield from _info(self._call_id)
        return info.total

    @StepsMethod
    def cancel(self, terminate_containers: bool = False) -> Steps[None]:
        """Ends the call: nothing of it starts any more, and what runs is interrupted and has 30 s to clean up.

        Args:
            terminate_containers: the containers that run it are killed at once; their other inputs run elsewhere.

        Afterwards `.get()` raises RemoteError for inputs without a result. A call that has ended stays as it is.
        """
        from .protocol.calls import CancelCall

        yield CancelCall(self._call_id, flag("terminate_containers", terminate_containers))

    @StepsMethod
    def get_call_graph(self) -> Steps[list[InputInfo]]:
        """The inputs of the call, each with those that it called in turn (`children`)."""
        from .call_graph import tree
        from .protocol.calls import GetCallGraph

        answer, _ = yield GetCallGraph(self._call_id)
        return tree(answer.inputs)

    @StepsMethod
    def why(self) -> Steps[list[str]]:
        """Why the call has no result yet, a sentence for each kind of reason: what runs first, then what waits.

        Ionian's own: Modal has nothing like it.
        """
        from .protocol.calls import ExplainCall

        answer, _ = yield ExplainCall(self._call_id)
        return [
            f"{reason.count} {'input' if reason.count == 1 else 'inputs'} {reason.state}: {reason.reason}"
            for reason in answer.reasons
        ]

    @property
    def logs(self) -> CallLogs:
        """What its inputs wrote: `.tail(…)`, `.fetch(…)`, `.stream(…)`."""
        from .logs import CallLogs

        return CallLogs(lambda: self._call_id)

    gather: ClassVar[_Gather]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FunctionCall) and other._call_id == self._call_id

    def __hash__(self) -> int:
        return hash(self._call_id)

    def __reduce__(self) -> Any:
        return made, (self._call_id, self._inputs)

    def __repr__(self) -> str:
        return f"<FunctionCall {self._call_id}>"


def made(call_id: str, inputs: int | None = None) -> FunctionCall[Any]:
    """The call of that id, with so many inputs."""
    kind: Any = FunctionCall
    call: FunctionCall[Any] = kind.__new__(kind)
    call._call_id, call._inputs = call_id, inputs
    return call


class Iter(Generic[R]):
    """The results of a call in the order of its inputs, each as soon as it is there."""

    __slots__ = ("_call_id",)

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id

    def __call__(self, *, start: int = 0, end: int | None = None) -> Iterator[R]:
        """The results of inputs from `start` up to, and without, `end`.

        Raises ValueError for numbers that make no range, and what the function raised in the place of its result.
        """
        _check_range(start, end)
        return self._results(start, end)

    def aio(self, *, start: int = 0, end: int | None = None) -> AsyncIterator[R]:
        """The same for a coroutine: `async for result in call.iter.aio():`."""
        _check_range(start, end)
        return self._results_async(start, end)

    def _results(self, start: int, end: int | None) -> Iterator[R]:
        from .steps import run

        while end is None or start < end:
            batch, _ = run(_rows(self._call_id, start, _limit(start, end), None))
            if batch is None:
                return
            for code, payload in zip(batch.code, batch.payloads(), strict=True):
                start += 1
                yield run(_value(code, payload))

    async def _results_async(self, start: int, end: int | None) -> AsyncIterator[R]:
        while end is None or start < end:
            batch, _ = await run_async(_rows(self._call_id, start, _limit(start, end), None))
            if batch is None:
                return
            for code, payload in zip(batch.code, batch.payloads(), strict=True):
                start += 1
                yield await run_async(_value(code, payload))


class _Gather:
    """`FunctionCall.gather`, and its twin."""

    def __call__(self, *function_calls: FunctionCall[Any]) -> list[Any]:
        """Waits for the results of all these calls and returns them in that order.

        Raises the first failure, as soon as it is there; the other calls go on.

        ```python
        losses = modal.FunctionCall.gather(*[train.spawn(n) for n in range(3)])
        ```
        """
        import asyncio
        import threading
        from queue import SimpleQueue

        ended: SimpleQueue[tuple[list[Any], BaseException | None]] = SimpleQueue()

        def gather() -> None:
            try:
                ended.put((asyncio.run(self.aio(*function_calls)), None))
            except BaseException as error:
                ended.put(([], error))

        _check_calls(function_calls)
        # In a thread of its own: the calling one may have a loop that runs.
        threading.Thread(target=gather, name="ionian-gather", daemon=True).start()
        results, error = ended.get()
        if error is not None:
            raise error
        return results

    async def aio(self, *function_calls: FunctionCall[Any]) -> list[Any]:
        """The same for a coroutine."""
        import asyncio

        _check_calls(function_calls)
        room = asyncio.Semaphore(GATHERED_AT_ONCE)

        async def result(call: FunctionCall[Any]) -> Any:
            async with room:
                return await call.get.aio()

        tasks = [asyncio.ensure_future(result(call)) for call in function_calls]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()


FunctionCall.gather = _Gather()


# --- what is asked


def _info(call_id: str) -> Steps[Any]:
    from .protocol.calls import GetCallInfo

    answer, _ = yield GetCallInfo(call_id)
    return answer


def _rows(call_id: str, start: int, limit: int, timeout: float | None) -> Steps[tuple[Batch | None, Outputs]]:
    """Results from input `start` on, once the first is there; None where the call has no such input.

    Asked for again and again, so that neither a lost connection nor a server that starts anew ends the waiting.
    """
    from . import link
    from .protocol.batch import Batch
    from .protocol.calls import GetOutputs
    from .protocol.wire import entries

    end = None if timeout is None else time.monotonic() + timeout
    while True:
        left = POLL_S if end is None else max(0.0, end - time.monotonic())
        answer, payload = yield GetOutputs(call_id, start, limit, min(left, POLL_S))
        if answer.expired:
            raise OutputExpiredError(
                f"the results of call {call_id} are not kept any more: they are for 7 days after its end"
            )
        if link.shown is not None:
            link.shown()
        for _, header, content in entries(payload):
            return Batch.unpack(header, bytes(content)), answer
        if answer.complete and start >= answer.total:
            return None, answer
        if end is not None and time.monotonic() >= end:
            raise TimeoutError(
                f"call {call_id} has no result of input {start} after {timeout:g} s; it goes on, and can be asked again"
            )


def _value(code: int, payload: bytes) -> Steps[Any]:
    """What a result stands for. Raises what the function raised."""
    from . import link
    from .call import result_of
    from .protocol.batch import BLOB
    from .steps import Blocking

    if code & BLOB:  # read from the blob store, which takes a while
        return (yield Blocking(lambda: result_of(link.current(), code, payload)))
    return result_of(link.current(), code, payload)


def _limit(start: int, end: int | None) -> int:
    return MOST_AT_ONCE if end is None else min(MOST_AT_ONCE, end - start)


def _check_range(start: Any, end: Any) -> None:
    for name, value in (("start", start), ("end", end)):
        if value is None and name == "end":
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise ValueError(f"{name}: expected a whole number of 0 or more, got {value!r}")
    if end is not None and end < start:
        raise ValueError(f"end: expected a number that is not below start ({start}), got {end}")


def _check_calls(calls: tuple[Any, ...]) -> None:
    for call in calls:
        if not isinstance(call, FunctionCall):
            raise wrong(
                "function_calls", "calls, as .spawn(…) returns them (a list of them is written *calls)", call
            )
