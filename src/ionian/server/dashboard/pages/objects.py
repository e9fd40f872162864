"""`/id/…`: from the id of any object to its page, for links that programs print."""

from __future__ import annotations

from starlette.responses import Response

from ionian.protocol.calls import GetCallInfo
from ionian.protocol.clusters import container_of
from ionian.protocol.environments import EnvironmentInfo, FindEnvironment
from ionian.protocol.images import FindImage, ImageInfo
from ionian.protocol.stream import Refused

from ...handlers.apps import app_of, function_of
from ...handlers.context import in_thread
from ..visit import Visit, go, page_route

SECTIONS = {"dict": "dicts", "queue": "queues", "secret": "secrets"}


async def object_page(visit: Visit) -> Response:
    """The page that shows an object, or the nearest that there is."""
    object_id = visit.word("object_id")
    kind = object_id.partition("-")[0]
    if kind == "ap":
        return go(f"/apps/{(await app_of(visit.actor, 'FindApp', object_id, visit.context)).app_id}")
    if kind in ("fu", "cs"):
        await function_of(visit.actor, "DescribeFunction", object_id, visit.context)
        return go(f"/functions/{object_id}")
    if kind == "fc":
        return go(f"/calls/{(await visit.ask(GetCallInfo(object_id))).call_id}")
    if kind == "im":
        image: ImageInfo = await visit.ask(FindImage(object_id))
        return go(f"/images/{image.image_id}?env={image.environment}")
    if kind == "en":
        found: EnvironmentInfo = await visit.ask(FindEnvironment(object_id))
        return go(f"/e/{found.name}/apps")
    if kind == "cu":
        object_id = container_of(object_id)
    if object_id.startswith("ta-"):
        return go(f"/containers/{object_id}")
    row = await in_thread(visit.context.store.objects.by_id, object_id)
    if row is None or visit.actor.environment not in ("", row.environment):
        raise Refused("NotFoundError", f"there is nothing with the id {object_id[:80]!r}")
    pages = {"volume": f"/volumes/{object_id}"}
    return go(pages.get(row.kind, f"/e/{row.environment}/{SECTIONS.get(row.kind, 'apps')}"))


routes = [page_route("/id/{object_id}", object_page)]
