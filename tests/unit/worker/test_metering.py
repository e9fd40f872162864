"""Readings on their way to the server: told again until it has them."""

from __future__ import annotations

from typing import Any, cast

import pytest

from ionian.protocol.usage import Amounts, Metered, Reading
from ionian.worker import metering
from ionian.worker.metering import Metering


class Stream:
    """Notes what was sent."""

    def __init__(self) -> None:
        self.sent: list[Metered] = []

    def send(self, message: Metered) -> None:
        self.sent.append(message)


class Uplink:
    def __init__(self) -> None:
        self.stream: Stream | None = None


class Worker:
    """As much of a worker as its metering knows."""

    def __init__(self) -> None:
        self.uplink = Uplink()
        self.metering = Metering(cast(Any, self))

    def connect(self) -> Stream:
        stream = self.uplink.stream = Stream()
        self.metering.connected()
        return stream


def reading(wall_s: float = 1.0, id: str = "ta-1", **calls: float) -> Reading:
    return Reading(
        id,
        "ap-1",
        "main",
        "fu-1",
        "fu-1",
        "f",
        lines={"calls": Amounts(wall_s), "idle": Amounts(2.0)},
        calls={f"fc-{name}": share for name, share in calls.items()},
    )


def test_what_is_not_kept_is_told_again_under_its_number() -> None:
    worker = Worker()
    first = worker.connect()
    for _ in range(3):
        worker.metering.say([reading()])
    worker.metering.kept(1)
    second = worker.connect()
    assert [message.seq for message in first.sent] == [1, 2, 3]
    assert [message.seq for message in second.sent] == [2, 3]
    assert {message.source for message in first.sent + second.sent} == {first.sent[0].source}


def test_what_ended_while_no_server_listened_is_told_to_the_next() -> None:
    worker = Worker()
    worker.metering.say([reading()])
    assert [message.readings for message in worker.connect().sent] == [[reading()]]


def test_nothing_used_is_not_told() -> None:
    worker = Worker()
    stream = worker.connect()
    worker.metering.say([])
    worker.metering.say([Reading("ta-1", "ap-1", "main", "fu-1", "fu-1", "f")])
    assert stream.sent == []


def test_while_no_server_listens_for_long_the_rest_is_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "MOST_KEPT", 2)
    worker = Worker()
    worker.metering.say([reading()])
    worker.metering.say([reading(1.0, a=1.0)])
    worker.metering.say([reading(3.0, a=0.5, b=0.5), reading(7.0, "ta-2")])
    sent = worker.connect().sent
    assert [message.seq for message in sent] == [1, 2]
    both, other = sent[1].readings
    assert (both.lines["calls"].wall_s, both.lines["idle"].wall_s) == (4.0, 4.0)
    assert both.calls == pytest.approx({"fc-a": (1.0 + 1.5) / 4, "fc-b": 1.5 / 4})
    assert (other.id, other.lines["calls"].wall_s) == ("ta-2", 7.0)


def test_what_was_sent_is_never_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may have it: under its number it is that."""
    monkeypatch.setattr(metering, "MOST_KEPT", 1)
    worker = Worker()
    stream = worker.connect()
    worker.metering.say([reading(1.0)])
    worker.metering.say([reading(2.0)])
    assert [message.readings[0].lines["calls"].wall_s for message in stream.sent] == [1.0, 2.0]
