from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest
from tests.unit.server.answering import Server

from ionian.protocol.messages import Blob, Done, FindBlobs, ReadBlob
from ionian.protocol.stream import Refused
from ionian.server.auth import Actor
from ionian.server.handlers import handle
from ionian.server.handlers.blobs import READ_MAX, share_blobs

CONTENT = bytes(range(256)) * 20
CHUNK = 1000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def chunks(content: bytes = CONTENT, digest: str = "") -> list[tuple[Blob, bytes]]:
    name = digest or sha256(content)
    return [
        (Blob(name, len(content), at), content[at : at + CHUNK])
        for at in range(0, max(len(content), 1), CHUNK)
    ]


def send(server: Server, parts: list[tuple[Blob, bytes]], actor: Actor | None = None) -> list[object]:
    """The answers to chunks that were all on their way at once."""

    async def all_at_once() -> list[object]:
        who = actor or server.client
        tasks = [asyncio.ensure_future(handle(who, part, data, server.context)) for part, data in parts]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        return [answer if isinstance(answer, BaseException) else answer[0] for answer in answers]

    return server.run(all_at_once())


def unfinished(server: Server) -> list[Path]:
    return list((server.context.blobs.folder / "tmp").iterdir())


@pytest.mark.parametrize("content", [CONTENT, b"", b"small"])
def test_a_blob_comes_in_chunks_and_goes_in_parts(server: Server, content: bytes) -> None:
    digest = sha256(content)
    assert server.ask(FindBlobs([digest])).digests == [digest]
    assert all(isinstance(answer, Done) for answer in send(server, chunks(content)))
    assert server.ask(FindBlobs([digest])).digests == []
    reply, payload = server.exchange(ReadBlob(digest, 1, 50))
    assert (reply, payload) == (Blob(digest, len(content), 1), content[1:51])
    assert len(server.context.uploads) == 0
    assert unfinished(server) == []


def test_one_read_gets_a_bounded_part(server: Server) -> None:
    digest = server.context.blobs.put(bytes(READ_MAX + 1))
    assert len(server.exchange(ReadBlob(digest, 0, 1 << 40))[1]) == READ_MAX


def test_a_blob_that_is_here_already_is_taken_again(server: Server) -> None:
    for _ in range(2):
        assert all(isinstance(answer, Done) for answer in send(server, chunks()))
    assert len(server.context.uploads) == 0


def test_equal_content_sent_twice_at_once_on_one_stream_is_one_upload(server: Server) -> None:
    interleaved = [part for pair in zip(chunks(), chunks(), strict=True) for part in pair]
    assert all(isinstance(answer, Done) for answer in send(server, interleaved))
    assert server.context.blobs.read(sha256(CONTENT)) == CONTENT
    assert len(server.context.uploads) == 0


def test_content_that_is_not_its_digest_is_refused_at_its_end_and_can_be_sent_again(server: Server) -> None:
    digest = sha256(CONTENT)
    answers = send(server, chunks(CONTENT[::-1], digest))
    assert all(isinstance(answer, Done) for answer in answers[:-1])
    assert isinstance(answers[-1], Refused)
    assert "expected content with SHA-256" in answers[-1].message
    assert unfinished(server) == []
    assert all(isinstance(answer, Done) for answer in send(server, chunks()))
    assert server.context.blobs.read(digest) == CONTENT


def test_a_chunk_that_is_left_out_fails_all_that_follow(server: Server) -> None:
    parts = chunks()
    answers = send(server, [parts[0], *parts[2:]])
    assert isinstance(answers[0], Done)
    for answer in answers[1:]:
        assert isinstance(answer, Refused)
        assert "expected byte 1000 of 5120" in answer.message
    assert unfinished(server) == []


