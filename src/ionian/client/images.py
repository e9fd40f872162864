"""The build of an image by itself, for `Image.build`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from .. import config
from .. import link as links
from ..exception import ImageBuildError, InvalidError
from ..protocol.apps import AppCreated, BuildImage, FindApp, ImageBuilt
from ..protocol.images import image_id_of
from . import output
from .output.words import duration
from .runner import AppRun

if TYPE_CHECKING:
    from ..app import App
    from ..image import Image
    from ..link import Link
    from ..protocol.spec import ImageSpec
    from .output.report import Report

APP_NAME = "image-build"
"""Of the app in which an image is built that is given none."""


def build(image: Image, app: App | None) -> Image:
    """Builds an image for an app; without one, for an app of its own, which is over when this is."""
    if app is None:
        from ..app import App

        with AppRun(App(APP_NAME), APP_NAME, environment=config.environment(None), quiet=True) as app:
            return _build(image, app)
    if not app.app_id:
        raise InvalidError(
            "app: expected an app that runs or is deployed, got one that is not: build inside `with app.run():`, or with "
            "App.lookup(…, create_if_missing=True)"
        )
    return _build(image, app)


def _build(image: Image, app: App) -> Image:
    from .publish import Publication
    from .upload import Uploader

    link, report = links.current(), output.current()
    assert app.app_id is not None
    known, _ = link.request(FindApp(app.app_id))
    assert isinstance(known, AppCreated), known
    ignore = report.listen(link) if report is not None else None
    uploader = Uploader(link)
    try:
        spec = image.spec(Publication(app, app.app_id, known.environment, link, uploader, report))
        image.tried_id = image_id_of(spec)
        built(link, app.app_id, image.tried_id, spec, report)
        image.known_id = image.tried_id
    finally:
        uploader.close()
        if ignore is not None:
            ignore()
    return image


def built(link: Link, app_id: str, image_id: str, spec: ImageSpec, report: Report | None) -> ImageBuilt:
    """Sees to it that an image is there. Raises ImageBuildError."""
    begun = time.monotonic()
    try:
        answer, _ = link.request(BuildImage(app_id, image_id, spec))
    except ImageBuildError as error:
        error.image_id = image_id
        raise
    finally:
        if report is not None:
            report.end_builds(image_id)
    if report is not None and not answer.cached:
        report.say(f"✓ Image built in {duration(time.monotonic() - begun)}")
    return answer
