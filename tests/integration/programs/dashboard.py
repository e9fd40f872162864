"""An app to look at: functions of each kind, and one whose inputs last until a file says that they may end."""

import os
import time

import modal

app = modal.App("looked-at", tags={"team": "red"})
volume = modal.Volume.from_name("gate", create_if_missing=True)


@app.function(volumes={"/gate": volume}, max_containers=1)
def wait(name: str) -> str:
    print("waiting for", name, flush=True)
    while not os.path.exists(f"/gate/{name}"):
        time.sleep(0.02)
    return name


@app.function(schedule=modal.Cron("0 6 * * *"))
def nightly() -> None:
    pass


@app.cls()
class Model:
    @modal.method()
    def predict(self, x: int) -> int:
        return x + 1


@app.function()
@modal.fastapi_endpoint()
def hello() -> str:
    return "hello"


@app.function()
def half(n: int, name: str = "") -> float:
    print("halving", n)
    if n == 3:
        raise ValueError("three <b>has</b> no half")
    return n / 2


@app.function()
def quarter(n: int) -> float:
    return half.remote(n) / 2
