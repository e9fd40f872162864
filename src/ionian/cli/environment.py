"""`ionian environment`: the name spaces of apps, volumes, secrets and so on."""

from __future__ import annotations

from typing import Any

import click

from .. import config, link
from ..exception import Error, NotFoundError
from ..protocol.environments import (
    CreateEnvironment,
    DeleteEnvironment,
    EnvironmentInfo,
    EnvironmentList,
    FindEnvironment,
    ListEnvironments,
    UpdateEnvironment,
)
from .billing import report_options, show_report, show_summary
from .environment_roles import members, roles
from .lists import ask, confirm, json_option, show_table

NONE = "none"


class Budget(click.ParamType[float | str]):
    """An amount, or "none"."""

    name = "amount"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """Reads it, or refuses it."""
        if str(value).strip().lower() == NONE:
            return NONE
        try:
            return float(value)
        except ValueError:
            self.fail(f"expected an amount such as 100, or none, got {value!r}", param, ctx)


@click.group(name="environment")
def command() -> None:
    """Environments: name spaces of apps, volumes, secrets and so on. `main` is always there."""


@command.command("list", short_help="List the environments.")
@json_option
def list_environments(as_json: bool) -> None:
    """Lists the environments; the active one is meant where neither --env nor a program names another."""
    listed: EnvironmentList = ask(ListEnvironments())
    active = config.environment(None) or ask(FindEnvironment()).name
    rows = [
        (
            one.name,
            one.web_suffix,
            str(one.apps),
            f"{one.budget:,.2f}" if one.budget is not None else "",
            "True" if one.name == active else "False",
        )
        for one in listed.environments
    ]
    show_table(
        ("Name", "Web suffix", "Apps", "Budget", "Active"),
        rows,
        as_json=as_json,
        nothing="There is no environment.",
    )


@command.command("create", short_help="Make an environment.")
@click.argument("name")
def create(name: str) -> None:
    """Makes an environment."""
    ask(CreateEnvironment(name))
    click.echo(f"✓ Created environment {name}.")


@command.command("update", short_help="Change its name, or its part of web addresses.")
@click.argument("current_name")
@click.option("--set-name", default="", help="Another name. Its apps must be stopped.")
@click.option(
    "--set-web-suffix", default=None, help="Tells its web addresses from those of other environments."
)
@click.option(
    "--budget",
    type=Budget(),
    default=None,
    help="What its apps may cost in a calendar month; none for no limit.",
)
def update(current_name: str, set_name: str, set_web_suffix: str | None, budget: float | str | None) -> None:
    """Changes an environment."""
    if not set_name and set_web_suffix is None and budget is None:
        raise click.UsageError("say what to change: --set-name, --set-web-suffix, --budget")
    amount = budget if isinstance(budget, float) else None
    changed: EnvironmentInfo = ask(
        UpdateEnvironment(current_name, set_name, set_web_suffix, amount, budget == NONE)
    )
    has = f" and a budget of {changed.budget:,.2f} a month" if changed.budget is not None else ""
    click.echo(f"✓ Environment {changed.name} has the web suffix {changed.web_suffix!r}{has}.")


@command.command("delete", short_help="Delete an environment and all that it has.")
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
def delete(name: str, yes: bool) -> None:
    """Deletes an environment for good: its apps stop, and its volumes, secrets and all else are deleted."""
    found: EnvironmentInfo = ask(FindEnvironment(name))
    apps = {0: "It runs no app", 1: "Its app will stop"}.get(found.apps, f"Its {found.apps} apps will stop")
    confirm(
        f"Delete environment {name}? {apps}; its volumes, secrets and all else that it has will be gone.",
        yes=yes,
    )
    try:
        link.current().request(DeleteEnvironment(name))
    except NotFoundError:  # it was there: a server that was started again amid it has done it
        pass
    except Error as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"✓ Deleted environment {name}.")


command.add_command(roles)
command.add_command(members)


@command.group("billing")
def billing() -> None:
    """What an environment cost, where the server has prices."""


@billing.command("report", short_help="What each of its apps cost by day or hour.")
@click.argument("environment_name", default="")
@report_options
def billing_report(environment_name: str, **options: Any) -> None:
    """Shows what each app of an environment cost in each day, or hour, of a time: --for or --start."""
    found: EnvironmentInfo = ask(FindEnvironment(config.environment(environment_name)))
    show_report(found.name, **options)


@billing.command("summary", short_help="What a month of it cost.")
@click.argument("environment_name", default="")
@click.option("--for", "for_", default="this month", help="this month [], last month, or such as 2026-01.")
@json_option
def billing_summary(environment_name: str, for_: str, as_json: bool) -> None:
    """Shows what a calendar month, UTC, of an environment cost."""
    found: EnvironmentInfo = ask(FindEnvironment(config.environment(environment_name)))
    show_summary(found.name, for_, as_json=as_json)
