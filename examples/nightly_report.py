"""A report that writes itself each night: deployed once, it runs without anybody.

    ionian deploy examples/nightly_report.py
    ionian app list                                  # says when it runs next
    ionian run examples/nightly_report.py            # puts in an event for yesterday and writes the report now

Events are lines of JSON, a file a day, in a volume that other functions write to. A night that was missed because the
machine was off is made up for by the next one: a report is written for each day that has events and no report.
"""

import json
import os
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import modal

app = modal.App("nightly-report")
image = modal.Image.debian_slim(python_version="3.11")
volume = modal.Volume.from_name("events", create_if_missing=True)

EVENTS, REPORTS = Path("/data/events"), Path("/data/reports")


@app.function(image=image, volumes={"/data": volume})
def record(day: str, kind: str) -> None:
    """An event of that day."""
    EVENTS.mkdir(exist_ok=True)
    with open(EVENTS / f"{day}.jsonl", "a") as file:
        file.write(json.dumps({"kind": kind}) + "\n")


@app.function(
    image=image,
    volumes={"/data": volume},
    schedule=modal.Cron("30 2 * * *", timezone="Europe/Berlin"),
    retries=2,
    timeout=600,
)
def report() -> list[str]:
    """Writes the reports that are missing, up to yesterday's; returns their days."""
    REPORTS.mkdir(exist_ok=True)
    written: list[str] = []
    for events in sorted(EVENTS.glob("*.jsonl")):
        target = REPORTS / f"{events.stem}.json"
        if target.exists() or events.stem >= date.today().isoformat():
            continue
        counts = Counter(json.loads(line)["kind"] for line in events.read_text().splitlines())
        unfinished = target.with_suffix(".part")
        unfinished.write_text(json.dumps(counts))
        os.replace(unfinished, target)  # tried again after a crash, it finds a whole report or none
        written.append(events.stem)
        print(f"{events.stem}: {dict(counts)}")
    return written


@app.local_entrypoint()
def main():
    yesterday = (date.today() - timedelta(days=1)).isoformat()
    record.remote(yesterday, "visit")
    print("written:", report.remote() or "nothing was missing")
