"""What an environment keeps under names: volumes with their files, secrets by name alone, dicts and queues."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from ionian.protocol.items import MeasureQueue, QueueMeasured
from ionian.protocol.objects import ListObjects, ObjectInfo, ObjectList
from ionian.protocol.secrets import ListSecrets, SecretList
from ionian.protocol.stream import Refused
from ionian.protocol.volumes import FileList, FilePart, FindVolumeUsers, ListFiles, ReadFile, VolumeUsers

from ...auth import Target, authorise
from ...handlers.context import in_thread
from ..rendering import page
from ..visit import Visit, page_route

PART = 1 << 20
"""Bytes of a file that are read at a time: a download has no more of it in memory."""

MOST_MEASURED = 200
"""Queues whose items are counted in one page."""


@dataclass
class QueueRow:
    """A queue in the list."""

    info: ObjectInfo
    items: int | None
    partitions: int = 0


async def volumes_page(visit: Visit) -> Response:
    """The volumes of an environment."""
    return await _listed(visit, "volume", "volumes", "Volumes")


async def dicts_page(visit: Visit) -> Response:
    """The dicts of an environment."""
    return await _listed(visit, "dict", "dicts", "Dicts")


async def _listed(visit: Visit, kind: str, section: str, title: str) -> Response:
    environment = visit.word("environment")
    listed: ObjectList = await visit.ask(ListObjects(kind, environment))  # type: ignore[arg-type]
    return await page(
        visit,
        "objects.html",
        section=section,
        environment=environment,
        title=title,
        kind=kind,
        rows=[QueueRow(info, None) for info in listed.objects],
    )


async def queues_page(visit: Visit) -> Response:
    """The queues of an environment, and how much is in each."""
    environment = visit.word("environment")
    listed: ObjectList = await visit.ask(ListObjects("queue", environment))
    rows: list[QueueRow] = []
    for number, info in enumerate(listed.objects):
        if number >= MOST_MEASURED:
            rows.append(QueueRow(info, None))
            continue
        measured: QueueMeasured = await visit.ask(MeasureQueue(info.object_id))
        rows.append(QueueRow(info, measured.items, measured.partitions))
    return await page(
        visit,
        "objects.html",
        section="queues",
        environment=environment,
        title="Queues",
        kind="queue",
        rows=rows,
    )


async def secrets_page(visit: Visit) -> Response:
    """The secrets of an environment: names and times, and who has them."""
    environment = visit.word("environment")
    listed: SecretList = await visit.ask(ListSecrets(environment))
    return await page(
        visit,
        "secrets.html",
        section="secrets",
        environment=environment,
        title="Secrets",
        secrets=listed.secrets,
    )


# --- the files of a volume


async def files_page(visit: Visit) -> Response:
    """What a folder of a volume holds."""
    volume_id = visit.word("volume_id")
    path = str(visit.request.path_params.get("path", "")).strip("/")
    listed: FileList = await visit.ask(ListFiles(volume_id, path, visit.asked("after")))
    users: VolumeUsers = await visit.ask(FindVolumeUsers(volume_id))
    row = await in_thread(visit.context.store.objects.by_id, volume_id)
    if row is None:
        raise Refused("NotFoundError", f"there is no volume {volume_id[:80]!r}")
    authorise(visit.actor, "ListFiles", Target(row.environment))
    parts = path.split("/") if path else []
    return await page(
        visit,
        "files.html",
        section="volumes",
        environment=row.environment,
        title=row.name or volume_id,
        volume_id=volume_id,
        name=row.name or "without a name",
        created_at=row.created_at,
        above=[(part, quote("/".join(parts[: at + 1]))) for at, part in enumerate(parts)],
        files=[(file, file.path.rpartition("/")[2], quote(file.path)) for file in listed.files],
        older=f"?after={quote(listed.files[-1].path.rpartition('/')[2])}" if listed.more else "",
        users=users.apps,
    )


async def download(visit: Visit) -> Response:
    """A file, part by part: as fast as the browser takes it."""
    volume_id, path = visit.word("volume_id"), visit.word("path")
    first, content = await visit.server.handle(visit.actor, ReadFile(volume_id, path, 0, PART), b"")
    headers = {
        "Content-Length": str(first.size),
        # Whatever is in it, a browser keeps it and shows nothing of it.
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(path.rpartition('/')[2], safe='')}",
    }
    return StreamingResponse(
        _content(visit, volume_id, path, first, content),
        headers=headers,
        media_type="application/octet-stream",
    )


async def _content(
    visit: Visit, volume_id: str, path: str, first: FilePart, content: bytes
) -> AsyncIterator[bytes]:
    at = 0
    while content:
        content = content[: first.size - at]
        yield content
        at += len(content)
        if at >= first.size:
            return
        found, content = await visit.server.handle(visit.actor, ReadFile(volume_id, path, at, PART), b"")
        if found.identity != first.identity:
            raise Refused("ConflictError", f"another file has taken the name {path!r}")


routes = [
    page_route("/e/{environment}/volumes", volumes_page),
    page_route("/e/{environment}/dicts", dicts_page),
    page_route("/e/{environment}/queues", queues_page),
    page_route("/e/{environment}/secrets", secrets_page),
    page_route("/volumes/{volume_id}", files_page),
    page_route("/volumes/{volume_id}/files/{path:path}", files_page),
    page_route("/volumes/{volume_id}/download/{path:path}", download),
]
