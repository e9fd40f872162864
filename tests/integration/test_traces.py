"""Traces of calls, as a collector of OpenTelemetry gets them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from tests.homes import new_home
from tests.integration.collector import Collector, attributes, collecting
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

APP = """
    import urllib.request

    import modal

    app = modal.App("traced")

    @app.function(max_containers=1)
    def half(n):
        return 10 / n

    @app.function(max_containers=1)
    def outer():
        return half.remote(5)

    @app.function(max_containers=1)
    @modal.wsgi_app()
    def page():
        def answer(environ, start_response):
            start_response("200 OK", [])
            return [b"hello"]
        return answer

    def in_a_span(tracer, name, work):
        with tracer.start_as_current_span(name) as span:
            work(span.get_span_context())
            context = span.get_span_context()
            print(f"{name} {context.trace_id:032x} {context.span_id:016x}")

    def request(context):
        traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
        asked = urllib.request.Request(page.get_web_url(), headers={"traceparent": traceparent})
        assert urllib.request.urlopen(asked, timeout=60).read() == b"hello"

    @app.local_entrypoint()
    def main():
        half.remote(1)  # in no span
        from opentelemetry.sdk.trace import TracerProvider
        tracer = TracerProvider(shutdown_on_exit=False).get_tracer("a user's")
        in_a_span(tracer, "remote", lambda _: half.remote(2))
        in_a_span(tracer, "map", lambda _: list(half.map([1, 2, 0], return_exceptions=True)))
        in_a_span(tracer, "spawned", lambda _: half.spawn(4).get())
        in_a_span(tracer, "nested", lambda _: outer.remote())
        in_a_span(tracer, "request", request)
"""


class Told:
    """The traces of one run of the app: the user's spans by name, and ours below them."""

    def __init__(self, collector: Collector, output: str) -> None:
        found = re.findall(r"^(\w+) ([0-9a-f]{32}) ([0-9a-f]{16})$", output, re.MULTILINE)
        self.collector = collector
        self.clients = {name: (trace_id, span_id) for name, trace_id, span_id in found}

    def of(self, name: str) -> list[Span]:
        """The spans of the trace of one of the user's spans."""
        trace_id = self.clients[name][0]
        return [span for span in self.collector.spans if span.trace_id.hex() == trace_id]

    def call(self, name: str) -> Span:
        """The call that was made in one of the user's spans, once all of it is here."""
        own = self.clients[name][1]
        self.collector.wait(lambda: any(span.parent_span_id.hex() == own for span in self.of(name)))
        (call,) = [span for span in self.of(name) if span.parent_span_id.hex() == own]
        return call

    def below(self, name: str, parent: Span) -> list[Span]:
        """Its children."""
        return [span for span in self.of(name) if span.parent_span_id == parent.span_id]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with collecting() as collector, new_home() as home:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=one",
            "OTEL_SERVICE_NAME": "our-ionian",
        }
        started = home.ionian("server", "start", environment=environment)
        assert started.returncode == 0, started.stdout
        done = home.ionian("run", write(tmp_path_factory.mktemp("traced"), "traced.py", APP), timeout_s=250)
        assert done.returncode == 0, done.stdout
        yield Told(collector, done.stdout)


def test_a_call_is_below_the_span_of_its_client_and_its_wait_and_run_below_it(told: Told) -> None:
    call = told.call("remote")
    assert (call.name, call.kind) == ("half", Span.SPAN_KIND_SERVER)
    assert attributes(list(call.attributes))["ionian.function"] == "half"
    assert sorted(span.name for span in told.below("remote", call)) == ["queued", "run"]
    for span in told.below("remote", call):
        assert call.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= call.end_time_unix_nano


def test_the_start_of_a_container_is_in_the_wait_of_the_input_that_waited_for_it(told: Told) -> None:
    call = told.call("request")
    (queued,) = [span for span in told.below("request", call) if span.name == "queued"]
    (start,) = told.below("request", queued)
    assert start.name == "start container"
    assert attributes(list(start.attributes))["ionian.function"] == "page"
    parts = [span.name for span in told.below("request", start)]
    assert parts[0] == "scheduled"
    assert "sandbox" in parts


def test_each_input_of_a_map_has_a_wait_and_a_run(told: Told) -> None:
    call = told.call("map")
    runs = [span for span in told.below("map", call) if span.name == "run"]
    ended = {attributes(list(run.attributes))["ionian.input.index"]: run.status.code for run in runs}
    fine, failed = Status.STATUS_CODE_UNSET, Status.STATUS_CODE_ERROR
    assert ended == {0: fine, 1: fine, 2: failed}
    assert attributes(list(call.attributes))["ionian.inputs"] == 3
    assert call.status.code == failed


def test_a_spawned_call_is_below_the_span_in_which_it_was_spawned(told: Told) -> None:
    call = told.call("spawned")
    assert "run" in [span.name for span in told.below("spawned", call)]


def test_a_call_of_a_function_is_below_the_run_in_which_it_was_made(told: Told) -> None:
    call = told.call("nested")
    (run,) = [span for span in told.below("nested", call) if span.name == "run"]
    told.collector.wait(lambda: bool(told.below("nested", run)))
    (inner,) = told.below("nested", run)
    assert (call.name, inner.name) == ("outer", "half")


def test_a_web_request_joins_the_trace_that_its_header_names(told: Told) -> None:
    assert told.call("request").name == "page"


def test_a_call_in_no_span_has_a_trace_of_its_own(told: Told) -> None:
    told.collector.wait(
        lambda: any(span.name == "half" and not span.parent_span_id for span in told.collector.spans)
    )


def test_the_standard_variables_say_who_it_is_and_what_the_collector_wants_to_hear(told: Told) -> None:
    told.call("remote")
    assert told.collector.services == {"our-ionian"}
    assert told.collector.headers["x-tenant"] == "one"
