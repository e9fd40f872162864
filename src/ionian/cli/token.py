"""`ionian token`: what lets this machine, and others, in at a server."""

from __future__ import annotations

import os
import re
from typing import Literal, get_args

import click

from .. import config
from ..exception import Error
from ..protocol.tokens import (
    CreateToken,
    DescribeToken,
    ListTokens,
    RevokeToken,
    Role,
    TokenCreated,
    TokenInfo,
    TokenList,
)
from .lists import ask, confirm, json_option, moment, show_table

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@click.group(name="token")
def command() -> None:
    """Tokens: what lets a client or worker in at a server, which keeps a hash of each."""


@command.command("set", short_help="Keep a token of a server in a profile.")
@click.option("--token-id", default=None, help="The half before the dot: ti-….")
@click.option(
    "--token-secret",
    default=None,
    help="The half behind it. Asked for unless given: others see command lines.",
)
@click.option("--server-url", default=None, help="Where the server is, as in wss://host:4100.")
@click.option("--profile", default=None, help="The profile that gets it; the current one unless given.")
@click.option(
    "--activate/--no-activate", default=True, help="Make that profile the one that counts (the default)."
)
@click.option("--verify/--no-verify", default=True, help="Ask the server whether it takes it (the default).")
def set_token(
    token_id: str | None,
    token_secret: str | None,
    server_url: str | None,
    profile: str | None,
    activate: bool,
    verify: bool,
) -> None:
    """Keeps a token in a profile of ~/.ionian.toml, which only you can read."""
    try:
        chosen = profile or config.active_profile()
        known = config.profiles().get(chosen, {})
        url = server_url or str(known.get("server_url", "")) or click.prompt("Server URL")
        token_id = token_id or click.prompt("Token id")
        token_secret = token_secret or click.prompt("Token secret", hide_input=True)
        keep(chosen, url, f"{token_id}.{token_secret}", activate=activate, verify=verify)
    except Error as error:
        raise click.ClickException(str(error)) from None


@command.command("info", short_help="Say which server and token count here.")
@json_option
def info(as_json: bool) -> None:
    """Says which server is used here, and what its token is good for."""
    found: TokenInfo = ask(DescribeToken())
    server = config.get("server_url") or "this machine"
    columns = ("Server", *COLUMNS)
    show_table(columns, [(server, *_row(found))], as_json=as_json, nothing="")


@command.command("new", short_help="Make a token for another person or machine.")
@click.option("--name", default="", help="Whose it is, for the list.")
@click.option("-e", "--env", "environment", default="", help="Good for this environment alone.")
@click.option(
    "--role",
    type=click.Choice(get_args(Role)),
    default="admin",
    show_default=True,
    help="What it lets its bearer do: all; all but what concerns everybody; or see, and run and change nothing.",
)
@click.option("--worker", is_flag=True, help="Good for a worker, and not for a client.")
@click.option("--expires-in", default="", help="Good for so long, as in 30d or 12h; for ever unless given.")
@click.option("--profile", default="", help="Keep it here, in this profile.")
@click.option("--activate/--no-activate", default=True, help="With --profile: make it the one that counts.")
def new(
    name: str, environment: str, role: Role, worker: bool, expires_in: str, profile: str, activate: bool
) -> None:
    """Makes a token at the server that is used here, and shows it, once: the server keeps a hash."""
    kind: Literal["client", "worker"] = "worker" if worker else "client"
    if worker and profile:
        raise click.UsageError("a profile is for clients: leave --profile or --worker away")
    if worker and role != "admin":
        raise click.UsageError("roles are of clients: leave --role or --worker away")
    made: TokenCreated = ask(CreateToken(kind, environment, name, seconds(expires_in), role))
    click.echo(f"✓ Made token {made.info.token_id}.", err=True)
    url = _server_url()
    if profile:
        _keep(profile, url, made.token, activate=activate)
        return
    token_id, _, secret = made.token.partition(".")
    click.echo("It is shown this once. Where it is used:", err=True)
    if worker:
        click.echo(f"IONIAN_TOKEN={made.token} ionian worker --server {url}")
    else:
        click.echo(f"ionian token set --server-url {url} --token-id {token_id} --token-secret {secret}")


