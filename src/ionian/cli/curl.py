"""`ionian curl`: curl with the token of this machine, for endpoints that want one."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Generator

import click

from ..protocol.web import FindEndpoint
from .lists import ask


@click.command(name="curl", context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> None:
    """Asks a web endpoint as curl does, with this machine's token: for those with `requires_proxy_auth=True`.

    All arguments are curl's, which must be installed. The token goes to endpoints of the server alone: with another URL nothing
    is asked.
    """
    urls = [url for url in map(_url, arguments) if url]
    if not urls:
        raise click.UsageError(
            "expected the URL of a web endpoint, as in http://127.0.0.1:8000/app-function/"
        )
    for url in urls:
        ask(FindEndpoint(url))
    try:
        with _token_file() as number:
            done = subprocess.run(
                ["curl", "-K", f"/dev/fd/{number}", *arguments], pass_fds=[number], check=False
            )
    except FileNotFoundError:
        raise click.ClickException(
            "curl is not installed: on Debian and Ubuntu, apt-get install curl"
        ) from None
    raise SystemExit(done.returncode)


def _url(argument: str) -> str:
    """The URL that an argument is, or ends in: --url=URL."""
    text = argument.removeprefix("--url=")
    return text if text.lower().startswith(("http://", "https://")) else ""


@contextlib.contextmanager
def _token_file() -> Generator[int]:
    """The token as curl reads it: no other user of the machine sees it, as they would on a command line."""
    from ..client.local import find_server

    key, _, secret = find_server()[1].partition(".")
    reading, writing = os.pipe()
    try:
        os.write(writing, f'header = "Modal-Key: {key}"\nheader = "Modal-Secret: {secret}"\n'.encode())
        os.close(writing)
        yield reading
    finally:
        os.close(reading)
