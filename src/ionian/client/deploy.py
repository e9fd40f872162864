"""A deploy: an app defined on the server under its name, to stay there."""

from __future__ import annotations

import getpass
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import link as links
from ..protocol.apps import AppCreated, CreateApp, Deploy, Strategy
from ..protocol.calls import AppFunctions
from ..protocol.ids import new_id
from ..version import VERSION
from . import entry, output
from .commit import Commit
from .output.words import duration
from .runner import claim, release

if TYPE_CHECKING:
    from ..app import App
    from ..link import Link


@dataclass
class Deployed:
    """What a deploy came to."""

    app_id: str
    name: str
    environment: str
    version: int
    changed: bool  # False: it was there already, and no version was made
    seconds: float
    next_runs: dict[str, float]  # tag → seconds since 1970, of functions with a schedule


def deploy(app: App, name: str, *, environment: str, tag: str, strategy: Strategy) -> Deployed:
    """Deploys an app. Fails where anything of it can't be made; then what was deployed before is as it was."""
    claim(app, name)
    report = output.current()
    begun = time.monotonic()
    try:
        commit = Commit()
        entry.adopt_main()
        link = links.current()
        ignore = report.listen(link) if report is not None else None
        try:
            created, _ = link.request(CreateApp(new_id("ap"), name, environment, deploy=True, tags=app.tags))
            assert isinstance(created, AppCreated), created
            done = _publish(app, created, link, _deploy(app, tag, strategy, commit))
        finally:
            if ignore is not None:
                ignore()
    finally:
        release(app)
    app.app_id = created.app_id
    deployed = Deployed(
        created.app_id,
        name,
        created.environment,
        done.version,
        done.changed,
        time.monotonic() - begun,
        done.next_runs,
    )
    if report is not None:
        report.say(_said(deployed), "green")
        report.drain()
    return deployed


def _deploy(app: App, tag: str, strategy: Strategy, commit: Commit) -> Deploy:
    return Deploy(tag, strategy, VERSION, commit.text, _user(), app.tags or None)


def _publish(app: App, created: AppCreated, link: Link, deploy: Deploy) -> AppFunctions:
    from .publish import Publication
    from .upload import Uploader

    uploader = Uploader(link)
    try:
        publication = Publication(
            app,
            created.app_id,
            created.environment,
            link,
            uploader,
            output.current(),
            known=created.functions,
            deploy=deploy,
        )
        return publication.publish()
    finally:
        uploader.close()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        return ""


def _said(deployed: Deployed) -> str:
    if deployed.changed:
        return (
            f"✓ App deployed in {duration(deployed.seconds)}: version {deployed.version} of {deployed.name}"
        )
    return f"✓ No changes: version {deployed.version} of {deployed.name} runs already"
