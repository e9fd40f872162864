"""The dashboard: where it is, and a link by which a person's browser comes in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FindDashboard:
    """Asks where the server's dashboard is. Answered by DashboardAt."""


@dataclass
class DashboardAt:
    """The answer to FindDashboard."""

    url: str  # without a slash at its end; what is at `{url}/id/{object_id}` shows an object


@dataclass
class OpenDashboard:
    """Asks for a link that lets one browser in, once, with the rights of who asks. Answered by DashboardLink."""

    path: str = "/"  # the page that it leads to


@dataclass
class DashboardLink:
    """The answer to OpenDashboard."""

    link: str  # good for a minute
    url: str  # the page itself, for a browser that is in already
