"""What packed layers stand for outlives the workers that had them, as long as the layers are there."""

from __future__ import annotations

import pytest
from tests.unit.server.answering import Server

from ionian.protocol.layers import Below, FindLayers, FoundLayers, PackedLayer
from ionian.server.blobs import BlobStore
from ionian.server.layers import keep, kept
from ionian.server.store import Store

pytestmark = pytest.mark.timeout(60)


def packed(*digests: str) -> list[PackedLayer]:
    return [PackedLayer(digest[:4], digest, 5) for digest in digests]


def test_what_was_given_is_found_with_all_that_stands_below(store: Store) -> None:
    given = FoundLayers(True, packed("aa", "bb"), [Below("pin", 1, "base"), Below("step", 2, "step")])
    store.packed.keep("im-a", "x86_64", given, "image")
    assert store.packed.find("im-a", "x86_64") == (packed("aa", "bb"), "image")
    assert store.packed.find("step", "x86_64") == (packed("aa", "bb"), "step")
    assert store.packed.find("pin", "x86_64") == (packed("aa"), "base")
    assert store.packed.find("pin", "aarch64") is None


def test_a_later_worker_s_layers_take_the_place_of_an_earlier_one_s(store: Store) -> None:
    for digest in ("aa", "bb", "bb"):
        store.packed.keep("im-a", "x86_64", FoundLayers(True, packed(digest)), digest)
    assert store.packed.find("im-a", "x86_64") == (packed("bb"), "bb")


def test_a_removed_image_takes_along_what_no_other_image_stands_on(store: Store) -> None:
    below = [Below("pin", 1, "base"), Below("step", 2, "step")]
    store.packed.keep("im-a", "x86_64", FoundLayers(True, packed("aa", "bb"), below), "a")
    store.packed.keep("im-b", "x86_64", FoundLayers(True, packed("aa", "cc")), "b")
    store.packed.forget(["im-a"])
    found = {name: store.packed.find(name, "x86_64") for name in ("im-a", "step", "pin", "im-b")}
    assert [name for name, each in found.items() if each is not None] == ["pin", "im-b"]
    assert store.packed.blobs(["im-a", "im-b", "im-c"]) == {"aa", "cc"}


def given_to(server: Server, *contents: bytes) -> FoundLayers:
    """What a worker gave of an image, whose layers are blobs now."""
    found = FoundLayers(True, packed(*(server.context.blobs.put(content) for content in contents)))
    keep(server.store, server.context.blobs, FindLayers("im-a", "x86_64"), found, b"known")
    return found


def ask(server: Server) -> tuple[FoundLayers, bytes]:
    return kept(server.store, server.context.blobs, FindLayers("im-a", "x86_64"))


def test_a_worker_that_comes_when_all_are_gone_gets_what_they_gave(server: Server) -> None:
    assert ask(server) == (FoundLayers(), b"")
    found = given_to(server, b"one", b"two")
    assert ask(server) == (found, b"known")


def test_an_image_of_which_a_layer_is_gone_is_forgotten(server: Server) -> None:
    found = given_to(server, b"one", b"two")
    blobs: BlobStore = server.context.blobs
    blobs.path(found.layers[1].digest).unlink()
    assert ask(server) == (FoundLayers(), b"")
    blobs.put(b"two")
    assert ask(server) == (FoundLayers(), b"")


def test_nothing_is_kept_of_layers_that_did_not_come(server: Server) -> None:
    found = FoundLayers(True, packed("a" * 64))
    for given in (found, FoundLayers(True, packed("no digest"))):
        keep(server.store, server.context.blobs, FindLayers("im-a", "x86_64"), given, b"known")
        assert ask(server) == (FoundLayers(), b"")
