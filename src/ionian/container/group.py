"""A batch of inputs as one call: their arguments as lists, its list as their results."""

from __future__ import annotations

from inspect import BoundArguments, Signature, signature
from typing import Any

from .. import execution
from ..exception import InvalidError
from ..protocol.batch import ERROR, OK
from ..serialization import dump_failure
from .job import Job
from .payloads import Row, pickled
from .written import share


class Group(Job):
    """A batch that runs."""

    __slots__ = ("bound", "jobs", "number")

    def __init__(self, number: int, jobs: list[Job]) -> None:
        first = jobs[0]
        super().__init__(0, first.call_id, first.index, first.attempt)
        self.number = number
        self.function = first.function
        self.jobs = jobs
        self.bound: BoundArguments

    def bind(self) -> list[tuple[Job, InvalidError]]:
        """Makes lists of the arguments, by the names of the parameters. Leaves out, and returns, the inputs whose
        arguments don't fit."""
        shape = signature(self.function)
        columns: dict[str, list[Any]] = {name: [] for name in shape.parameters}
        good: list[Job] = []
        bad: list[tuple[Job, InvalidError]] = []
        for job in self.jobs:
            try:
                given = _arguments(shape, job, self._name)
            except InvalidError as error:
                bad.append((job, error))
                continue
            good.append(job)
            for name, column in columns.items():
                column.append(given[name])
        self.jobs = good
        self.bound = BoundArguments(shape, columns)  # type: ignore[arg-type]
        return bad

    def enter(self) -> None:
        """User code of the batch runs in this context from here on: as its first input."""
        execution.set_input(self.jobs[0].call_id, self.jobs[0].index)
        if len(self.jobs) > 1:
            calls = {job.call_id for job in self.jobs}
            share(calls.pop() if len(calls) == 1 else "")

    def call(self) -> Any:
        """Calls the function: its result, or a coroutine of it."""
        return self.function(*self.bound.args, **self.bound.kwargs)

    def rows(self, value: Any) -> list[Row]:
        """The result of each input. Raises InvalidError where the function did not return one for each."""
        if not _is_list(value):
            raise InvalidError(
                f"the batched function {self._name} must return a list with one result for each of its "
                f"{len(self.jobs)} inputs, and returned a value of type {type(value).__name__}"
            )
        if len(value) != len(self.jobs):
            raise InvalidError(
                f"the batched function {self._name} must return a list with one result for each input: it got "
                f"{len(self.jobs)} inputs, and returned {len(value)} results"
            )
        return [_row(job, result) for job, result in zip(self.jobs, value, strict=True)]

    @property
    def _name(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))


def _row(job: Job, result: Any) -> Row:
    try:
        return job.row(OK, pickled(result, "a result of the batched function"))
    except Exception as error:
        return job.row(ERROR, dump_failure(error))


def _arguments(shape: Signature, job: Job, name: str) -> dict[str, Any]:
    """The arguments of an input by the names of the parameters. Raises InvalidError where they don't fit."""
    try:
        given = shape.bind(*job.args, **job.kwargs).arguments
    except TypeError as error:
        raise InvalidError(f"the batched function {name} can't take these arguments: {error}") from None
    missing = [parameter for parameter in shape.parameters if parameter not in given]
    if missing:
        raise InvalidError(
            f"the batched function {name} takes each parameter with each input: {', '.join(missing)} is missing "
            "(a default can't stand in a list)"
        )
    return given


def _is_list(value: Any) -> bool:
    listed = hasattr(value, "__len__") and hasattr(value, "__iter__")
    return listed and not isinstance(value, (str, bytes, bytearray, dict))
