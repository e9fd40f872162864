"""Spawned calls: GetOutputs, GetCallInfo, ListCalls, CancelCall, GetCallGraph, ExplainCall. Spawn itself goes straight to
`server/durable/`, which answers thousands at once."""

from __future__ import annotations

import time

from ionian.protocol.batch import BLOB
from ionian.protocol.calls import (
    CallExplained,
    CallGraph,
    CallInfo,
    CallList,
    CancelCall,
    ExplainCall,
    GetCallGraph,
    GetCallInfo,
    GetOutputs,
    InputReason,
    ListCalls,
    ListedCall,
    Outputs,
)
from ionian.protocol.ids import CALL_ID_LENGTH
from ionian.protocol.messages import Done
from ionian.protocol.stream import Refused
from ionian.protocol.wire import OUTPUTS

from ..auth import Actor, Target, authorise
from ..call_graph import call_graph
from ..containers import THE_SERVER, digests
from ..durable import Kept
from ..retention import KEEP_RESULTS_S
from ..store.call_rows import CallRow
from .apps import app_of
from .context import Context, in_thread
from .names import environment_of

MOST_ROWS = 10_000
"""Results in one answer."""

MOST_LISTED = 10_000
"""Calls in one list."""

CLIENT_SHOWN = 17
"""Characters of a client's id that are listed: whoever comes with all 29 gets its results. The hidden ones have 60 random bits."""


async def get_outputs(actor: Actor, message: GetOutputs, _: bytes, context: Context) -> tuple[Outputs, bytes]:
    """Results, as soon as the first of them is there."""
    call = await _call(actor, message.call_id, context, "GetOutputs")
    start, limit = max(0, message.start), max(1, min(message.limit, MOST_ROWS))
    if isinstance(call, CallRow) and _is_expired(call):
        return Outputs(call.call_id, call.total, call.done, expired=True), b""
    found = await context.durable.outputs.get(call, start, limit, message.wait_s)
    if found is None:
        raise _unknown(message.call_id)
    row, batch = found.call, found.batch
    if found.expired:
        return Outputs(row.call_id, row.total, row.done, expired=True), b""
    done = row.done if row.finished_at is None else row.total
    answer = Outputs(row.call_id, row.total, done, row.complete)
    if batch is None:
        return answer, b""
    if actor.kind == "container" and any(code & BLOB for code in batch.code):
        await context.durable.server.share_blobs(THE_SERVER, actor.app_id, digests(batch))
    return answer, batch.pack(OUTPUTS)


async def get_call_info(
    actor: Actor, message: GetCallInfo, _: bytes, context: Context
) -> tuple[CallInfo, bytes]:
    """What a call is."""
    call = await _call(actor, message.call_id, context, "GetCallInfo")
    spec = context.durable.engine.specs.get(call.function_id)
    info = CallInfo(
        call.call_id,
        call.function_id,
        call.tag,
        call.app_id,
        call.total,
        _done(call),
        is_generator=spec is not None and spec[0].is_generator,
        cancelled=isinstance(call, CallRow) and call.cancelled,
        created_at=call.created_at,
    )
    return info, b""


async def list_calls(actor: Actor, message: ListCalls, _: bytes, context: Context) -> tuple[CallList, bytes]:
    """The newest calls of an environment, of an app or of a function."""
    if message.app_id:
        environment = (await app_of(actor, "ListCalls", message.app_id, context)).environment
    else:
        authorise(actor, "ListCalls", Target(message.environment))
        environment = await environment_of(actor, message.environment, context)
    if not 1 <= message.limit <= MOST_LISTED:
        raise Refused("InvalidError", f"limit: expected 1 to {MOST_LISTED:,} calls, got {message.limit:,}")
    return await in_thread(_listed, environment, message, context), b""


