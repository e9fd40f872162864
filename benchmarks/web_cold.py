"""The first request of a web function that has no container, beside the first call of a function of the same image, in turns.

python -m benchmarks.web_cold [--rounds 20]      prints a table

All have FastAPI imported, and a container for each input, so each has none when it is asked. What the request takes longer is
what a web function costs at its start: its app is made, and an answer goes by HTTP.
"""
# pyright: reportMissingImports=false, reportUnusedImport=false, reportPossiblyUnboundVariable=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import ionian

from .measure import percentile
from .web import one_by_one

app = ionian.App("benchmark-web-cold")
image = ionian.Image.debian_slim(python_version="3.11").pip_install("fastapi")

PAUSE_S = 0.5
"""Between two starts: the next container is made ahead meanwhile, for each of them."""

with image.imports():
    import fastapi
    import fastapi.middleware.cors


@app.function(image=image, single_use_containers=True)
def call() -> dict[str, str]:
    return {"hello": "world"}


@app.function(image=image, single_use_containers=True)
@ionian.fastapi_endpoint()
def endpoint() -> dict[str, str]:
    return {"hello": "world"}


@app.function(image=image, single_use_containers=True)
@ionian.asgi_app()
def page() -> Any:
    pages = fastapi.FastAPI()
    pages.add_api_route("/", lambda: {"hello": "world"})
    return pages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with app.run():
        urls = [function.get_web_url() for function in (endpoint, page)]
        asks: dict[str, Callable[[], Any]] = {"a call": call.remote}
        for name, url in zip(("an `@fastapi_endpoint`", "an `@asgi_app`"), urls, strict=True):
            assert url is not None
            asks[name] = lambda url=url: one_by_one(url, 1)
        took: dict[str, list[float]] = {name: [] for name in asks}
        for number in range(options.rounds + 1):
            for name, ask in asks.items():
                time.sleep(PAUSE_S)
                begun = time.perf_counter()
                ask()
                if number:  # the very first loads all from the disk
                    took[name].append((time.perf_counter() - begun) * 1e3)
    print("| with no container | p50 | p90 | more than a call |\n|---|---|---|---|")
    for name, times in took.items():
        more = median(times) - median(took["a call"])
        print(f"| {name} | {median(times):.1f} ms | {percentile(times, 0.9):.1f} ms | {more:.1f} ms |")


if __name__ == "__main__":
    main()
