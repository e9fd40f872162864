"""What an app and its functions may say of themselves, with today's names and with those of the past."""

import os
import time
import warnings

import modal

image = modal.Image.debian_slim(python_version="3.11")
training = modal.App("training", tags={"team": "research", "stage": "test"})
app = modal.App("options", image=image, tags={"stage": "live"})


@training.function(image=image, env={"WHERE": "training"})
def train(steps: int) -> str:
    return f"{os.environ['WHERE']} {steps}"


@training.cls(image=image)
class Trainer:
    @modal.method()
    def step(self, n: int) -> int:
        return n + 1


app.include(training)


@app.function(
    cpu=(0.25, 1.0),
    memory=(128, 512),
    ephemeral_disk=1024,
    min_containers=1,
    max_containers=2,
    buffer_containers=1,
    scaledown_window=5,
    timeout=60,
    startup_timeout=120,
    retries=modal.Retries(max_retries=3, backoff_coefficient=2.0, initial_delay=1.0, max_delay=10.0),
    nonpreemptible=True,
    env={"OF_FUNCTION": "1", "NOT_THERE": None},
    secrets=[modal.Secret.from_dict({"OF_FUNCTION": "secret", "OF_SECRET": "2"})],
    name="with_everything",
)
def everything() -> tuple:
    return os.environ["OF_FUNCTION"], os.environ["OF_SECRET"], "NOT_THERE" in os.environ


@app.function(single_use_containers=True)
def once() -> str:
    return os.environ["MODAL_TASK_ID"]


@app.function(is_generator=True)
def through_another():
    return iter(range(3))


def make_power(exponent: int):
    @app.function(serialized=True, name=f"power_{exponent}")
    def power(n: int) -> int:
        return n**exponent

    return power


if modal.is_local():
    square, cube = make_power(2), make_power(3)


def warned(caught: list) -> list:
    return [str(one.message) for one in caught if one.category is modal.exception.DeprecationError]


with warnings.catch_warnings(record=True) as limits:
    warnings.simplefilter("always")

    @app.function(concurrency_limit=1, keep_warm=1, container_idle_timeout=5, allow_concurrent_inputs=4)
    def old_names(n: int) -> tuple:
        time.sleep(0.2)
        return n, os.environ["MODAL_TASK_ID"]

    @app.function(max_inputs=1)
    def old_single_use() -> str:
        return os.environ["MODAL_TASK_ID"]


with warnings.catch_warnings(record=True) as objects:
    warnings.simplefilter("always")
    stub = modal.Stub("of-the-past")
    secret = modal.Secret({"OLD": "1"})
    gpu = modal.gpu.A100(count=2, size="80GB")


@app.function(secrets=[secret])
def old_secret() -> str:
    return os.environ["OLD"]


@app.function()
async def asynchronous(n: int) -> int:
    return n * 2


@app.local_entrypoint()
def main() -> None:
    assert everything.remote() == ("1", "2", False)
    assert len({once.remote() for _ in range(2)}) == 2
    assert list(through_another.remote_gen()) == [0, 1, 2]
    assert (square.remote(3), cube.remote(3)) == (9, 27)
    assert train.remote(7) == "training 7"
    assert Trainer().step.remote(1) == 2
    assert app.tags == {"team": "research", "stage": "live"}
    assert app.get_tags() == {"team": "research", "stage": "live"}
    app.set_tags({"only": "this"})
    assert app.get_tags() == {"only": "this"}
    assert {"with_everything", "once", "power_2", "power_3", "train"} <= set(app.registered_functions)
    assert "Trainer" in app.registered_classes
    assert set(app.registered_entrypoints) == {"main", "other"}

    rows = list(old_names.map(range(4)))
    assert [row[0] for row in rows] == [0, 1, 2, 3]
    assert len({row[1] for row in rows}) == 1
    assert old_single_use.remote() != old_single_use.remote()
    assert old_secret.remote() == "1"
    messages = warned(limits)
    assert len(messages) == 5, messages
    names = [
        "keep_warm",
        "concurrency_limit",
        "container_idle_timeout",
        "allow_concurrent_inputs",
        "max_inputs",
    ]
    for name in names:
        assert sum(name in message.split(" is retired")[0] for message in messages) == 1, messages
    assert isinstance(stub, modal.App)
    assert gpu == "A100-80GB:2"
    assert len(warned(objects)) == 3, warned(objects)
    try:
        app.function(max_containers=2, concurrency_limit=2)(lambda: None)
        raise AssertionError("expected an InvalidError")
    except modal.exception.InvalidError as error:
        both = str(error)
    assert "concurrency_limit" in both
    assert "max_containers" in both
    print("all as expected")


@app.local_entrypoint(name="other")
async def another(n: int = 2, name: str = "nobody", fast: bool = True, ratio: float = 0.5) -> None:
    assert await asynchronous.remote.aio(n) == 2 * n
    assert (name, fast, ratio) == ("somebody", False, 1.5)
    print("all as expected")
