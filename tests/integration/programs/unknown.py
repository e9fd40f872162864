"""A deployed app, and (`use`) what is said to who asks for what is not there. Prints it as one line of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import modal

app = modal.App("shop")


@app.cls()
class Model:
    name: str = modal.parameter(default="a")

    @modal.method()
    def predict(self) -> str:
        return self.name


@app.function()
def plain(x: int = 1) -> int:
    return x


def said(ask: Callable[[], Any]) -> str:
    try:
        return f"nothing, but {ask()!r}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def use() -> None:
    function, cls, call = modal.Function.from_name, modal.Cls.from_name, modal.FunctionCall.from_id
    there = function("shop", "plain")
    ended = there.spawn(1)
    ended.get(timeout=100)
    unknown = call("fc-01JDZX0000000000000000000A")
    asked: dict[str, Callable[[], Any]] = {
        "app": function("shp", "plain").remote,
        "function": function("shop", "plan").remote,
        "class as function": function("shop", "Model").remote,
        "function as class": lambda: cls("shop", "plain")().predict.remote(),
        "class": lambda: cls("shop", "Modle")().predict.remote(),
        "method": lambda: cls("shop", "Model")().predit.remote(),
        "parameter": lambda: cls("shop", "Model")(nam="b").predict.remote(),
        "type": lambda: cls("shop", "Model")(name=5).predict.remote(),
        "environment": function("shop", "plain", environment_name="stage").remote,
        "environment of a class": lambda: cls("shop", "Model", environment_name="stage")().predict.remote(),
        "environment of a deploy": lambda: app.deploy(environment_name="stage"),
        "looked up": lambda: modal.App.lookup("shp"),
        "volume": there.with_options(volumes={"/x": modal.Volume.from_name("nope")}).remote,
        "function id": modal.Function.from_id("fu-01JDZX0000000000000000000A").remote,
        "short function id": modal.Function.from_id("fu-x").remote,
        "call": unknown.get,
        "call, results": lambda: list(unknown.iter()),
        "call, number": unknown.num_inputs,
        "call, cancelled": unknown.cancel,
        "call, graph": unknown.get_call_graph,
        "calls": lambda: modal.FunctionCall.gather(unknown),
        "short call id": call("fc-x").get,
        "index": lambda: ended.get(index=5),
        "items": lambda: list(there.starmap([(1,), 5])),
        "autoscaler of a method": lambda: cls("shop", "Model")().predict.update_autoscaler(max_containers=3),
        "generator": lambda: there.remote_gen(1),
    }
    print("SEEN", json.dumps({what: said(ask) for what, ask in asked.items()}))


if __name__ == "__main__" and "use" in sys.argv:
    use()
