"""`modal.runner`: apps run and deployed by functions, as programs of Modal's do; `App.run` and `App.deploy` are the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .blocking import Blocking

if TYPE_CHECKING:
    from .app import App, RunningApp
    from .deployment import Strategy


class DeployResult:
    """What a deploy came to."""

    def __init__(self, app_id: str) -> None:
        self.app_id = app_id
        self.warnings: list[str] = []

    def __repr__(self) -> str:
        return f"DeployResult(app_id={self.app_id!r})"


def run_app(
    app: App,
    *,
    client: Any = None,
    detach: bool = False,
    environment_name: str | None = None,
    interactive: bool = False,
) -> RunningApp:
    """The app, running while the block does: `with run_app(app):`."""
    return app.run(client=client, detach=detach, environment_name=environment_name, interactive=interactive)


def _deploy_app(
    app: App,
    name: str | None = None,
    *,
    client: Any = None,
    environment_name: str | None = None,
    tag: str = "",
    strategy: Strategy = "rolling",
) -> DeployResult:
    """Deploys an app; the arguments are those of `App.deploy`."""
    app.deploy(name=name, client=client, environment_name=environment_name, tag=tag, strategy=strategy)
    return DeployResult(app.app_id or "")


deploy_app = Blocking(_deploy_app)
