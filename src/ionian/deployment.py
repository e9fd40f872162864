"""Deployed apps: what of `App` makes, finds and ends them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import later
from .arguments import environment, flag, object_name, wrong
from .arguments import tags as checked_tags
from .blocking import Blocking, BlockingMethod
from .dashboard_link import OnDashboard
from .exception import ExecutionError, InvalidError, NotFoundError
from .execution import is_importing, is_local, stop_import

if TYPE_CHECKING:
    from datetime import datetime
    from typing import Literal

    from typing_extensions import Self

    from .app import App
    from .client.deploy import Deployed
    from .logs import LogsManager
    from .types import AppInfo, AppStats

    Strategy = Literal["rolling", "recreate"]

TAG = r"[A-Za-z0-9\-_.]{1,50}"
"""A tag of a version: Modal's rule."""


def _lookup(
    name: str,
    *,
    client: Any = None,
    environment_name: str | None = None,
    create_if_missing: bool = False,
) -> App:
    """A deployed app by its name. It has an id, and none of the definitions that made it.

    Args:
        environment_name: where it is; None: the current environment.
        create_if_missing: makes an empty deployed app where there is none.

    Raises NotFoundError, which says what apps there are.

    ```python
    app = modal.App.lookup("my-app")
    app.stop()
    ```
    """
    later.refuse("App.lookup", client=client)
    object_name("name", name)
    flag("create_if_missing", create_if_missing)
    environment = _environment(environment_name)
    from . import link
    from .app import App
    from .protocol.apps import FindApp

    found, _ = link.current().request(FindApp(name, environment, create_if_missing))
    if found.state != "deployed":
        raise NotFoundError(
            f"app {name!r} runs, and is not deployed; deploy it by app.deploy() or `ionian deploy`"
        )
    app = App(name)
    app.app_id = found.app_id
    return app


