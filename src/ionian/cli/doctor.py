"""`ionian doctor`: what this machine can do as a worker, and the cure for what it can't."""

from __future__ import annotations

import sys

import click

from . import checks

MARKS = {"ok": ("✓", "green"), "weak": ("!", "yellow"), "missing": ("✗", "red")}


@click.command()
def command() -> None:
    """Tries what a worker needs of this machine. Ends with 1 where containers can't run here."""
    missing = 0
    for check in checks.all_checks():
        mark, colour = MARKS[check.state]
        missing += check.state == "missing"
        click.echo(f"{click.style(mark, fg=colour)} {check.subject:<16} {check.found}")
        if check.cure:
            click.echo(f"  {'':<16} {click.style('→ ' + check.cure, fg=colour)}")
    if missing:
        click.echo(f"\nContainers can't run here: {missing} of these must be cured first.")
        sys.exit(1)
    click.echo("\nContainers can run here.")