@command.command("rotate", short_help="Replace the token of the current profile.")
@click.option("--expires-in", default="", help="Good for so long, as in 30d; for ever unless given.")
def rotate(expires_in: str) -> None:
    """Makes another token like the one of the current profile, keeps it there, and revokes the former."""
    url = config.get("server_url")
    if not url:
        raise click.ClickException("this machine's own server is used here, with a token of its own")
    if any(os.environ.get(name) for name in ("IONIAN_TOKEN", "IONIAN_TOKEN_ID")):
        raise click.ClickException(
            "the token comes from the environment, and not from a profile: put one of `ionian token new` there, then "
            "`ionian token revoke` the former"
        )
    former: TokenInfo = ask(DescribeToken())
    role = "viewer" if former.role == "none" else former.role  # none: it would not have come in
    made: TokenCreated = ask(
        CreateToken("client", former.environment, former.name, seconds(expires_in), role)
    )
    _keep(config.active_profile(), url, made.token, activate=False)
    ask(RevokeToken(former.token_id))  # last: until then the former one works
    click.echo(f"✓ Token {former.token_id} is revoked.")


@command.command("list", short_help="List the tokens of the server.")
@json_option
def list_tokens(as_json: bool) -> None:
    """Lists the tokens of the server, without their secrets."""
    listed: TokenList = ask(ListTokens())
    show_table(COLUMNS, [_row(token) for token in listed.tokens], as_json=as_json, nothing="There is none.")


@command.command("revoke", short_help="Make a token useless.")
@click.argument("token_id")
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
def revoke(token_id: str, yes: bool) -> None:
    """Makes a token useless from now on; who came with it is cut off."""
    confirm(f"Revoke token {token_id}? Who uses it is cut off.", yes=yes)
    ask(RevokeToken(token_id))
    click.echo(f"✓ Token {token_id} is revoked.")


COLUMNS = ("Token ID", "Kind", "Role", "Environment", "Name", "Created at", "Expires at", "Revoked at")


def _row(token: TokenInfo) -> tuple[str, ...]:
    return (
        token.token_id,
        token.kind,
        token.role if token.kind == "client" else "",
        token.environment or "all",
        token.name,
        *(moment(at) for at in (token.created_at, token.expires_at, token.revoked_at)),
    )


def keep(profile: str, url: str, token: str, *, activate: bool, verify: bool) -> None:
    """Keeps server and token in a profile. Raises Error where the server doesn't take it; then nothing is kept."""
    from ..client import profiles

    if not url.startswith(("ws://", "wss://")):
        raise click.UsageError(f"expected the server's URL, as in wss://host:4100, got {url!r}")
    if verify:
        _verify(url, token)
    profiles.store(
        profile,
        {"server_url": url, "token": token, "token_id": None, "token_secret": None},
        activate=activate,
    )
    click.echo(f"✓ {url} and its token are in profile {profile} of {config.path()}.")


def _keep(profile: str, url: str, token: str, *, activate: bool) -> None:
    try:
        keep(profile, url, token, activate=activate, verify=False)
    except Error as error:  # the token is there: it must not be lost
        raise click.ClickException(f"{error}\nThe token: {token}") from None


def _verify(url: str, token: str) -> None:
    """Says Hello. Raises AuthError or ConnectionError."""
    from ..client.connection import Connection

    Connection(lambda: (url, token)).close()


def _server_url() -> str:
    """Where others find the server that is used here."""
    from ..cli.server import local_url

    return config.get("server_url") or local_url()


def seconds(text: str) -> float:
    """`30d`, `12h`: so many seconds; nothing is 0."""
    if not text:
        return 0.0
    match = re.fullmatch(r"([0-9]+)\s*([smhdw])", text.strip())
    if match is None or not int(match[1]):
        raise click.UsageError(f"--expires-in: expected a time such as 30d, 12h or 90m, got {text!r}")
    return float(int(match[1]) * UNITS[match[2]])
