"""Where the dashboard is, and links into it: FindDashboard, OpenDashboard."""

from __future__ import annotations

from ionian.protocol.dashboard import DashboardAt, DashboardLink, FindDashboard, OpenDashboard
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from .context import Context


async def find_dashboard(
    actor: Actor, message: FindDashboard, _: bytes, context: Context
) -> tuple[DashboardAt, bytes]:
    """Where it is."""
    authorise(actor, "FindDashboard", Target())
    return DashboardAt(context.dashboard.url), b""


async def open_dashboard(
    actor: Actor, message: OpenDashboard, _: bytes, context: Context
) -> tuple[DashboardLink, bytes]:
    """A link that lets one browser in."""
    authorise(actor, "OpenDashboard", Target())
    if not message.path.startswith("/") or message.path.startswith("//"):
        raise Refused(
            "InvalidError", f"path: expected one that begins with one slash, got {message.path[:80]!r}"
        )
    dashboard = context.dashboard
    return DashboardLink(dashboard.link(actor.token_id, message.path), dashboard.url + message.path), b""
