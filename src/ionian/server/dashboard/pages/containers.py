"""Containers of an app or a function: those that are there, and what is wanted and not there."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ionian.protocol.apps import ContainerInfo, ContainerList, ListContainers

from ..visit import Visit


@dataclass
class ContainerRow:
    """A container, or what is wanted and not there."""

    container: ContainerInfo
    since: float  # seconds since 1970


async def containers_of(visit: Visit, app_id: str, tag: str = "") -> list[ContainerRow]:
    """Those of an app, or of one function of it."""
    listed: ContainerList = await visit.ask(ListContainers(app_id=app_id))
    now = time.time()
    return [
        ContainerRow(one, round(now - one.age_s) if one.container_id else 0.0)
        for one in listed.containers
        if tag in ("", one.tag)
    ]
