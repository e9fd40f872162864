"""The measured tables of docs/performance.md. What stands outside the two marks is written by people."""

from __future__ import annotations

import os
import platform
import re
from datetime import date
from pathlib import Path

from .calls import Result
from .peers import PEERS

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def write(document: Path, ours: dict[str, Result], peers: dict[str, Result]) -> None:
    """Puts the tables between the marks of the document."""
    before, _, rest = document.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    tables = "\n\n".join((machine(), own_table(ours), peer_table(ours, peers)))
    document.write_text(f"{before}{BEGIN}\n{tables}\n{END}{after}")


def machine() -> str:
    """One sentence: when and on what it was measured."""
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured on {date.today().isoformat()} on {os.cpu_count()} cores ({model[1] if model else platform.machine()}), "
        f"{memory_gib:.0f} GiB, Linux {platform.release()}, Python {platform.python_version()}; "
        "all processes on that machine."
    )


def own_table(ours: dict[str, Result]) -> str:
    """Each measurement beside what it is to reach."""

    def value(name: str, key: str, unit: str, digits: int = 0) -> str:
        result = ours.get(name, {})
        return f"{result[key]:,.{digits}f} {unit}" if key in result else result.get("missing", "not measured")

    rows = [
        ("one warm `.remote()`, p50", value("call", "p50_us", "µs"), "250 µs"),
        ("one warm `.remote()`, p99", value("call", "p99_us", "µs"), ""),
        (
            "`.map` of 1,000,000 no-op inputs, in order",
            value("million", "per_s", "inputs/s"),
            "100,000 inputs/s",
        ),
        ("the client's memory meanwhile, at most", value("million", "client_mb", "MB"), "200 MB"),
        ("the server's memory meanwhile, at most", value("million", "server_mb", "MB"), "200 MB"),
        (
            "first call of a function, nothing running but server and worker, p50",
            value("first-call", "p50_ms", "ms"),
            "100 ms",
        ),
        ("`ionian run` at the prompt to its first result, p50", value("prompt", "p50_ms", "ms"), "600 ms"),
        ("`import ionian`", value("import", "p50_ms", "ms"), "150 ms"),
        (
            "a changed source file to its answer from a container, p50",
            value("changed-source", "p50_ms", "ms"),
            "1,000 ms",
        ),
        ('`pip_install("numpy")` on a new base, from cache', value("packages", "p50_ms", "ms"), "2,000 ms"),
        (
            "`.spawn_map` of 100,000 inputs, each on disk",
            value("spawn", "per_s", "inputs/s"),
            "10,000 inputs/s",
        ),
        (
            "as many `await f.spawn.aio()` at once, each a call on disk",
            value("spawn", "single_per_s", "calls/s"),
            "10,000 calls/s",
        ),
        (
            "results of such calls, each read by its own `.get.aio()`",
            value("spawn", "read_per_s", "calls/s"),
            "",
        ),
        ("one blocking `.spawn()`, p50", value("spawn", "p50_us", "µs"), ""),
        ("`ionian deploy` of an unchanged app, p50", value("deploy", "p50_ms", "ms"), "1,000 ms"),
        ("the same in a connected program, p50", value("deploy-inside", "p50_ms", "ms"), ""),
    ]
    lines = [f"| {what} | {got} | {bound} |" for what, got, bound in rows]
    return "\n".join(["| | measured | to reach |", "|---|---|---|", *lines])


def peer_table(ours: dict[str, Result], peers: dict[str, Result]) -> str:
    """The same no-op with each tool, and how many times as many inputs Ionian does."""
    own = ours.get("call", {})
    lines = [row("**Ionian**, 2 containers", own, own)]
    for name, result in peers.items():
        title = PEERS[name][0]
        lines.append(row(f"{title} {result['version']}" if "version" in result else title, result, own))
    head = "| | one blocking call, p50 | p99 | no-op inputs/s | Ionian does |"
    return "\n".join([head, "|---|---|---|---|---|", *lines])


def row(title: str, result: Result, own: Result) -> str:
    if "missing" in result:
        return f"| {title} | not measured: {result['missing']} | | | |"
    p50 = f"{result['p50_us']:,.0f} µs" if "p50_us" in result else ""
    p99 = f"{result['p99_us']:,.0f} µs" if "p99_us" in result else ""
    rate = f"{result['per_s']:,.0f}" if "per_s" in result else ""
    times = (
        own["per_s"] / result["per_s"] if "per_s" in own and "per_s" in result and result is not own else 0.0
    )
    return f"| {title} | {p50} | {p99} | {rate} | {f'{times:,.1f} times as many' if times else ''} |"
