"""Deploys while a deployed function is called all the time. `python deploying.py RELEASES`

Each release of the function says which it is. Three threads call it: one call after the other, maps, spawned inputs.
The function leaves a line behind for each time that it ran.
"""

import itertools
import json
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import ionian as modal
from ionian import link
from ionian.protocol.apps import AppHistory

volume = modal.Volume.from_name("side-effects", create_if_missing=True)
image = modal.Image.debian_slim()
Recorder = modal.Function[Any, Any, Any]
Numbers = list[int]
Answers = list[list[int]]
"""For each number the release that answered, and the number."""


def release(number: int) -> modal.App:
    app = modal.App("releases")

    @app.function(
        image=image,
        volumes={"/effects": volume},
        env={"RELEASE": str(number)},
        max_containers=2,
        serialized=True,
        name="record",
    )
    def record(number: int) -> list[int]:
        with open("/effects/ran", "a") as file:
            os.write(file.fileno(), b"%d\n" % number)
        return [int(os.environ["RELEASE"]), number]

    return app


class Callers:
    """Threads that call the function by its name, each in its own way, until they are told to end."""

    def __init__(self, function: Recorder, calls: list[Callable[[Recorder, Numbers], Answers]]) -> None:
        self.function = function
        self.deployed = 1  # calls from here on are answered by this release, or a later one
        self.wrong: list[str] = []
        self.called = 0
        self._numbers = itertools.count()
        self._seen = [1] * len(calls)
        self._change = threading.Condition()
        self._over = False
        self._threads = [threading.Thread(target=self._run, args=item) for item in enumerate(calls)]
        for thread in self._threads:
            thread.start()

    def until(self, release: int) -> None:
        """Waits until each thread has had an answer of this release."""
        with self._change:
            self._change.wait_for(lambda: self.wrong or min(self._seen) >= release)

    def end(self) -> None:
        self._over = True
        for thread in self._threads:
            thread.join()

    def _run(self, which: int, call: Callable[[Recorder, Numbers], Answers]) -> None:
        while not self._over:
            with self._change:
                numbers = [next(self._numbers) for _ in range(8)]
                self.called += len(numbers)
            least = self.deployed
            try:
                answers = call(self.function, numbers)
                right = [answer[1] for answer in answers] == numbers
                error = "" if right and min(answer[0] for answer in answers) >= least else repr(answers)
            except Exception as failure:
                answers, error = [], repr(failure)
            with self._change:
                if error:
                    self.wrong.append(f"caller {which}, at least release {least}, inputs {numbers}: {error}")
                    self._over = True
                else:
                    self._seen[which] = max(answer[0] for answer in answers)
                self._change.notify()


def one_by_one(function: Recorder, numbers: Numbers) -> Answers:
    return [function.remote(number) for number in numbers]


def mapped(function: Recorder, numbers: Numbers) -> Answers:
    return list(function.map(numbers))


def spawned(function: Recorder, numbers: Numbers) -> Answers:
    calls = [function.spawn(number) for number in numbers]
    return [call.get(timeout=60) for call in calls]


if __name__ == "__main__":
    releases = int(sys.argv[1])
    release(1).deploy()
    callers = Callers(modal.Function.from_name("releases", "record"), [one_by_one, mapped, spawned])
    for number in range(2, releases + 1):
        release(number).deploy()
        callers.deployed = number
        callers.until(number)
    callers.end()
    app = modal.App.lookup("releases")
    assert app.app_id is not None
    history, _ = link.current().request(AppHistory(app.app_id))
    print(
        json.dumps(
            {
                "wrong": callers.wrong,
                "called": callers.called,
                "versions": [version.number for version in history.versions],
            }
        )
    )
