"""What has a page in the server's dashboard."""

from __future__ import annotations

from typing import Any

from .blocking import BlockingMethod


class OnDashboard:
    """An object with an id, by which the dashboard finds its page."""

    @BlockingMethod
    def get_dashboard_url(self) -> str:
        """The address of its page in the server's dashboard. Who opens it has to come in, as `ionian dashboard` does.

        ```python
        print(modal.App.lookup("my-app").get_dashboard_url())
        ```
        """
        from . import link
        from .protocol.dashboard import FindDashboard

        object_id = self._shown_id()
        found, _ = link.current().request(FindDashboard())
        return f"{found.url}/id/{object_id}"

    def _shown_id(self) -> str:
        """The id, asked for where it is not known."""
        this: Any = self
        this.hydrate()
        return this.object_id
