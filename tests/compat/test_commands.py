"""The command line has Modal's commands and flags, or the docs say why not."""

from __future__ import annotations

import click
import pytest

from ionian.cli.main import LATER, group

from .reference import COMMANDS, rows

DOCUMENTED = {row.name.removeprefix("ionian ") for row in rows() if row.name.startswith("ionian ")}


def command(name: str) -> click.Command | None:
    """Our command of that name."""
    found: click.Command | None = group
    context = click.Context(group)
    for word in name.split():
        if not isinstance(found, click.Group):
            return None
        found = found.get_command(context, word)
    return found


def missing() -> set[str]:
    """What of Modal's commands is not here: `deploy`, or `run --interactive`."""
    lacking: set[str] = set()
    for name, facts in COMMANDS.items():
        found = command(name)
        if found is None:
            lacking.add(name)
            continue
        options = {option for parameter in found.params for option in parameter.opts}
        lacking.update(
            f"{name} {flag}" for flag in facts["params"] if flag.startswith("-") and flag not in options
        )
    return lacking


def covers(row: str, name: str) -> bool:
    return name == row or name.startswith(f"{row} ")


def test_every_command_and_flag_of_modal_is_here_or_in_the_docs() -> None:
    assert [name for name in sorted(missing()) if not any(covers(row, name) for row in DOCUMENTED)] == []


def test_the_docs_list_no_command_or_flag_that_is_here() -> None:
    lacking = missing()
    assert [row for row in sorted(DOCUMENTED) if not any(covers(row, name) for name in lacking)] == []


def test_commands_that_come_later_are_refused_with_the_reason_that_the_docs_give() -> None:
    documented = {
        row.name.removeprefix("ionian "): row.reason for row in rows() if row.name.startswith("ionian ")
    }
    assert {name: documented.get(name) for name in LATER} == LATER
    for name in LATER:
        with pytest.raises(click.UsageError, match=f"ionian {name} is not in this version of Ionian"):
            group.main([name, "anything"], standalone_mode=False)
