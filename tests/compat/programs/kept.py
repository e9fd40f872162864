"""A deployed app whose calls are begun in one process and asked for in others.

`python kept.py begin` deploys, begins calls and prints their ids; `graph IDS` and `ask IDS` ask for them; `wait` waits for
a result until `go` gives the word; `expired IDS` hears that results are not kept any more.
"""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor

import modal
from modal.call_graph import InputStatus

app = modal.App("kept")
words = modal.Volume.from_name("kept-words", create_if_missing=True)


@app.function(image=modal.Image.debian_slim(python_version="3.11"))
def square(n: int) -> int:
    if n < 0:
        raise ValueError(n)
    return n * n


@app.function(image=modal.Image.debian_slim(python_version="3.11"))
def count(n: int):
    yield from range(n)


@app.function(image=modal.Image.debian_slim(python_version="3.11"))
def outer(n: int) -> int:
    return sum(square.map(range(n))) + inner.remote(n)


@app.function(image=modal.Image.debian_slim(python_version="3.11"))
def inner(n: int) -> int:
    return square.spawn(n).get()


@app.function(image=modal.Image.debian_slim(python_version="3.11"), volumes={"/words": words})
def when_told(word: str) -> str:
    while not os.path.exists(f"/words/{word}"):
        time.sleep(0.02)
    return word


@app.function(image=modal.Image.debian_slim(python_version="3.11"), volumes={"/words": words})
def tell(word: str) -> None:
    open(f"/words/{word}", "w").close()


def begin() -> None:
    app.deploy(tag="v1")
    found = modal.Function.from_name("kept", "square")
    assert found.hydrate().object_id.startswith("fu-")
    assert found.remote(3) == 9
    assert list(found.map([1, 2])) == [1, 4]
    assert list(found.starmap([(3,), (4,)])) == [9, 16]
    assert list(modal.Function.from_name("kept", "count").remote_gen(2)) == [0, 1]
    assert modal.App.lookup("kept").app_id == app.app_id
    made = modal.App.lookup("kept-empty", create_if_missing=True)
    assert made.app_id
    made.stop()
    for use in (
        lambda: modal.App.lookup("kept-nowhere"),
        lambda: modal.Function.from_name("kept", "nowhere").remote(1),
        lambda: modal.FunctionCall.from_id("fc-01JDZX0000000000000000000A").get(),
    ):
        try:
            use()
            raise AssertionError("expected a NotFoundError")
        except modal.exception.NotFoundError:
            pass

    assert found.autoscaler.settings().max_containers != 2
    settings = found.autoscaler.update(max_containers=2, scaledown_window=30)
    assert settings == found.autoscaler.settings() == found.update_autoscaler(max_containers=2)
    assert (settings.max_containers, settings.scaledown_window) == (2, 30)
    stats = found.get_current_stats()
    assert stats.backlog == 0
    assert stats.num_total_runners >= 1

    single, failed, mapped, graph = (
        found.spawn(12),
        found.spawn(-1),
        found.spawn_map(range(1000)),
        modal.Function.from_name("kept", "outer").spawn(3),
    )
    print("CALLS", json.dumps([call.object_id for call in (single, failed, mapped, graph)]))


def ask(calls: str) -> None:
    single, failed, mapped, graph = map(modal.FunctionCall.from_id, json.loads(calls))
    assert single.get(timeout=100) == 144
    try:
        failed.get(timeout=100)
        raise AssertionError("expected a ValueError")
    except ValueError as error:
        value = error.args
    assert value == (-1,)
    assert mapped.num_inputs() == 1000
    assert mapped.get(timeout=100, index=999) == 998_001
    assert list(mapped.iter()) == [n * n for n in range(1000)]
    assert list(mapped.iter(start=2, end=4)) == [4, 9]
    assert modal.FunctionCall.gather(single, graph) == [144, 14]
    (lost,) = failed.get_call_graph()
    assert lost.status == InputStatus.FAILURE


def graph(calls: str) -> None:
    """Looks into the call whose function called others, which called others."""
    call = modal.FunctionCall.from_id(json.loads(calls)[-1])
    assert call.get(timeout=100) == 14
    (root,) = call.get_call_graph()
    assert (root.function_name, root.status) == ("outer", InputStatus.SUCCESS)
    names = sorted(child.function_name for child in root.children)
    assert names == ["inner", "square", "square", "square"]
    (middle,) = [child for child in root.children if child.function_name == "inner"]
    assert [child.function_name for child in middle.children] == ["square"]


def wait() -> None:
    """Asks in several ways for what is not there yet, and the server is killed meanwhile."""
    call = modal.Function.from_name("kept", "when_told").spawn("go")
    with ThreadPoolExecutor(4) as threads:
        answers = [
            threads.submit(call.get, timeout=100),
            threads.submit(lambda: list(call.iter())),
            threads.submit(modal.FunctionCall.gather, call, call),
            threads.submit(modal.Function.from_name("kept", "when_told").remote, "go"),
        ]
        while len(modal.FunctionCall.from_id(call.object_id).get_call_graph()) != 1:
            time.sleep(0.02)
        print("WAITING", flush=True)
    assert [answer.result() for answer in answers] == ["go", ["go"], ["go", "go"], "go"]


def go() -> None:
    modal.Function.from_name("kept", "tell").remote("go")


def expired(calls: str) -> None:
    for call in map(modal.FunctionCall.from_id, json.loads(calls)):
        try:
            call.get()
            raise AssertionError("expected an OutputExpiredError")
        except modal.exception.OutputExpiredError as error:
            said = str(error)
        assert "7 days" in said


if __name__ == "__main__":
    import sys

    {"begin": begin, "ask": ask, "graph": graph, "wait": wait, "go": go, "expired": expired}[sys.argv[1]](
        *sys.argv[2:]
    )
    print("all as expected")
