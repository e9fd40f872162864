"""A web endpoint beside the same app under uvicorn alone, on this machine in turns in one run.

python -m benchmarks.web [--requests 3000] [--seconds 5] [--rounds 3]      prints a table

Both run FastAPI with one path that returns a small object: uvicorn in a plain process from a virtual environment of its own,
ours in one container with up to 100 requests at once. `wrk` measures the throughput, where it is installed.
"""

from __future__ import annotations

import argparse
import http.client
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import ionian

app = ionian.App("benchmark-web")
image = ionian.Image.debian_slim(python_version="3.11").pip_install("fastapi")

PAGE = """
from fastapi import FastAPI

pages = FastAPI()

@pages.get("/")
async def hello() -> dict[str, str]:
    return {"hello": "world"}
"""

CONNECTIONS = 32


@app.function(image=image, max_containers=1)
@ionian.concurrent(max_inputs=100)
@ionian.asgi_app()
def page() -> Any:
    names: dict[str, Any] = {}
    exec(PAGE, names)
    return names["pages"]


@contextmanager
def uvicorn() -> Generator[str]:
    """The same app under uvicorn alone; gives its address."""
    folder = Path(tempfile.mkdtemp(prefix="uvicorn-"))
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    subprocess.run([sys.executable, "-m", "venv", folder / "venv"], check=True)
    python = folder / "venv" / "bin" / "python"
    packages = ["fastapi", "uvicorn", "httptools", "uvloop"]
    install = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages]
    subprocess.run(install, check=True, stderr=subprocess.DEVNULL)
    (folder / "page.py").write_text(PAGE)
    command = [python, "-m", "uvicorn", "page:pages", "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen(command, cwd=folder)
    try:
        address = f"http://127.0.0.1:{port}/"
        wait_for(address)
        yield address
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(address: str) -> None:
    """Waits until something answers."""
    for _ in range(500):
        try:
            one_by_one(address, 1)
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(f"expected an answer at {address} within 10 s")


def one_by_one(address: str, count: int) -> tuple[float, float]:
    """Requests over one connection, one after the other: microseconds at p50 and p99."""
    parts = urlsplit(address)
    assert parts.hostname
    times: list[float] = []
    with closing(http.client.HTTPConnection(parts.hostname, parts.port, timeout=30)) as connection:
        for _ in range(count):
            begun = time.perf_counter()
            connection.request("GET", parts.path)
            body = connection.getresponse().read()
            times.append((time.perf_counter() - begun) * 1e6)
            assert body == b'{"hello":"world"}', body
    times.sort()
    return median(times), times[int(len(times) * 0.99)]


def together(address: str, seconds: int) -> float:
    """Requests a second over many connections; 0 where there is no wrk."""
    if shutil.which("wrk") is None:
        return 0.0
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", address]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in said, said
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found is not None, said
    return float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    measured: dict[str, list[tuple[float, float, float]]] = {"uvicorn": [], "Ionian": []}
    with app.run(), uvicorn() as bare:
        ours = page.get_web_url()
        assert ours is not None
        addresses = {"uvicorn": bare, "Ionian": ours}
        for address in addresses.values():
            one_by_one(address, 200)
        for _ in range(options.rounds):
            for name, address in addresses.items():
                alone = one_by_one(address, options.requests)
                measured[name].append((*alone, together(address, options.seconds)))
    print("| | one request, p50 | p99 | requests/s, 32 connections |\n|---|---|---|---|")
    for name, rounds in measured.items():
        p50, p99, rate = (median(values) for values in zip(*rounds, strict=True))
        print(f"| {name} | {p50:,.0f} µs | {p99:,.0f} µs | {rate:,.0f} |")


if __name__ == "__main__":
    main()
