"""What is exported to a collector: when, and what becomes of it where the collector does not take it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

import pytest

from ionian.protocol.traces import parse
from ionian.server.telemetry import exporter
from ionian.server.telemetry.exporter import MOST_AT_ONCE, MOST_WAITING, Exporter
from ionian.server.telemetry.spans import ContainerStart, Input, Run, Traced, of_call, of_input
from ionian.server.telemetry.telemetry import wanted

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("environment", "signal", "expected"),
    [
        ({}, "traces", False),
        (ENDPOINT, "traces", True),
        (ENDPOINT, "logs", True),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://127.0.0.1:1"}, "logs", True),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://127.0.0.1:1"}, "traces", False),
        ({**ENDPOINT, "OTEL_SDK_DISABLED": "true"}, "traces", False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, "traces", False),
        ({**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"}, "logs", True),
        ({**ENDPOINT, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "traces", False),
    ],
)
def test_what_is_exported_follows_from_the_standard_variables(
    environment: dict[str, str], signal: str, expected: bool
) -> None:
    assert wanted(signal, environment) is expected


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-{'1' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"ff-{'1' * 32}-{'1' * 16}-01",
    ],
)
def test_a_traceparent_that_is_none_is_as_if_it_were_not_there(traceparent: str) -> None:
    assert parse(traceparent) is None


def test_a_traceparent_says_whether_its_trace_is_recorded() -> None:
    for flags, sampled in (("00", False), ("01", True), ("03", True)):
        found = parse(f"00-{'a' * 32}-{'b' * 16}-{flags}")
        assert found is not None
        assert (found.trace_id, found.span_id, found.sampled) == (
            int("a" * 32, 16),
            int("b" * 16, 16),
            sampled,
        )


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is waited for however slow the machine is."""
    monkeypatch.setattr(exporter, "LAST_S", 60.0)


@pytest.mark.usefixtures("patient")
def test_a_dead_collector_costs_one_warning_and_what_it_lost_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(batch: Sequence[int]) -> bool:
        raise ConnectionError("nobody listens")

    caplog.set_level(logging.INFO, "ionian.server")
    exporting = Exporter("spans", refuse)
    exporting.put(range(3 * MOST_AT_ONCE))
    exporting.stop()
    assert (exporting.dropped, exporting.exported) == (3 * MOST_AT_ONCE, 0)
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("patient")
def test_what_comes_while_a_slow_collector_has_a_full_queue_is_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exporter, "GATHER_S", 0.0)
    begun, go_on = threading.Event(), threading.Event()
    taken = 0

    def slowly(batch: Sequence[int]) -> bool:
        nonlocal taken
        begun.set()
        go_on.wait(60)
        taken += len(batch)
        return True

    exporting = Exporter("spans", slowly)
    exporting.put([0])
    assert begun.wait(60)
    exporting.put(range(MOST_WAITING + 7))
    go_on.set()
    exporting.stop()
    assert exporting.dropped == 7
    assert taken == exporting.exported == MOST_WAITING + 1


def traced(*inputs: Input) -> Traced:
    return Traced("fc-1", "f", {"ionian.function": "f"}, 1, 2, 10.0, 20.0, arrived=len(inputs))


def test_an_input_that_ran_twice_waited_twice() -> None:
    one = Input(10.0, [Run(1, "ta-1", 11.0, 12.0, 13.0, 1), Run(2, "ta-2", 14.0, 14.5, 16.0)])
    spans = of_input(traced(one), 0, one)
    assert [(span.name, span.began, span.ended, bool(span.error)) for span in spans] == [
        ("queued", 10.0, 12.0, False),
        ("run", 12.0, 13.0, True),
        ("queued", 13.0, 14.5, False),
        ("run", 14.5, 16.0, False),
    ]
    assert len({span.span_id for span in spans}) == 4


def test_the_parts_of_a_start_follow_one_another_up_to_where_the_container_is_ready() -> None:
    parts = {"scheduled": 1.0, "sandbox": 2.0, "imports": 0.5, "first input": 9.0}
    one = Input(10.0, [Run(1, "ta-1", 13.5, 14.0, 15.0)], ContainerStart("ta-1", 10.0, "fresh", parts))
    _, start, *found, _ = of_input(traced(one), 0, one)
    assert (start.name, start.began, start.ended) == ("start container", 10.0, 13.5)
    assert [(span.name, span.began, span.ended) for span in found] == [
        ("scheduled", 10.0, 11.0),
        ("sandbox", 11.0, 13.0),
        ("imports", 13.0, 13.5),
    ]
    assert {span.parent_id for span in found} == {start.span_id}


def test_the_span_of_a_call_says_how_many_of_its_inputs_failed() -> None:
    call = traced(Input(10.0), Input(10.0))
    assert of_call(call).error == ""
    call.failed = 2
    assert of_call(call).error == "2 of its inputs failed"
