"""Spawned calls as their callers have them, with a link that answers from memory."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import ionian as modal
from ionian import link as links
from ionian.exception import InvalidError, OutputExpiredError
from ionian.function import handle
from ionian.protocol.batch import OK, Batch
from ionian.protocol.calls import (
    CallGraph,
    CancelCall,
    GetCallGraph,
    GetOutputs,
    InputNode,
    Outputs,
    Spawn,
)
from ionian.protocol.ids import input_id
from ionian.protocol.messages import Done
from ionian.protocol.wire import OUTPUTS, entries
from ionian.serialization import dumps, loads

square = handle("fu-1", "square", False)


class KeptCalls:
    """A server that squares what is spawned, in memory."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.inputs: dict[str, list[int]] = {}
        self.complete: set[str] = set()
        self.expired = False
        self.slow = 0  # so many times there is no result yet

    def request(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        self.messages.append(message)
        if isinstance(message, Spawn):
            ((_, header, content),) = entries(payload)
            batch = Batch.unpack(header, bytes(content))
            kept = self.inputs.setdefault(message.call_id, [])
            assert list(batch.index) == list(range(len(kept), len(kept) + len(batch)))
            kept += [loads(one)[0][0] for one in batch.payloads()]
            if message.last:
                self.complete.add(message.call_id)
            return Done(), b""
        if isinstance(message, GetOutputs):
            return self._outputs(message)
        if isinstance(message, GetCallGraph):
            root, child = input_id(message.call_id, 0), "in-other:0"
            nodes = [
                InputNode(root, message.call_id, "", "running", "outer", "m", "ta-1"),
                InputNode(child, "fc-other", root, "success", "inner", "m"),
            ]
            return CallGraph(nodes), b""
        return Done(), b""

    async def request_async(self, message: Any, payload: bytes = b"") -> tuple[Any, bytes]:
        return self.request(message, payload)

    def _outputs(self, message: GetOutputs) -> tuple[Outputs, bytes]:
        kept = self.inputs[message.call_id]
        answer = Outputs(
            message.call_id, len(kept), len(kept), message.call_id in self.complete, self.expired
        )
        rows = kept[message.start : message.start + message.limit]
        if self.slow or self.expired or not rows:
            self.slow = max(0, self.slow - 1)
            return answer, b""
        values = [dumps(row * row) for row in rows]
        index = range(message.start, message.start + len(rows))
        batch = Batch(
            message.call_id, index, [len(v) for v in values], b"".join(values), code=[OK] * len(rows)
        )
        return answer, batch.pack(OUTPUTS)


@pytest.fixture
def server() -> Iterator[KeptCalls]:
    made = KeptCalls()
    links.use(made)  # type: ignore[arg-type]  # the part of a link that spawned calls use
    yield made
    links.use(None)


def test_a_spawned_call_is_one_input_and_has_its_result(server: KeptCalls):
    call = square.spawn(7)
    assert [type(message) for message in server.messages] == [Spawn]
    assert server.messages[0].last
    assert (call.get(), call.num_inputs()) == (49, 1)
    assert asyncio.run(call.get.aio()) == 49


def test_get_asks_again_until_the_result_is_there(server: KeptCalls):
    call = square.spawn(3)
    server.slow = 4
    assert call.get() == 9
    assert sum(isinstance(message, GetOutputs) for message in server.messages) == 5


def test_get_with_a_timeout_of_0_looks_once(server: KeptCalls):
    call = square.spawn(3)
    server.slow = 2
    with pytest.raises(modal.exception.TimeoutError, match="it goes on"):
        call.get(timeout=0)
    assert server.messages[-1].wait_s == 0
    with pytest.raises(TimeoutError):
        call.get(0)
    assert call.get(0) == 9


def test_results_that_are_not_kept_any_more_are_said_to_be_so(server: KeptCalls):
    call = square.spawn(3)
    server.expired = True
    with pytest.raises(OutputExpiredError, match="7 days"):
        call.get()


def test_a_map_is_one_call_sent_in_chunks_that_grow(server: KeptCalls):
    call = square.spawn_map(range(5000))
    assert server.inputs == {call.object_id: list(range(5000))}
    assert [message.last for message in server.messages][-1]
    assert list(call.iter()) == [n * n for n in range(5000)]
    assert list(call.iter(start=3, end=5)) == [9, 16]
    assert call.get(index=4999) == 4999**2
    with pytest.raises(InvalidError, match=r"index: .* to 4999, got 5000"):
        call.get(index=5000)


def test_a_map_of_coroutines_takes_asynchronous_iterables(server: KeptCalls):
    async def numbers() -> AsyncIterator[int]:
        for number in range(10):
            yield number

    async def use() -> list[int]:
        call = await square.spawn_map.aio(numbers())
        return [value async for value in call.iter.aio()]

    assert asyncio.run(use()) == [n * n for n in range(10)]
    with pytest.raises(InvalidError, match="asynchronous iterable"):
        square.spawn_map(numbers())


def test_where_an_iterator_fails_what_was_read_before_runs(server: KeptCalls):
    def numbers() -> Iterator[int]:
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError):
        square.spawn_map(numbers())
    ((call_id, kept),) = server.inputs.items()
    assert kept == [1]
    assert call_id in server.complete


def test_gather_keeps_the_order_and_works_within_a_running_loop(server: KeptCalls):
    calls = [square.spawn(number) for number in range(20)]

    async def within() -> list[Any]:
        return modal.FunctionCall.gather(*calls)

    assert modal.FunctionCall.gather(*calls) == asyncio.run(within()) == [n * n for n in range(20)]
    wrong: Any = calls
    with pytest.raises(InvalidError, match=r"function_calls: .*\*calls"):
        modal.FunctionCall.gather(wrong)


def test_a_call_is_found_by_its_id_and_passed_on(server: KeptCalls):
    call = square.spawn(4)
    assert modal.FunctionCall.from_id(call.object_id).get() == 16
    assert pickle.loads(pickle.dumps(call)) == call
    with pytest.raises(InvalidError, match="function_call_id"):
        modal.FunctionCall.from_id("in-1")
    with pytest.raises(InvalidError, match="from_id"):
        modal.FunctionCall()


def test_cancel_says_whether_containers_end_too(server: KeptCalls):
    call = square.spawn(4)
    call.cancel()
    call.cancel(terminate_containers=True)
    assert server.messages[1:] == [CancelCall(call.object_id), CancelCall(call.object_id, True)]
    wrong: Any = "yes"
    with pytest.raises(InvalidError, match="terminate_containers"):
        call.cancel(wrong)


def test_the_call_graph_is_a_tree(server: KeptCalls):
    (root,) = square.spawn(4).get_call_graph()
    assert (root.function_name, root.status.name, root.task_id) == ("outer", "PENDING", "ta-1")
    assert [child.function_name for child in root.children] == ["inner"]


@pytest.mark.parametrize("given", [{"start": -1}, {"start": 1.5}, {"start": 3, "end": 2}, {"end": True}])
def test_a_wrong_range_is_a_value_error(server: KeptCalls, given: dict[str, Any]):
    with pytest.raises(ValueError, match="expected"):
        square.spawn(1).iter(**given)


def test_generators_and_wrong_iterables_are_refused(server: KeptCalls):
    with pytest.raises(InvalidError, match="remote_gen"):
        handle("fu-2", "items", True).spawn(1)
    wrong: Any = 3
    with pytest.raises(InvalidError, match="expected iterables"):
        square.spawn_map(wrong)
    with pytest.raises(InvalidError, match="at least one"):
        square.spawn_map()
