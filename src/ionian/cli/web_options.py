"""The options of a server that say where its web endpoints and its dashboard are, for who runs one and who installs one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

NAMES = ("web_port", "web_host", "web_cert", "web_key", "domain", "dashboard_port", "dashboard_url")


def web_options(function: F) -> F:
    """Adds them; the command gets them by these names."""
    for option in (
        click.option(
            "--dashboard-url",
            default="",
            help="Where a proxy of yours shows the dashboard: https://host, with no path.",
        ),
        click.option(
            "--dashboard-port",
            default=0,
            help="The port of the dashboard; 0 takes one that is free, and keeps it.",
        ),
        click.option(
            "--domain", default="", help="Web endpoints are at LABEL hosts of it, behind a proxy of yours."
        ),
        click.option("--web-key", default="", help="The PEM file of the certificate's key."),
        click.option(
            "--web-cert",
            default="",
            help="Web endpoints by TLS: the PEM file of a certificate and its chain.",
        ),
        click.option(
            "--web-host", default="", help="The address of web endpoints; that of the server unless given."
        ),
        click.option(
            "--web-port",
            default=0,
            help="The port of web endpoints; 0 takes one that is free, and keeps it.",
        ),
    ):
        function = option(function)
    return function


def words(given: dict[str, Any]) -> list[str]:
    """What was given, as words of a command line."""
    return [
        word for name in NAMES if given[name] for word in (f"--{name.replace('_', '-')}", str(given[name]))
    ]
