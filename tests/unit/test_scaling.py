"""How many containers a function has, as its owner sets it and sees it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.asked import Asked, asked

from ionian.exception import InvalidError
from ionian.function import handle
from ionian.protocol.calls import (
    AutoscalerSettings,
    FunctionStats,
    GetAutoscaler,
    GetFunctionStats,
    UpdateAutoscaler,
)
from ionian.protocol.spec import Scaling
from ionian.scaling import FunctionAutoscalerSettings
from ionian.scaling import FunctionCurrentStats as Stats

square = handle("fu-1", "square", False)


def answer(message: Any) -> Any:
    """Of a server whose function has a minimum of 1 and no maximum."""
    if isinstance(message, UpdateAutoscaler | GetAutoscaler):
        return AutoscalerSettings(Scaling(1, 0, 2, 30.0))
    assert isinstance(message, GetFunctionStats)
    return FunctionStats(backlog=3, containers=2, running_inputs=4, input_headroom=5)


@pytest.fixture
def server() -> Iterator[Asked]:
    with asked(answer) as made:
        yield made


def test_what_is_given_is_changed_and_all_settings_come_back(server: Asked) -> None:
    settings = square.update_autoscaler(min_containers=1, scaledown_window=30)
    assert server.messages == [UpdateAutoscaler("fu-1", 1, None, None, 30.0)]
    assert settings == FunctionAutoscalerSettings(1, None, 2, 30.0)
    assert settings.max_containers is None


def test_a_coroutine_has_the_same(server: Asked) -> None:
    async def both() -> tuple[FunctionAutoscalerSettings, Stats]:
        return await square.update_autoscaler.aio(max_containers=5), await square.get_current_stats.aio()

    settings, stats = asyncio.run(both())
    assert settings.buffer_containers == 2
    assert stats.backlog == 3
    assert server.of(UpdateAutoscaler) == [UpdateAutoscaler("fu-1", None, 5, None, None)]


def test_the_settings_are_read(server: Asked) -> None:
    assert square.autoscaler.settings() == FunctionAutoscalerSettings(1, None, 2, 30.0)
    assert asyncio.run(square.autoscaler.settings.aio()).min_containers == 1
    assert server.messages == [GetAutoscaler("fu-1"), GetAutoscaler("fu-1")]


def test_an_update_changes_what_is_given_and_none_takes_it_away(server: Asked) -> None:
    settings = square.autoscaler.update(min_containers=1, scaledown_window=30)
    square.autoscaler.update(min_containers=None, max_containers=None, buffer_containers=None)
    square.autoscaler.update(max_containers=4)
    assert settings == FunctionAutoscalerSettings(1, None, 2, 30.0)
    assert server.messages == [
        UpdateAutoscaler("fu-1", 1, None, None, 30.0),
        UpdateAutoscaler("fu-1", 0, 0, 0, None),
        UpdateAutoscaler("fu-1", None, 4, None, None),
    ]


def test_the_stats_have_their_names(server: Asked) -> None:
    assert square.get_current_stats() == Stats(
        backlog=3, num_total_runners=2, num_running_inputs=4, input_headroom=5
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"min_containers": -1}, "min_containers: "),
        ({"min_containers": True}, "min_containers: "),
        ({"max_containers": 0}, "max_containers: "),
        ({"max_containers": "3"}, "max_containers: "),
        ({"buffer_containers": -1}, "buffer_containers: "),
        ({"scaledown_window": 0}, "scaledown_window: "),
        ({"min_containers": 3, "max_containers": 2}, "min_containers: expected at most max_containers"),
    ],
)
def test_a_wrong_setting_is_refused_by_name_and_nothing_is_asked(
    server: Asked, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(InvalidError, match=said):
        square.update_autoscaler(**arguments)
    with pytest.raises(InvalidError, match=said):
        square.autoscaler.update(**arguments)
    with pytest.raises(InvalidError, match="scaledown_window: expected a number of seconds"):
        square.autoscaler.update(scaledown_window=None)  # pyright: ignore[reportArgumentType]
    assert not server.messages
