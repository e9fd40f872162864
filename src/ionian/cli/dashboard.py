"""`ionian dashboard`: a link that lets a browser in, opened where there is one."""

from __future__ import annotations

import os
import sys
import webbrowser

import click

from ..protocol.dashboard import DashboardLink, OpenDashboard
from .lists import ask


@click.command(name="dashboard")
@click.argument("object_id", required=False, default="")
@click.option("--no-browser", is_flag=True, help="Print the link, and open nothing.")
def command(object_id: str, no_browser: bool) -> None:
    """Opens the dashboard in a browser: all apps, or the page of OBJECT_ID (ap-…, fc-…, and so on).

    The link that it prints lets one browser in, once, within a minute.
    """
    open_page(f"/id/{object_id}" if object_id else "/", browser=not no_browser)


def open_page(path: str, *, browser: bool = True) -> None:
    """Opens a page, or says where it is."""
    found: DashboardLink = ask(OpenDashboard(path))
    click.echo(
        f"The dashboard is at {found.url}\nThis link lets one browser in, once, within a minute:\n{found.link}"
    )
    if browser and _has_screen():
        webbrowser.open(found.link)


def _has_screen() -> bool:
    """Whether a browser could show anything: else one for terminals would take this one."""
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