class Deployable(OnDashboard):
    """The part of an App that is about deploys."""

    if TYPE_CHECKING:
        name: str | None
        app_id: str | None
        tags: dict[str, str]

    lookup = Blocking(_lookup)

    @BlockingMethod
    def deploy(
        self,
        *,
        name: str | None = None,
        environment_name: str | None = None,
        tag: str = "",
        client: Any = None,
        strategy: Strategy = "rolling",
    ) -> Self:
        """Puts the app where it stays until it is stopped, callable by its name; returns the app itself.

        Deployed again, it has a next version: inputs that run end on the version that they began on, all others go to
        the new one, and none is lost. A deploy of what is there already changes nothing.

        Args:
            name: of the deployed app; None: the app's own.
            environment_name: where it is; None: the current environment.
            tag: a name for this version, shown in the history: up to 50 letters, digits, `-`, `_` and `.`.
            strategy: "rolling" lets containers of the old version end what they run; "recreate" ends them at once,
                and runs again what they ran.

        In a container, where the module is imported once more, the import ends at this line.

        Raises InvalidError for a wrong argument or definition, and what building its images raises; then what was
        deployed before is as it was.

        ```python
        app.deploy(name="my-app", tag="v1.2")
        square = modal.Function.from_name("my-app", "square")
        ```
        """
        later.refuse("App.deploy", client=client)
        deploy(self, name=name, environment_name=environment_name, tag=tag, strategy=strategy)
        return self

    def include(self, other_app: App, inherit_tags: bool = True) -> Self:
        """Adds the functions and classes of another app to this one, and returns this one.

        They keep the image, secrets and volumes that their own app gave them. `inherit_tags`: the tags of the other app
        too, where this one has none of that key.

        ```python
        app = modal.App("everything").include(training.app).include(serving.app)
        ```
        """
        from .app import App

        app: Any = self
        other: Any = other_app
        if not isinstance(other, App):
            raise wrong("other_app", "a modal.App", other)
        if other is app:
            raise InvalidError("other_app: expected another app, got the app itself")
        for function in other_app.registered_functions.values():
            app._register(function)
        for tag, cls in other_app.registered_classes.items():
            app.registered_classes[tag] = cls
        if flag("inherit_tags", inherit_tags):
            self.tags = {**other_app.tags, **self.tags}
        return self

    @BlockingMethod
    def stop(self, *, client: Any = None) -> None:
        """Ends the app for good: its containers and calls are stopped, and its functions can't be called any more.

        Raises ExecutionError where the app has neither run nor been deployed or looked up.
        """
        later.refuse("App.stop", client=client)
        from . import link
        from .protocol.apps import StopApp

        message = StopApp(_id(self), "stopped by app.stop()", for_good=True)
        link.current().request(message)

    @property
    def logs(self) -> LogsManager:
        """What its containers wrote, of an app that runs or is deployed: `.tail(…)`, `.fetch(…)`, `.stream(…)`."""
        from .logs import LogsManager

        return LogsManager(lambda: _id(self))

    def _shown_id(self) -> str:
        return _id(self)

    @BlockingMethod
    def info(self, refresh: bool = False) -> AppInfo:
        """What it is, which functions it has, and what happened to it, of an app that runs, ran, or is deployed.

        `refresh` changes nothing: it is asked for each time.
        """
        from . import link
        from .protocol.statistics import DescribeApp
        from .statistics import app_info

        flag("refresh", refresh)
        message = DescribeApp(_id(self))
        return app_info(link.current().request(message)[0])

    @BlockingMethod
    def stats(self, *, since: datetime | None = None, until: datetime | None = None) -> AppStats:
        """What its functions did between two times, by name and together, however they were called.

        Args:
            since: the begin of the time; None: an hour before `until`. A time without a zone is local.
            until: the end of it; None: now. At most 7 days after `since`.

        The time is counted in whole minutes. Raises InvalidError for a wrong argument.

        ```python
        stats = modal.App.lookup("my-app").stats()
        print(stats.functions.total.calls.failed, stats.functions["square"].counts.containers.total)
        ```
        """
        from . import link
        from .protocol.statistics import MeasureApp
        from .statistics import app_stats, window

        since_at, until_at = window(since, until)
        message = MeasureApp(_id(self), since_at, until_at)
        found, _ = link.current().request(message)
        return app_stats(found, since_at, until_at)

    @BlockingMethod
    def set_tags(self, tags: Mapping[str, str], *, client: Any = None) -> None:
        """Gives the app, which runs or is deployed, these tags in place of those that it has."""
        later.refuse("App.set_tags", client=client)
        checked = checked_tags(tags)
        from . import link
        from .protocol.apps import TagApp

        message = TagApp(_id(self), checked)
        link.current().request(message)
        self.tags = checked

    @BlockingMethod
    def get_tags(self, *, client: Any = None) -> dict[str, str]:
        """The tags that the app, which runs or is deployed, has on the server."""
        later.refuse("App.get_tags", client=client)
        from . import link
        from .protocol.apps import TagApp

        message = TagApp(_id(self))
        answer, _ = link.current().request(message)
        return answer.tags


def deploy(
    app: Any,
    *,
    name: str | None = None,
    environment_name: str | None = None,
    tag: str = "",
    strategy: Strategy = "rolling",
) -> Deployed:
    """Deploys an app, and tells what it came to. The arguments are those of `App.deploy`."""
    _check_tag(tag)
    if strategy not in ("rolling", "recreate"):
        raise wrong("strategy", '"rolling" or "recreate"', strategy)
    chosen, environment = _name(name, app.name), _environment(environment_name)
    if is_importing():
        stop_import(app)  # a script without a guard: what stands above is what its containers need
    if not is_local():
        raise InvalidError("an app can't be deployed from inside a container")
    from .client.deploy import deploy

    return deploy(app, chosen, environment=environment, tag=tag, strategy=strategy)


def _check_tag(tag: Any) -> None:
    """Raises InvalidError for what is no tag of a version."""
    if not isinstance(tag, str) or (tag and not re.fullmatch(TAG, tag)):
        raise wrong("tag", "up to 50 characters of A-Z a-z 0-9 - _ .", tag)


def _name(given: Any, own: str | None) -> str:
    if given is None and own is None:
        raise InvalidError(
            'name: a deployed app needs one; write App("…"), app.deploy(name="…"), or ionian deploy --name …'
        )
    return object_name("name", own if given is None else given)


def _environment(given: Any) -> str:
    from . import config

    return config.environment(environment(given))


def _id(app: Any) -> str:
    if not app.app_id:
        raise ExecutionError(
            f"app {app.name!r} neither runs nor is deployed here; look it up by modal.App.lookup({app.name!r})"
        )
    return app.app_id
