"""A collector of OpenTelemetry: takes what is exported by OTLP over HTTP, and keeps it for a test to look at."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE_S = 90


def attributes(pairs: list[KeyValue]) -> dict[str, str | int]:
    """Attributes as a dict."""
    return {
        pair.key: pair.value.string_value if pair.value.HasField("string_value") else pair.value.int_value
        for pair in pairs
    }


class Collector:
    """What came, in its order."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.records: list[LogRecord] = []
        self.services: set[str | int] = set()
        self.headers: dict[str, str] = {}  # of the last request
        self.status = 200  # what is answered; nothing is kept of what is not taken
        self.refused = 0
        self.url = ""
        self._changed = threading.Condition()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """A request; returns its status."""
        with self._changed:
            self.headers = headers
            self.refused += self.status != 200
            if self.status == 200 and path == "/v1/traces":
                for one in ExportTraceServiceRequest.FromString(body).resource_spans:
                    self.services.add(attributes(list(one.resource.attributes))["service.name"])
                    self.spans += [span for scope in one.scope_spans for span in scope.spans]
            elif self.status == 200 and path == "/v1/logs":
                for of in ExportLogsServiceRequest.FromString(body).resource_logs:
                    self.services.add(attributes(list(of.resource.attributes))["service.name"])
                    self.records += [record for scope in of.scope_logs for record in scope.log_records]
            self._changed.notify_all()
            return self.status

    def wait(self, until: Callable[[], bool]) -> None:
        """Waits for what came to be as it is wanted."""
        with self._changed:
            found = self._changed.wait_for(until, PATIENCE_S)
            assert found, [(span.name, span.trace_id.hex()) for span in self.spans]


@contextmanager
def collecting() -> Generator[Collector]:
    """A collector that listens."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            self.send_response(collector.take(self.path, dict(self.headers.items()), body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
