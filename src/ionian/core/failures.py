"""The failures that the server itself reports, as payloads of LOST results: what happened, and what to do."""

from __future__ import annotations

import json

from ..protocol.spec import FunctionSpec
from ..protocol.workers import ContainerState


def failure(type: str, message: str, input_id: str = "") -> bytes:
    """The payload of a LOST result. `input_id`: the input is kept, and can be run again by `ionian replay`."""
    return json.dumps(
        {"type": type, "message": message, **({"input": input_id} if input_id else {})}
    ).encode()


def timed_out(spec: FunctionSpec, input_id: str) -> bytes:
    """An input ran longer than its function may."""
    return failure(
        "FunctionTimeoutError",
        f"{spec.tag} ran longer than its timeout of {spec.timeout_s:g} s and was ended."
        f" Raise it with @app.function(timeout=…).",
        input_id,
    )


def died(spec: FunctionSpec, state: ContainerState, times: int, input_id: str) -> bytes:
    """An input whose containers died of it again and again."""
    again = f" It was tried {times} times." if times > 1 else ""
    if state.ended == "memory":
        limit = spec.resources.memory_limit_mib or spec.resources.memory_mib
        return failure(
            "ResourceExhaustedError",
            f"{spec.tag} ran out of memory: its container reached its limit of {limit} MiB.{again}"
            f" Raise it with @app.function(memory=(request, limit)), in MiB.",
            input_id,
        )
    detail = state.detail or ("it was ended by a signal" if state.ended == "signal" else "its process ended")
    return failure("RemoteError", f"{spec.tag}: {detail} while it ran this input.{again}", input_id)


def not_started(spec: FunctionSpec, state: ContainerState, times: int) -> bytes:
    """A function whose containers don't start."""
    detail = state.detail or {
        "startup": f"it was not ready within {spec.startup_timeout_s:g} s: @app.function(startup_timeout=…) raises that",
        "import": "its code did not import",
        "exit": "its process ended while it started",
        "signal": "its process was killed while it started",
        "memory": "it ran out of memory while it started: @app.function(memory=…) raises the limit",
    }.get(state.ended, "the container could not be made")
    return failure("RemoteError", f"A container of {spec.tag} did not start, tried {times} times: {detail}")


def half_generated(spec: FunctionSpec) -> bytes:
    """A generator can't be run again once the caller has items of it."""
    return failure(
        "InternalFailure",
        f"The container of the generator {spec.tag} was lost after it had yielded items, so it can't go on."
        f" Call it again.",
    )


def app_stopped(spec: FunctionSpec) -> bytes:
    """The app ended before the input did."""
    return failure("RemoteError", f"The app of {spec.tag} was stopped before this input ended.")


def dropped(spec: FunctionSpec) -> bytes:
    """A deploy of its app has the function no more."""
    return failure(
        "NotFoundError",
        f"{spec.tag} was removed by a newer deploy of its app before this input began. Deploy the app with it again,"
        f" or call a function that it still has: `ionian app list` shows the apps.",
    )
