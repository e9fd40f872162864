"""How many containers a function has, and how it is doing: what `update_autoscaler` and `get_current_stats` return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .exception import InvalidError
from .options import scaling_argument

if TYPE_CHECKING:
    from .protocol.calls import UpdateAutoscaler
    from .protocol.spec import Scaling


class FunctionAutoscalerSettings(NamedTuple):
    """How many containers a function has."""

    min_containers: int
    max_containers: int | None  # None: what the workers hold
    buffer_containers: int
    scaledown_window: float  # seconds that an idle container waits


class FunctionStats(NamedTuple):
    """How a function is doing."""

    backlog: int  # inputs that wait
    num_total_runners: int  # containers
    num_running_inputs: int
    input_headroom: int  # inputs that its containers could run beside those


def settings(scaling: Scaling) -> FunctionAutoscalerSettings:
    """What the server says of it, in the names of the API."""
    return FunctionAutoscalerSettings(
        scaling.min_containers,
        scaling.max_containers or None,
        scaling.buffer_containers,
        scaling.scaledown_window_s,
    )


def update(function_id: str, given: dict[str, Any]) -> UpdateAutoscaler:
    """The message for the arguments of `update_autoscaler`. Raises InvalidError, naming the argument."""
    from .protocol.calls import UpdateAutoscaler

    given = {name: None if value is None else scaling_argument(name, value) for name, value in given.items()}
    least, most, window = given["min_containers"], given["max_containers"], given["scaledown_window"]
    if least is not None and most is not None and least > most:
        raise InvalidError(f"min_containers: expected at most max_containers ({most}), got {least}")
    return UpdateAutoscaler(function_id, least, most, given["buffer_containers"], window)
