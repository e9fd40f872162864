"""`ionian environment roles`: what users may do in an environment; `members` is its former name."""

from __future__ import annotations

import json

import click

from .. import config
from ..environment_roles import ROLES
from ..protocol.environment_roles import EnvironmentRole, ListRoles, RoleList, UpdateRoles
from .lists import ask, json_option, show_table


@click.group("roles")
def roles() -> None:
    """What users may do in an environment: contributor (everything but for admins), viewer (see), or no-access.

    A user is the name of tokens that are for it alone, as of `ionian token new --env dev --name ann`.
    """


@click.group("members", hidden=True)
def members() -> None:
    """The former name of `ionian environment roles`."""


@roles.command("list", short_help="List who may do what.")
@click.argument("environment")
@click.option(
    "--exclude-default", is_flag=True, help="Without those that come with a token of all environments."
)
@json_option
def list_roles(environment: str, exclude_default: bool, as_json: bool) -> None:
    """Lists the users of an environment and their roles."""
    show(environment, exclude_default=exclude_default, as_json=as_json)


role_option = click.option("--role", type=click.Choice(ROLES), required=True, help="What they may do.")
service_option = click.option("--service-user", is_flag=True, help="Not here: whoever has a token is a user.")


@roles.command("update", short_help="Give a user another role.")
@click.argument("environment")
@click.argument("principal")
@role_option
@service_option
def update_role(environment: str, principal: str, role: EnvironmentRole, service_user: bool) -> None:
    """Gives a user another role, which counts at once."""
    give(environment, principal, role, service_user=service_user)


@members.command("list", short_help="The former name of `roles list`.")
@click.argument("environment")
@json_option
def list_members(environment: str, as_json: bool) -> None:
    """Lists the users of an environment and their roles; write `ionian environment roles list`."""
    _retired("roles list")
    show(environment, exclude_default=False, as_json=as_json)


@members.command("update", short_help="The former name of `roles update`.")
@click.argument("environment")
@click.argument("principal")
@role_option
@service_option
def update_member(environment: str, principal: str, role: EnvironmentRole, service_user: bool) -> None:
    """Gives a user another role; write `ionian environment roles update`."""
    _retired("roles update")
    give(environment, principal, role, service_user=service_user)


@members.command("remove", short_help="Take a user every access.")
@click.argument("environment")
@click.argument("principal")
@service_option
def remove_member(environment: str, principal: str, service_user: bool) -> None:
    """Takes a user every access; write `ionian environment roles update --role no-access`."""
    _retired("roles update --role no-access")
    give(environment, principal, "no-access", service_user=service_user)


def show(environment: str, *, exclude_default: bool, as_json: bool) -> None:
    """The users; as JSON as `Environment.roles.list()` returns them."""
    listed: RoleList = ask(ListRoles(config.environment(environment)))
    found = {one.user: one.role for one in listed.roles if one.given or not exclude_default}
    if as_json:
        click.echo(json.dumps({"users": found, "service_users": {}}, indent=2))
        return
    show_table(("Name", "Role"), list(found.items()), as_json=False, nothing="There is no user.")


def give(environment: str, user: str, role: EnvironmentRole, *, service_user: bool) -> None:
    """Gives a user a role."""
    if service_user:
        raise click.UsageError("--service-user: there are none; whoever has a token is a user")
    ask(UpdateRoles(config.environment(environment), {user: role}))
    click.echo(f"✓ {user} is now {role} in environment {environment}.")


def _retired(now: str) -> None:
    click.echo(f"`ionian environment members` is retired; write `ionian environment {now}`", err=True)
