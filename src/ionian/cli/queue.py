"""`ionian queue`: queues that the server keeps."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ..protocol.items import MeasureQueue, QueueMeasured
from ..protocol.objects import ObjectInfo
from ..queue import Queue
from .lists import ask, confirm, env_option
from .named import add_commands, said

F = TypeVar("F", bound=Callable[..., Any])


@click.group(name="queue")
def command() -> None:
    """Queues: create, list, peek, len, clear, delete.

    What is shown is unpickled here: its classes must be installed, and whoever may write to a queue can run code in who reads it.
    """


def _size(info: ObjectInfo) -> tuple[str, str]:
    measured: QueueMeasured = ask(MeasureQueue(info.object_id))
    return f"{measured.partitions:,}", f"{measured.items:,}"


add_commands(command, Queue, ("Partitions", "Total size"), _size)


def partition_option(function: F) -> F:
    """`-p, --partition`."""
    return click.option("-p", "--partition", help="The partition; the one without a key unless given.")(
        function
    )


@command.command("peek", short_help="Print the first items, which stay.")
@click.argument("name")
@click.argument("n", type=click.IntRange(min=1), default=1)
@partition_option
@env_option
def peek(name: str, n: int, partition: str | None, environment: str) -> None:
    """Prints the first items of a queue, N of them (1); they stay where they are."""
    with said():
        queue = Queue.from_name(name, environment_name=environment or None)
        for item in itertools.islice(queue.iterate(partition=partition), n):
            click.echo(item)


@command.command("len", short_help="Print how many items there are.")
@click.argument("name")
@partition_option
@click.option("-t", "--total", is_flag=True, help="Of all partitions.")
@env_option
def length(name: str, partition: str | None, total: bool, environment: str) -> None:
    """Prints how many items a partition has."""
    with said():
        queue = Queue.from_name(name, environment_name=environment or None)
        click.echo(queue.len(partition=partition, total=total))


@command.command("clear", short_help="Delete the items of a partition.")
@click.argument("name")
@partition_option
@click.option("-a", "--all", "everything", is_flag=True, help="Of all partitions.")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
@env_option
def clear(name: str, partition: str | None, everything: bool, yes: bool, environment: str) -> None:
    """Deletes the items of a partition."""
    which = "all items" if everything else "the items of a partition"
    confirm(f"Delete {which} of the queue {name}? There is no way back.", yes=yes)
    with said():
        Queue.from_name(name, environment_name=environment or None).clear(partition=partition, all=everything)
    click.echo(f"✓ Deleted {which} of the queue {name}.")
