"""How many containers a function has, and how it is doing: what `autoscaler` and `get_current_stats` of a function are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .arguments import wrong
from .blocking import BlockingMethod
from .exception import InvalidError
from .options import scaling_argument

if TYPE_CHECKING:
    from collections.abc import Callable

    from .protocol.calls import UpdateAutoscaler
    from .protocol.spec import Scaling


class FunctionAutoscalerSettings(NamedTuple):
    """How many containers a function has."""

    min_containers: int
    max_containers: int | None  # None: what the workers hold
    buffer_containers: int
    scaledown_window: float  # seconds that an idle container waits


class FunctionCurrentStats(NamedTuple):
    """How a function is doing."""

    backlog: int  # inputs that wait
    num_total_runners: int  # containers
    num_running_inputs: int
    input_headroom: int  # inputs that its containers could run beside those


UNSET: Any = object()
"""A setting that stays as it is: None is one that is taken away."""


class FunctionAutoscaler:
    """How many containers a function has: `train.autoscaler.settings()`, and `update(…)` until its app is deployed again."""

    def __init__(self, function_id: Callable[[], str]) -> None:
        self._function_id = function_id

    @BlockingMethod
    def settings(self) -> FunctionAutoscalerSettings:
        """All settings as they are now. Raises ExecutionError where the app is not running."""
        from . import link
        from .protocol.calls import GetAutoscaler

        message = GetAutoscaler(self._function_id())
        answer, _ = link.current().request(message)
        return settings(answer.scaling)

    @BlockingMethod
    def update(
        self,
        *,
        min_containers: int | None = UNSET,
        max_containers: int | None = UNSET,
        buffer_containers: int | None = UNSET,
        scaledown_window: int = UNSET,
    ) -> FunctionAutoscalerSettings:
        """Changes settings, until the app of the function is deployed again; what is not given stays as it is.

        None takes one away: no minimum, no buffer, as many containers as the workers hold. `scaledown_window` is in
        seconds. Returns all settings. Raises InvalidError for a wrong argument, ExecutionError where the app is not running.
        """
        given = {name: value for name, value in locals().items() if name != "self" and value is not UNSET}
        if "scaledown_window" in given and given["scaledown_window"] is None:
            raise wrong("scaledown_window", "a number of seconds", None)
        taken_away = {name for name, value in given.items() if value is None}
        message = update("", {**UNCHANGED, **given})
        for name in taken_away:
            setattr(message, name, 0)
        from . import link

        message.function_id = self._function_id()
        return settings(link.current().request(message)[0].scaling)


UNCHANGED = dict.fromkeys(("min_containers", "max_containers", "buffer_containers", "scaledown_window"))


def settings(scaling: Scaling) -> FunctionAutoscalerSettings:
    """What the server says of it, in the names of the API."""
    return FunctionAutoscalerSettings(
        scaling.min_containers,
        scaling.max_containers or None,
        scaling.buffer_containers,
        scaling.scaledown_window_s,
    )


def update(function_id: str, given: dict[str, Any]) -> UpdateAutoscaler:
    """The message for the arguments of `update_autoscaler`, None for what stays. Raises InvalidError, naming the argument."""
    from .protocol.calls import UpdateAutoscaler

    given = {name: None if value is None else scaling_argument(name, value) for name, value in given.items()}
    least, most, window = given["min_containers"], given["max_containers"], given["scaledown_window"]
    if least is not None and most is not None and least > most:
        raise InvalidError(f"min_containers: expected at most max_containers ({most}), got {least}")
    return UpdateAutoscaler(function_id, least, most, given["buffer_containers"], window)
