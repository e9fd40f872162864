"""A class with an @exit hook that takes a while and leaves a line in a volume: deployed, or run to its end."""

from __future__ import annotations

import os
import sys
import time

import modal

app = modal.App("ends-of-classes")
ends = modal.Volume.from_name("ends-of-classes", create_if_missing=True)


@app.cls(volumes={"/ends": ends}, scaledown_window=600, env={"VERSION": os.environ.get("VERSION", "1")})
class Model:
    name: str = modal.parameter(default="run")

    @modal.enter()
    def open(self) -> None:
        self.calls = 0

    @modal.exit()
    def close(self) -> None:
        with open(f"/ends/{self.name}", "a") as file:
            file.write(f"begins after {self.calls}\n")
        time.sleep(1)
        with open(f"/ends/{self.name}", "a") as file:
            file.write(f"ends on version {os.environ['VERSION']}\n")

    @modal.method()
    def call(self) -> str:
        self.calls += 1
        return modal.current_input_id() or ""

    @modal.method()
    def die(self) -> None:
        if not os.path.exists("/ends/died"):
            with open("/ends/died", "w"):
                pass
            os.kill(os.getpid(), 9)


@app.local_entrypoint()
def main() -> None:
    Model().call.remote()


def use(name: str) -> None:
    """Calls the deployed class so that a container of this name is there."""
    found = modal.Cls.from_name("ends-of-classes", "Model")
    model = found.with_options(scaledown_window=1)(name=name) if name == "scaledown" else found(name=name)
    if name == "killed":
        model.die.remote()
    assert model.call.remote()


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        use(argument)
