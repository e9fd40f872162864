"""Files offered by descriptor: the server copies what they hold, and keeps nothing of who goes."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from ionian.client.offering import Offering
from ionian.protocol.stream import LOCAL
from ionian.server import offers as module
from ionian.server.offers import Changed, Offer, Offers

pytestmark = pytest.mark.timeout(30)


def offered(path: Path) -> Offer:
    return Offer(os.open(path, os.O_RDONLY))


def with_offers(folder: Path, act: Callable[[Offers, Offering], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        offers = Offers()
        offers.listen(folder / "files.sock")
        offering = Offering(f"{LOCAL}{folder}/server.sock")
        try:
            await act(offers, offering)
        finally:
            offering.close()
            offers.stop()

    asyncio.run(main())


def until(true: Callable[[], bool]) -> Coroutine[Any, Any, None]:
    async def wait() -> None:
        while not true():
            await asyncio.sleep(0.005)

    return wait()


def test_a_file_is_copied_part_by_part_and_the_draft_is_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART", 1000)
    content = os.urandom(2500)
    (tmp_path / "file").write_bytes(content)
    offer = offered(tmp_path / "file")
    seen: list[int] = []
    while not offer.complete:
        offer.copy(tmp_path / "draft", offer.copied)
        seen.append(offer.copied)
    offer.copy(tmp_path / "another", 0)  # asked again: done already
    assert seen[-1] == 2500
    assert not offer.open
    assert (tmp_path / "draft").read_bytes() == content
    assert not (tmp_path / "another").exists()


def test_where_the_kernel_copies_between_two_disks_in_no_other_way_the_parts_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refused)
    monkeypatch.setattr(module, "PART", 1000)
    monkeypatch.setattr(module, "FICLONE", 0)
    content = os.urandom(2500)
    (tmp_path / "file").write_bytes(content)
    offer = offered(tmp_path / "file")
    while not offer.complete:
        offer.copy(tmp_path / "draft", offer.copied)
    assert (tmp_path / "draft").read_bytes() == content


@pytest.mark.parametrize("size", [10, 5000])
def test_a_file_that_changes_while_it_is_copied_is_refused(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART", 1000)
    monkeypatch.setattr(module, "FICLONE", 0)
    (tmp_path / "file").write_bytes(bytes(2500))
    offer = offered(tmp_path / "file")
    offer.copy(tmp_path / "draft", 0)
    os.truncate(tmp_path / "file", size)
    with pytest.raises(Changed, match="changed while it was sent"):
        offer.copy(tmp_path / "draft", 1000)
    offer.close()
    assert not (tmp_path / "draft").exists()


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    read, write = os.pipe()
    offer = Offer(read)
    with pytest.raises(OSError, match="it is no file with content"):
        offer.copy(tmp_path / "draft", 0)
    offer.close()
    os.close(write)
    assert not (tmp_path / "draft").exists()


def test_what_is_offered_is_found_by_its_key_until_its_client_goes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    held = os.open(tmp_path / "file", os.O_RDONLY)

    async def act(offers: Offers, offering: Offering) -> None:
        keys = [await asyncio.to_thread(offering.offer, held) for _ in range(2)]
        assert len(set(keys)) == 2
        for number, key in enumerate(keys):
            offer = offers.find(key)
            assert offer is not None
            await offers.in_thread(offer.copy, tmp_path / f"draft {number}", 0)
        os.link(tmp_path / "draft 0", tmp_path / "placed")
        offers.forget(keys[0])
        offering.close()
        await until(lambda: offers.find(keys[1]) is None)
        await until(lambda: not list(tmp_path.glob("draft *")))
        assert (tmp_path / "placed").read_bytes() == b"content"

    with_offers(tmp_path, act)
    os.close(held)


def test_who_offers_nothing_or_too_much_is_heard_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN_MAX", 1)
    (tmp_path / "file").write_bytes(b"content")
    held = os.open(tmp_path / "file", os.O_RDONLY)

    def spoken_to(message: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as made:
            made.settimeout(10)
            made.connect(str(tmp_path / "files.sock"))
            made.send(message)
            return made.recv(1)

    async def act(offers: Offers, offering: Offering) -> None:
        for message in (b"x" * 32, b"short", b"x" * 100):
            assert await asyncio.to_thread(spoken_to, message) == b""
        await asyncio.to_thread(offering.offer, held)
        with pytest.raises(ConnectionResetError):
            await asyncio.to_thread(offering.offer, held)

    with_offers(tmp_path, act)
    os.close(held)
