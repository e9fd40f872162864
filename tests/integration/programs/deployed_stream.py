"""Calls what is deployed in all ways at once, over deploys. A line with a number on its stdin says that this release is
deployed; it answers "seen NUMBER" once each way has had an answer of it, or what went wrong. At the end of stdin it says all of
that."""

import json
import sys

from tests.faults.deploying import Answers, Callers, Numbers, Recorder, mapped, one_by_one, spawned

import ionian as modal

Model = modal.Cls.from_name("stream", "Model")
objects = [Model(size=size) for size in (1, 2)]
count = modal.Function.from_name("stream", "count")


def methods(_: Recorder, numbers: Numbers) -> Answers:
    return [objects[number % 2].read.remote(number) for number in numbers]


def generated(_: Recorder, numbers: Numbers) -> Answers:
    try:
        return list(count.remote_gen(numbers))
    except (
        modal.exception.InternalFailure
    ) as lost:  # the one call that can't go on by itself: a worker died amid its items
        if "after it had yielded items" not in str(lost):
            raise
        return list(count.remote_gen(numbers))


def one_spawned_map(function: Recorder, numbers: Numbers) -> Answers:
    return list(function.spawn_map(numbers).iter())


callers = Callers(
    modal.Function.from_name("stream", "record"),
    [one_by_one, mapped, spawned, methods, generated, one_spawned_map],
)
for line in sys.stdin:
    callers.deployed = int(line)
    callers.until(callers.deployed)
    print(f"wrong: {callers.wrong}" if callers.wrong else f"seen {callers.deployed}", flush=True)
callers.end()
print(json.dumps({"wrong": callers.wrong, "called": callers.called}))
