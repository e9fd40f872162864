"""Logs of apps, exported to a file and to a collector of OpenTelemetry, over a kill -9 of the server."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from tests.homes import new_home
from tests.integration.collector import Collector, attributes, collecting
from tests.integration.processes import server_of
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

APP = """
    import sys
    import modal

    app = modal.App("letters")

    @app.function(max_containers=1)
    def write(name):
        print("Dear", name)
        print("not sent", file=sys.stderr)

    @app.local_entrypoint()
    def main(name: str):
        write.remote(name)
"""


def dear(collector: Collector) -> list[str]:
    """What the collector has of what the app printed."""
    texts = [record.body.string_value for record in collector.records]
    return [text for text in texts if text.startswith("Dear")]


def wait_for(file: Path, text: str) -> None:
    """Waits for a line in the file: then it is kept, too."""
    end = time.monotonic() + 90
    while not file.exists() or text not in file.read_text():
        assert time.monotonic() < end, text
        time.sleep(0.05)


def test_no_line_is_lost_where_the_collector_is_away_and_the_server_is_killed(tmp_path: Path) -> None:
    program, file = write(tmp_path, "letters.py", APP), tmp_path / "exported" / "apps.log"
    with collecting() as collector, new_home() as home:
        environment = {
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{collector.url}/v1/logs",
            "IONIAN_LOGS_EXPORT_FILE": str(file),
        }
        collector.status = 400
        for name in ("Ada", "Grace"):
            started = home.ionian("server", "start", environment=environment)
            assert started.returncode == 0, started.stdout
            done = home.ionian("run", "-q", program, "--name", name, timeout_s=200)
            assert done.returncode == 0, done.stdout
            wait_for(file, f"Dear {name}")
            if name == "Ada":
                os.kill(server_of(home), signal.SIGKILL)
        collector.wait(lambda: collector.refused > 0)
        assert not collector.records
        collector.status = 200
        collector.wait(lambda: {*dear(collector)} == {"Dear Ada", "Dear Grace"})
        (record, *_) = [one for one in collector.records if one.body.string_value == "Dear Ada"]
    about = attributes(list(record.attributes))
    assert (about["ionian.app"], about["ionian.function"], about["log.iostream"]) == (
        "letters",
        "write",
        "stdout",
    )
    assert about["ionian.container"]
    assert about["ionian.call"]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {"Dear Ada", "Dear Grace"} <= {line["message"] for line in lines if line["source"] == "stdout"}
    assert "not sent" in {line["message"] for line in lines if line["source"] == "stderr"}
