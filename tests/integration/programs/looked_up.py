"""A deployed app's functions, used by their names and with other options. Prints what came back as one line of JSON."""

from __future__ import annotations

import json
import os
import sys
import warnings
from typing import Any

import modal

app = modal.App("looked-up")
volume = modal.Volume.from_name("looked-up-volume", create_if_missing=True)


@app.function(env={"COLOUR": "red", "SIZE": "7"})
def describe() -> dict[str, Any]:
    return {
        "colour": os.environ["COLOUR"],
        "size": os.environ["SIZE"],
        "secret": os.environ.get("TOKEN", ""),
        "volume": os.path.ismount("/data"),
        "container": os.environ.get("MODAL_TASK_ID", ""),
    }


@app.function()
def count(n: int):
    yield from range(n)


@app.function()
def by_name(n: int) -> list[int]:
    return list(modal.Function.from_name("looked-up", "count").remote_gen(n))


def refused(use: Any) -> str:
    try:
        use()
    except modal.exception.Error as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def main() -> None:
    seen: dict[str, Any] = {}
    found = modal.Function.from_name("looked-up", "describe")
    seen["plain"] = found.remote()
    seen["spawned"] = found.spawn().get(timeout=60)["colour"]
    seen["generator"] = list(modal.Function.from_name("looked-up", "count").remote_gen(3))
    seen["in a container"] = modal.Function.from_name("looked-up", "by_name").remote(4)
    seen["by id"] = modal.Function.from_id(found.object_id).remote()["colour"]
    seen["by id, generator"] = list(
        modal.Function.from_id(modal.Function.from_name("looked-up", "count").hydrate().object_id).remote_gen(
            2
        )
    )
    varied = found.with_options(
        env={"COLOUR": "blue"},
        secrets=[modal.Secret.from_dict({"TOKEN": "t"})],
        volumes={"/data": volume},
        timeout=60,
    )
    seen["varied"] = varied.remote()
    seen["varied again"] = varied.with_options(env={"SIZE": "8"}).remote()
    seen["concurrent"] = found.with_concurrency(max_inputs=4).remote()["colour"]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seen["lookup"] = modal.Function.lookup("looked-up", "describe").remote()["colour"]
        seen["warned"] = [str(warning.message) for warning in caught]
    settings = found.update_autoscaler(min_containers=1, max_containers=3, scaledown_window=30)
    seen["settings"] = list(settings)
    stats = found.get_current_stats()
    seen["stats"] = [stats.backlog, stats.num_total_runners >= 1]
    seen["no app"] = refused(modal.Function.from_name("nowhere", "describe").hydrate)
    seen["no function"] = refused(modal.Function.from_name("looked-up", "descibe").hydrate)
    seen["unknown id"] = refused(lambda: modal.Function.from_id("fu-01JDZX0000000000000000000A").remote())
    found.update_autoscaler(min_containers=0)
    print("SEEN", json.dumps(seen))


if __name__ == "__main__" and "use" in sys.argv:
    main()
