"""Apps: all of an environment, and one with its functions, containers and versions."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.responses import Response

from ionian.protocol.apps import (
    AppHistory,
    AppInfo,
    AppList,
    AppVersion,
    ListApps,
    RollbackApp,
    StopApp,
)
from ionian.protocol.spec import FunctionSpec
from ionian.protocol.tags import shown

from ...handlers.apps import app_of
from ...handlers.context import in_thread
from ...handlers.deploys import info
from ...standing import Standing, standings, together
from ..describing import asks_for, kind_of, scaled, schedule_of
from ..rendering import page
from ..visit import Visit, go, page_route
from .containers import containers_of, end_route


@dataclass
class AppRow:
    """An app in the list."""

    app: AppInfo
    standing: Standing


@dataclass
class FunctionRow:
    """A function of an app."""

    function_id: str
    tag: str
    kind: str
    standing: Standing
    resources: str
    scaling: str
    schedule: str
    next_at: float
    urls: list[str]


async def apps_page(visit: Visit) -> Response:
    """What is deployed or running, and what ended in the last day."""
    listed: AppList = await visit.ask(ListApps(visit.word("environment")))
    live = [app for app in listed.apps if app.state != "stopped"]
    counted = await standings(visit.server, {app.app_id for app in live})
    rows = [AppRow(app, together(counted[app.app_id].values())) for app in live]
    return await page(
        visit,
        "apps.html",
        section="apps",
        environment=visit.word("environment"),
        title="Apps",
        rows=rows,
        stopped=[app for app in listed.apps if app.state == "stopped"],
        all=together(row.standing for row in rows),
        workers=len(visit.server.engine.workers),
    )


async def app_page(visit: Visit) -> Response:
    """One app."""
    row = await app_of(visit.actor, "FindApp", visit.word("app_id"), visit.context)
    due = await in_thread(visit.context.store.schedules.next_by_function, row.app_id)
    app = info(row, min(due.values(), default=0.0), visit.context)
    counted = (await standings(visit.server, {app.app_id}))[app.app_id]
    specs = await _specs(visit, app)
    urls = visit.context.web.urls_of(app.app_id)
    functions = [
        FunctionRow(
            spec.function_id,
            shown(spec.tag),
            kind_of(spec),
            counted.get(spec.function_id, Standing()),
            asks_for(spec.resources),
            scaled(spec.scaling),
            schedule_of(spec),
            due.get(spec.function_id, 0.0),
            [found[0] for tag, found in urls.items() if tag.partition(".")[0] == shown(spec.tag)],
        )
        for spec in specs
    ]
    return await page(
        visit,
        "app.html",
        section="apps",
        environment=app.environment,
        title=app.name,
        app=app,
        all=together(counted.values()),
        functions=functions,
        containers=await containers_of(visit, app.app_id),
        versions=await _versions(visit, app),
    )


async def _specs(visit: Visit, app: AppInfo) -> list[FunctionSpec]:
    """As the engine has them; of an app that is over, as it was last."""
    if app.state == "stopped":
        return await in_thread(visit.context.store.functions.of, app.app_id)
    specs = [spec for spec, app_id, _ in visit.server.engine.specs.values() if app_id == app.app_id]
    return sorted((spec for spec in specs if not spec.base_id), key=lambda spec: spec.tag)


async def _versions(visit: Visit, app: AppInfo) -> list[AppVersion]:
    if app.state != "deployed":
        return []
    return (await visit.ask(AppHistory(app.app_id))).versions


# --- what changes something


async def stop_app(visit: Visit) -> Response:
    """Ends an app for good."""
    app_id = visit.word("app_id")
    await visit.ask(StopApp(app_id, "stopped in the dashboard", for_good=True))
    return go(f"/apps/{app_id}")


async def roll_back(visit: Visit) -> Response:
    """Makes an earlier version the newest."""
    app_id = visit.word("app_id")
    await visit.ask(RollbackApp(app_id, int(visit.word("version"))))
    return go(f"/apps/{app_id}")


routes = [
    page_route("/e/{environment}/apps", apps_page),
    page_route("/apps/{app_id}", app_page),
    page_route("/apps/{app_id}/stop", stop_app, post=True),
    page_route("/apps/{app_id}/versions/{version:int}/rollback", roll_back, post=True),
    end_route("/apps/{app_id}/containers/{container_id}/end", "/apps/{app_id}"),
]
