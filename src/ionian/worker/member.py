"""One member of a cluster: a container like others, but for who gives it inputs, and whom it tells of itself."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..protocol.batch import Batch
from ..protocol.clusters import Membership, cluster_id_of, member_id, member_number
from ..protocol.container import Begin
from ..protocol.workers import ContainerState, Held
from .container import Container
from .images import BuiltImage
from .sandbox import Exit, SandboxSpec

if TYPE_CHECKING:
    from .cluster import ClusterContainer


class Member(Container):
    """States: being made → importing → ready → ended. It is never the fork of a template."""

    def __init__(self, cluster: ClusterContainer, image: BuiltImage, rank: int) -> None:
        ask = cluster.ask
        share = len(ask.devices) // cluster.size
        self.rank = rank
        self._cluster = cluster
        self._image_of_all = image
        super().__init__(
            cluster.worker,
            replace(
                ask,
                number=member_number(ask.number, rank),
                container_id=member_id(ask.container_id, rank),
                devices=ask.devices[rank * share : (rank + 1) * share],
            ),
        )

    async def _run(self, scratch: Path) -> Exit | None:
        self._built = self._image_of_all
        return await self._plain(self._image_of_all, scratch)

    async def _sandbox_of(self, image: BuiltImage, scratch: Path) -> SandboxSpec:
        spec = await super()._sandbox_of(image, scratch)
        assert self._cluster.places is not None
        spec.namespace = self._cluster.places.namespace(self.rank)
        if spec.namespace is not None:
            spec.network = True  # that of the cluster, which leads nowhere else where the function blocks it
        return spec

    def _begin(self, image: BuiltImage) -> Begin:
        begin = super()._begin(image)
        cluster, places = self._cluster, self._cluster.places
        assert places is not None
        begin.cluster = asdict(
            Membership(
                cluster_id_of(cluster.ask.container_id),
                self.rank,
                cluster.container_ids,
                [each.ipv4 for each in places.addresses],
                [each.ipv6 for each in places.addresses if each.ipv6],
            )
        )
        begin.env = {**places.environment(self.rank), **begin.env}
        return begin

    def _results(self, batch: Batch) -> None:
        self.catch_up()
        self.account.ran(batch)
        self._cluster.result(self.rank, batch)

    def _gave_back(self, held: Held) -> None:
        """It is never asked to: what it was given all others have as well."""
        del held
        self._end_for("exit", "the code that it ran broke its connection to the worker")

    def _say_ready(self, state: ContainerState) -> None:
        self._cluster.member_ready(self, state)

    def _say_ended(self, state: ContainerState) -> None:
        self._cluster.member_ended(self, state, self._failure)