def test_two_streams_of_a_client_do_not_mix(server: Server) -> None:
    bulk = Actor("client", server.client.id, stream=2)
    send(server, chunks()[:2])
    send(server, chunks()[:3], bulk)
    server.context.uploads.abandon(server.client)
    assert len(server.context.uploads) == 1
    assert all(isinstance(answer, Done) for answer in send(server, chunks()[3:], bulk))
    assert server.context.blobs.has(sha256(CONTENT))


def test_a_closed_stream_leaves_nothing_half_written(server: Server) -> None:
    send(server, chunks()[:2])
    assert len(unfinished(server)) == 1
    server.context.uploads.abandon(server.client)
    assert unfinished(server) == []
    assert len(server.context.uploads) == 0


def test_a_stream_closed_while_a_chunk_is_written_leaves_nothing_either(server: Server) -> None:
    async def close_meanwhile() -> None:
        (part, data), *_ = chunks()
        task = asyncio.ensure_future(handle(server.client, part, data, server.context))
        while not len(server.context.uploads):
            await asyncio.sleep(0)
        server.context.uploads.abandon(server.client)
        with pytest.raises(Refused, match="was closed"):
            await task

    server.run(close_meanwhile())
    assert unfinished(server) == []


def test_a_blob_that_is_not_here_is_refused(server: Server) -> None:
    with pytest.raises(Refused, match="there is no blob") as caught:
        server.ask(ReadBlob("0" * 64))
    assert caught.value.type == "NotFoundError"
    with pytest.raises(Refused, match="expected a SHA-256"):
        server.ask(FindBlobs(["../x"]))


def test_a_full_disk_is_said_to_the_sender(server: Server) -> None:
    with pytest.raises(Refused, match="is full") as caught:
        server.ask(Blob("0" * 64, 1 << 60))
    assert caught.value.type == "ResourceExhaustedError"


# --- containers


def test_a_container_reads_what_it_wrote_and_its_apps_other_containers_too(server: Server) -> None:
    app_id = server.new_app()
    writer, reader = server.container_of(app_id), server.container_of(app_id)
    send(server, chunks(), writer)
    assert server.exchange(ReadBlob(sha256(CONTENT)), actor=reader)[1] == CONTENT
    assert server.ask(FindBlobs([sha256(CONTENT)]), actor=reader).digests == []


def test_a_container_can_not_read_or_find_what_is_not_its_apps(server: Server) -> None:
    digest = server.context.blobs.put(CONTENT)
    container = server.container_of(server.new_app())
    with pytest.raises(Refused, match="not of app") as caught:
        server.ask(ReadBlob(digest), actor=container)
    assert caught.value.type == "PermissionDeniedError"
    assert server.ask(FindBlobs([digest]), actor=container).digests == [digest]


def test_a_container_gets_no_right_by_a_digest_alone(server: Server) -> None:
    digest = server.context.blobs.put(CONTENT)
    container = server.container_of(server.new_app())
    answers = send(server, chunks(bytes(len(CONTENT)), digest), container)
    assert isinstance(answers[-1], Refused)
    with pytest.raises(Refused, match="not of app"):
        server.ask(ReadBlob(digest), actor=container)
    assert server.context.blobs.read(digest) == CONTENT
    assert all(isinstance(answer, Done) for answer in send(server, chunks(), container))
    assert server.exchange(ReadBlob(digest), actor=container)[1] == CONTENT


def test_who_hands_on_a_blob_gives_a_right_to_it_and_a_container_only_what_it_has(server: Server) -> None:
    mine, theirs = server.new_app(), server.new_app("theirs")
    apps = {app.app_id: app for app in server.store.apps.live()}
    digest = server.context.blobs.put(CONTENT)
    container = server.container_of(mine)

    def share(actor: Actor, app_id: str) -> None:
        server.run(share_blobs(actor, apps[app_id], [digest], server.context))

    with pytest.raises(Refused, match=f"app {mine} has no blob '{digest}' to hand on"):
        share(container, mine)
    share(server.client, mine)
    share(container, theirs)
    assert server.exchange(ReadBlob(digest), actor=server.container_of(theirs))[1] == CONTENT