def _listed(environment: str, message: ListCalls, context: Context) -> CallList:
    names: dict[str, str] = {}
    listed = CallList()
    for call in context.store.call_lists.newest(
        environment,
        message.app_id,
        message.function,
        message.status,
        message.limit,
        (message.before_at, message.before_id),
    ):
        if call.app_id not in names:
            app = context.store.apps.find(call.app_id)
            names[call.app_id] = app.name if app is not None else ""
        listed.calls.append(
            ListedCall(
                call.call_id,
                call.app_id,
                names[call.app_id],
                call.tag,
                "cancelled" if call.cancelled else "pending" if call.finished_at is None else "done",
                call.total,
                _done(call),
                call.created_at,
                call.finished_at or 0.0,
                call.caller[:CLIENT_SHOWN] if call.caller.startswith("cl-") else call.caller,
            )
        )
    return listed


async def cancel_call(actor: Actor, message: CancelCall, _: bytes, context: Context) -> tuple[Done, bytes]:
    """Ends a call; of one that has ended nothing changes."""
    call = await _call(actor, message.call_id, context, "CancelCall")
    if isinstance(call, Kept) or call.finished_at is None:
        await context.durable.ends.cancel(call.call_id, terminate=message.terminate_containers)
    return Done(), b""


async def get_call_graph(
    actor: Actor, message: GetCallGraph, _: bytes, context: Context
) -> tuple[CallGraph, bytes]:
    """The inputs of a call and of the calls that they made."""
    await _call(actor, message.call_id, context, "GetCallGraph")
    row = await in_thread(context.store.call_reads.find, message.call_id)
    if row is None:
        raise _unknown(message.call_id)
    return await call_graph(row, context.durable.engine, context.store.call_reads), b""


async def explain_call(
    actor: Actor, message: ExplainCall, _: bytes, context: Context
) -> tuple[CallExplained, bytes]:
    """Why a call has no result yet; of calls that are not spawned, too, while they are under way."""
    authorise(actor, "ExplainCall", Target())
    durable = context.durable
    dispatcher = durable.engine.dispatcher
    explained: CallExplained | None = dispatcher.explain(time.monotonic(), message.call_id)
    open_call = dispatcher.core.calls.get(message.call_id)
    kept = durable.windows.calls.get(message.call_id)
    if kept is None and open_call is not None:
        if actor.environment not in ("", open_call.function.environment):
            raise _unknown(message.call_id)
        return explained or CallExplained(message.call_id, open_call.function.spec.tag), b""
    call = await _call(actor, message.call_id, context, "ExplainCall")
    answer = explained or CallExplained(call.call_id, call.tag)
    answer.tag = call.tag
    answer.reasons += _of_store(call)
    return answer, b""


def _of_store(call: CallRow | Kept) -> list[InputReason]:
    """What the dispatcher does not know of a call: what is done, and what waits in the store."""
    done, reasons = _done(call), list[InputReason]()
    under_way = call.under_way if isinstance(call, Kept) else 0
    waiting = call.total - done - under_way
    if isinstance(call, CallRow) and call.finished_at is not None:
        waiting = 0
    if waiting > 0:
        why = (
            "kept in the store until inputs before them have ended"
            if under_way or not done
            else "kept in the store"
        )
        reasons.append(InputReason("kept", waiting, call.total - waiting, f"{why}; nothing is to be done"))
    if done:
        reasons.append(InputReason("done", done, 0, "they have their result"))
    return reasons


def _done(call: CallRow | Kept) -> int:
    if isinstance(call, Kept):
        return call.recorded
    return call.done if call.finished_at is None else call.total


def _is_expired(call: CallRow) -> bool:
    return call.finished_at is not None and call.finished_at + KEEP_RESULTS_S < time.time()


async def _call(actor: Actor, call_id: str, context: Context, action: str) -> CallRow | Kept:
    """The call that a message names, if the actor may know of it."""
    authorise(actor, action, Target())
    found = await context.durable.outputs.find(call_id)
    if found is None or actor.environment not in ("", found.environment):
        raise _unknown(call_id)
    return found


def _unknown(call_id: str) -> Refused:
    if call_id[:3] != "fc-" or len(call_id) != CALL_ID_LENGTH:
        return Refused(
            "NotFoundError",
            f"expected the id of a spawned call, like fc-01JD… with 26 characters behind the dash, got {call_id[:80]!r}",
        )
    return Refused(
        "NotFoundError",
        f"there is no spawned call {call_id}: ids come from .spawn() and .spawn_map(), and are forgotten 30 days after "
        "the call has ended",
    )
