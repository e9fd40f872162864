"""Images that were built, and what the steps of their builds printed."""

from __future__ import annotations

from starlette.responses import Response

from ionian.protocol.images import FindImage, ImageInfo, ImageList, ImageLogs, ListImages, ReadImageLogs

from ..rendering import page
from ..visit import Visit, page_route

MOST_LINES = 400
"""Of a step so many last lines are shown."""


async def images_page(visit: Visit) -> Response:
    """The images of an environment, the newest first."""
    environment = visit.word("environment")
    listed: ImageList = await visit.ask(ListImages(environment))
    return await page(
        visit,
        "images.html",
        section="images",
        environment=environment,
        title="Images",
        images=listed.images,
    )


async def image_page(visit: Visit) -> Response:
    """One image."""
    found: ImageInfo = await visit.ask(FindImage(visit.word("image_id"), environment=visit.asked("env")))
    logs: ImageLogs = await visit.ask(ReadImageLogs(found.image_id, found.environment))
    return await page(
        visit,
        "image.html",
        section="images",
        environment=found.environment,
        title=found.image_id,
        image=found,
        steps=logs.steps,
        instructions=found.image.instructions,
        most=MOST_LINES,
        every=10,
    )


routes = [
    page_route("/e/{environment}/images", images_page),
    page_route("/images/{image_id}", image_page),
]
