"""Which images are needed, and the collection of others on every worker."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..protocol.stream import ConnectionLost, Peer, Refused
from ..protocol.workers import CollectImages, ImagesCollected, KeepImages

if TYPE_CHECKING:
    from .server import Server

log = logging.getLogger("ionian.server")

MIN_AGE_S = 86_400.0
"""No image that was used within this goes by itself: somebody may be about to use it again."""


class ImageGarbage:
    """Tells workers what is needed, and has them collect the rest."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def needed(self) -> list[str]:
        """The images of what runs or is deployed, those that have a name, and those that are being built."""
        specs = [spec for spec, *_ in self._server.engine.specs.values()]
        published = await asyncio.to_thread(self._server.store.images.published)
        return sorted({spec.image_id for spec in specs} | published | self._server.builds.under_way())

    def apps_with(self, image_id: str) -> list[str]:
        """The apps that run or are deployed of which a function has this image."""
        specs = self._server.engine.specs.values()
        return sorted({app_id for spec, app_id, _ in specs if spec.image_id == image_id})

    def is_built(self, image_id: str) -> bool:
        """Whether this image is being built just now."""
        return image_id in self._server.builds.under_way()

    def joined(self, worker: Peer) -> None:
        """A worker joined: others that share its images must know what this server needs."""
        self._server.beside(self._tell(worker))

    async def _tell(self, worker: Peer) -> None:
        worker.send(KeepImages(await self.needed()))

    async def collect(
        self, *, everything: bool = False, min_age_s: float = MIN_AGE_S, only: Sequence[str] = ()
    ) -> ImagesCollected:
        """Has each worker remove what is not needed: what is beyond its budget, `everything`, or `only` these images."""
        ask = CollectImages(await self.needed(), everything, min_age_s, list(only))
        workers = list(self._server.engine.workers.values())
        answers = await asyncio.gather(*(self._of(worker, ask) for worker in workers))
        images = {image_id for answer in answers for image_id in answer.images}
        return ImagesCollected(
            sorted(images),
            sum(answer.freed for answer in answers),
            sum(answer.used for answer in answers),
            any(answer.busy for answer in answers),
        )

    async def _of(self, worker: Peer, ask: CollectImages) -> ImagesCollected:
        try:
            answer, _ = await worker.request(ask)
        except (ConnectionLost, Refused) as error:
            log.warning("images of a worker were not collected: %s", error)
            return ImagesCollected()
        assert isinstance(answer, ImagesCollected)
        return answer
